package twilio

import (
	_ "embed" // the default table
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:embed reactions.yaml
var defaultReactions []byte

// Reaction is what to do about an error.
type Reaction string

// The reactions.
const (
	Permanent Reaction = "permanent" // this address cannot be reached on this channel
	Retry     Reaction = "retry"     // with back-off, at most Rule.Retries times
	Defer     Reaction = "defer"     // to a computed time, or drop if it is then too late
	OptOut    Reaction = "opt_out"   // the person does not want messages: record it, never retry
	Alert     Reaction = "alert"     // our set-up is wrong, not the message: tell the operators
	Content   Reaction = "content"   // the text or template is wrong: park the message, tell the operators
	SoftFail  Reaction = "soft_fail" // this message failed, without a conclusion about the address
	Reconcile Reaction = "reconcile" // never in the table: the outcome is unclear, look it up
)

// Phase is when an error code arrives: some mean different things.
type Phase string

// The phases.
const (
	PhaseSend     Phase = "send"     // in the answer to our request
	PhaseCallback Phase = "callback" // in a status callback or a looked-up message
)

// Stop says what must not be sent until an operator acted.
type Stop string

// The extents of a stop.
const (
	StopNothing Stop = ""
	StopSender  Stop = "sender"
	StopAll     Stop = "all"
)

// Rule is what a code means for us.
type Rule struct {
	Reaction   Reaction
	Meaning    string        // for people, without personal values
	Fallback   bool          // another channel may be tried, if rule and consent allow
	Window     bool          // it says that the window for free text is closed: the template may be tried
	Alert      bool          // tell the operators besides; always so for Alert and Content
	Stop       Stop          // which sends to stop
	Retries    int           // most tries again, 0 for the caller's own limit
	RetryAfter time.Duration // shortest wait before the first try again, 0 for the caller's own
	Defer      Deferral      // of reaction Defer: when to try again
	Source     string        // where the knowledge comes from
	Known      bool          // false for the default of an unknown code
}

type reactionKey struct {
	phase   Phase
	code    int
	country string // of the recipient; empty for all that have no entry of their own
}

// Reactions is a table of rules. It does not change after loading and is safe for concurrent use.
type Reactions struct {
	rules map[reactionKey]Rule
}

type reactionFile struct {
	Reactions []reactionEntry `yaml:"reactions"`
}

type reactionEntry struct {
	Code       int           `yaml:"code"`
	Phases     []Phase       `yaml:"phases"`
	Reaction   Reaction      `yaml:"reaction"`
	Meaning    string        `yaml:"meaning"`
	Country    string        `yaml:"country"`
	Fallback   bool          `yaml:"fallback"`
	Window     bool          `yaml:"window"`
	Alert      bool          `yaml:"alert"`
	Stop       Stop          `yaml:"stop"`
	Retries    int           `yaml:"retries"`
	RetryAfter time.Duration `yaml:"retry_after"`
	Defer      Deferral      `yaml:"defer"`
	Source     string        `yaml:"source"`
}

// DefaultReactions is the table that is shipped with the program. It panics if that file is broken, which a test rules out.
func DefaultReactions() *Reactions {
	table, err := LoadReactions("reactions.yaml", defaultReactions)
	if err != nil {
		panic(err)
	}
	return table
}

// LoadReactions reads a table in the form of reactions.yaml; name is its file's, for errors. Unknown keys, unknown words and a
// code given twice for a phase are errors; all are reported at once, as name:line: message.
func LoadReactions(name string, data []byte) (*Reactions, error) {
	var file reactionFile
	var problems []error
	if err := yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		place := regexp.MustCompile(`line (\d+): `)
		problems = append(problems, errors.New(place.ReplaceAllString(err.Error(), name+":$1: ")))
	} else if len(file.Reactions) == 0 {
		problems = append(problems, fmt.Errorf("%s:1: it has no entries", name))
	}
	table := &Reactions{rules: make(map[reactionKey]Rule, len(file.Reactions))}
	for i := range file.Reactions {
		for _, problem := range table.add(&file.Reactions[i]) {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, lineOf(data, i), problem))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("table of reactions: %w", errors.Join(problems...))
	}
	return table, nil
}

// With is this table with the entries of another one in place of its own for the same code and phase.
func (r *Reactions) With(other *Reactions) *Reactions {
	merged := maps.Clone(r.rules)
	maps.Copy(merged, other.rules)
	return &Reactions{rules: merged}
}

