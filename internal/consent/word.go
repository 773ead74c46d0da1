package consent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// Word is what somebody enters about a person by hand: by a command, or by the API.
type Word struct {
	Address    address.Address
	Action     Action
	Channel    string // all, sms or whatsapp; empty: all
	Program    string // only about this program
	Brand      string // only about the programs of this brand
	Note       string
	Language   string    // to ask in whether an opt-in is confirmed; empty: that of the newest message
	Proof      Proof     // with who enters it
	OccurredAt time.Time // when it was said; zero: now
}

// The bounds of the texts of a word, in bytes.
const (
	longestText     = longestCell
	longestLanguage = 35 // of a language tag, RFC 5646
)

// Actions are those that may be entered by hand, and be in a file.
func Actions() []Action { return []Action{OptIn, Confirm, OptOut, ReOptIn} }

// Entry checks a word and makes an entry of it. The error says all that is wrong, in words for who entered it, without an address.
func (w Word) Entry(now time.Time) (Entry, error) {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if !slices.Contains(Actions(), w.Action) {
		add("there is no action %q: want opt_in, confirm, opt_out or re_opt_in", w.Action)
	}
	channels := []string{string(AllChannels), string(message.SMS), string(message.WhatsApp)}
	if w.Channel == "" {
		w.Channel = string(AllChannels)
	}
	if !slices.Contains(channels, w.Channel) {
		add("there is no channel %q: want %s", w.Channel, strings.Join(channels, ", "))
	}
	scope := ProgramScope(w.Program)
	switch {
	case w.Program != "" && w.Brand != "":
		add("give a program or a brand, not both")
	case w.Program != "" && !IsProgram(w.Program):
		add("program %q must be a name in kebab-case, or brand/name", w.Program)
	case w.Brand != "" && !IsBrand(w.Brand):
		add("brand %q must be a name in kebab-case", w.Brand)
	case w.Brand != "":
		scope = Scope{Kind: ScopeBrand, Name: w.Brand}
	}
	if _, err := netip.ParseAddr(w.Proof.IP); w.Proof.IP != "" && err != nil {
		add("the IP address is none")
	}
	if len(w.Language) > longestLanguage {
		add("the language is no code such as en or es_MX")
	}
	if w.OccurredAt.After(now) {
		add("the time at which it was said is in the future")
	}
	for _, text := range []string{w.Note, w.Proof.Disclosure, w.Proof.SourceURL, w.Proof.Operator} {
		if len(text) > longestText {
			add("a text is longer than %d bytes", longestText)
		}
	}
	e := Entry{
		Org: AnyOrg, Address: w.Address, Channel: message.Channel(w.Channel), Action: w.Action, Scope: scope, Note: w.Note, Proof: w.Proof,
		OccurredAt: w.OccurredAt, AskIn: w.Language,
	}
	if w.Action == OptIn || w.Action == Confirm {
		e.Purpose = message.Marketing
	}
	return e, errors.Join(wrong...)
}