func (r *Reactions) add(entry *reactionEntry) []error {
	problems := entry.problems()
	for _, phase := range entry.Phases {
		key := reactionKey{phase, entry.Code, entry.Country}
		if _, twice := r.rules[key]; twice {
			problems = append(problems, fmt.Errorf("code %d is given twice for phase %s%s", entry.Code, phase, forCountry(entry.Country)))
		}
		r.rules[key] = Rule{
			Reaction: entry.Reaction, Meaning: entry.Meaning, Fallback: entry.Fallback, Window: entry.Window, Stop: entry.Stop,
			Alert:   entry.Alert || entry.Reaction == Alert || entry.Reaction == Content,
			Retries: entry.Retries, RetryAfter: entry.RetryAfter, Defer: entry.Defer, Source: entry.Source, Known: true,
		}
	}
	return problems
}

// lineOf finds the line of an entry; only needed for an error.
func lineOf(data []byte, index int) int {
	var file struct {
		Reactions []yaml.Node `yaml:"reactions"`
	}
	if yaml.Load(data, &file) != nil || index >= len(file.Reactions) {
		return 0
	}
	return file.Reactions[index].Line
}

func (e *reactionEntry) problems() []error {
	var problems []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	complain(e.Code <= 0, "code must be a positive number")
	complain(len(e.Phases) == 0, "phases is missing: send, callback or both")
	for _, phase := range e.Phases {
		complain(phase != PhaseSend && phase != PhaseCallback, "phase %q is none of send, callback", phase)
	}
	switch e.Reaction {
	case Permanent, Retry, Defer, OptOut, Alert, Content, SoftFail:
	case Reconcile:
		complain(true, "reconcile is for unclear outcomes and cannot be a reaction to a code")
	default:
		complain(true, "reaction %q is none of permanent, retry, defer, opt_out, alert, content, soft_fail", e.Reaction)
	}
	complain(e.Country != "" && !isCountry(e.Country), "country %q is no ISO 3166-1 code such as US", e.Country)
	complain(e.Meaning == "", "meaning is missing")
	complain(e.Stop != StopNothing && e.Stop != StopSender && e.Stop != StopAll, "stop %q is none of sender, all", e.Stop)
	complain(e.Retries < 0 || e.RetryAfter < 0, "retries and retry_after cannot be negative")
	complain(e.Reaction == Defer && e.Defer.isZero(), "defer is missing: a duration such as 1h, or next_midnight and a time zone")
	complain(e.Reaction != Defer && !e.Defer.isZero(), "defer is for the reaction defer only")
	complain(e.Fallback && e.Reaction == OptOut, "an opt-out has no fallback: the person said no")
	return problems
}

// For gives the rule of a code in a phase; status is the HTTP status of the answer, 0 for callbacks.
//
// A code that the table does not know gets a safe default: at send, 429 is tried again and other refusals are parked
// as a content problem with an alert; in a callback the message fails softly, with an alert.
func (r *Reactions) For(phase Phase, code, status int) Rule {
	return r.ForCountry(phase, code, status, "")
}

// ForCountry is For with the country of the recipient, whose own entry goes first. A recipient whose country is not known (empty)
// is treated as one in the United States, where the rules are the strictest.
func (r *Reactions) ForCountry(phase Phase, code, status int, country string) Rule {
	if country == "" {
		country = strictest
	}
	for _, key := range []reactionKey{{phase, code, country}, {phase, code, ""}} {
		if rule, ok := r.rules[key]; ok && code != 0 {
			return rule
		}
	}
	switch {
	case phase == PhaseCallback:
		return Rule{Reaction: SoftFail, Alert: true, Meaning: "unknown delivery error"}
	case status == http.StatusTooManyRequests:
		return Rule{Reaction: Retry, Meaning: "too many requests at once"}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return Rule{Reaction: Alert, Alert: true, Stop: StopAll, Meaning: "credentials were not accepted"}
	}
	return Rule{Reaction: Content, Alert: true, Meaning: "unknown refusal"}
}

// strictest is the country that a recipient of an unknown one counts as.
const strictest = "US"

func forCountry(country string) string {
	if country == "" {
		return ""
	}
	return " and country " + country
}

func isCountry(text string) bool {
	return len(text) == 2 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// Codes lists how many rules the table has, for start-up logs.
func (r *Reactions) Codes() int { return len(r.rules) }

// Known gives the codes that the table has an entry for; true for those of which an entry tells the operators.
func (r *Reactions) Known() map[int]bool {
	codes := map[int]bool{}
	for key, rule := range r.rules {
		codes[key.code] = codes[key.code] || rule.Alert
	}
	return codes
}
