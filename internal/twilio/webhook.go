package twilio

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// maxMedia is more than Twilio ever attaches (10).
const maxMedia = 50

// Media is an attachment of an inbound message. Fetching it needs our credentials.
type Media struct {
	URL         string
	ContentType string
}

// Inbound is a message from a person. Source: Twilio, "Twilio's request to your incoming message webhook URL"; that page does not name
// ListId and ListTitle, which are seen with list pickers.
type Inbound struct {
	MessageSID                string
	AccountSID                string // may be empty
	MessagingServiceSID       string // empty if our number is in no service
	Channel                   message.Channel
	From                      address.Address // the person: +E.164, or a business-scoped id
	To                        address.Address // our sender
	Body                      string
	OptOutType                string // STOP, START or HELP, only with Advanced Opt-Out
	ButtonText                string // of the quick reply that was pressed, WhatsApp only
	ButtonPayload             string
	ListTitle                 string // of the entry that was picked in a list, WhatsApp only
	ListID                    string
	OriginalRepliedMessageSID string // SID of our message that this replies to, WhatsApp only
	ProfileName               string
	WaID                      string // the person's WhatsApp number, without a plus
	ExternalUserID            string // the person's business-scoped id where From is a number
	MessageType               string // text, button, interactive ...
	Media                     []Media
}

// StatusEvent is a status callback. Source: Twilio, "Outbound message status in status callbacks".
type StatusEvent struct {
	SID                 string
	AccountSID          string
	MessagingServiceSID string
	Status              string // Twilio's word; StatusToState translates
	ErrorCode           int    // 0 if none
	Channel             message.Channel
	To, From            address.Address // empty if Twilio left them out
	RawDone             string          // RawDlrDoneDate, YYMMDDhhmm as the carrier gave it
}

// ParseInbound reads an inbound message. Unknown parameters are ignored. Text that Postgres could not store (bytes that are not
// UTF-8, NUL) is replaced by U+FFFD. Only MessageSid, From and To must be right: any other parameter that is not as Twilio writes it
// counts as missing, since what the person said matters more. The error is a *ParameterError, and what could be read comes with it:
// a STOP counts even so.
func ParseInbound(form url.Values) (Inbound, error) {
	r := reader{form: form}
	in := Inbound{
		MessageSID:                r.sid("MessageSid", "SmsMessageSid", "SmsSid"),
		AccountSID:                r.text("AccountSid"),
		MessagingServiceSID:       r.text("MessagingServiceSid"),
		Body:                      r.text("Body"),
		OptOutType:                strings.ToUpper(r.text("OptOutType")),
		ButtonText:                r.text("ButtonText"),
		ButtonPayload:             r.text("ButtonPayload"),
		ListTitle:                 r.text("ListTitle"),
		ListID:                    r.text("ListId"),
		OriginalRepliedMessageSID: r.text("OriginalRepliedMessageSid"),
		ProfileName:               r.text("ProfileName"),
		WaID:                      r.text("WaId"),
		ExternalUserID:            strings.TrimPrefix(r.text("ExternalUserId"), whatsappPrefix),
		MessageType:               r.text("MessageType"),
		Media:                     r.media(),
	}
	in.From, in.Channel = r.address("From", true)
	in.To, _ = r.address("To", true)
	if !isIdentifier(in.OriginalRepliedMessageSID) {
		in.OriginalRepliedMessageSID = ""
	}
	if len(in.ExternalUserID) > address.MaxLength || hasControls(in.ExternalUserID) {
		in.ExternalUserID = ""
	}
	return in, r.err
}

// Said is what the person wrote or, of a message without text, the words on what they pressed.
func (in *Inbound) Said() string { return cmp.Or(in.Body, in.ButtonText, in.ListTitle) }

// Pressed is the payload of the button or the id of the list entry that the person pressed; empty for neither.
func (in *Inbound) Pressed() string { return cmp.Or(in.ButtonPayload, in.ListID) }

// ParseStatus reads a status callback. To and From may be missing. The error is a *ParameterError, and what could be read comes with
// it.
func ParseStatus(form url.Values) (StatusEvent, error) {
	r := reader{form: form}
	event := StatusEvent{
		SID:                 r.sid("MessageSid", "SmsSid"),
		AccountSID:          r.text("AccountSid"),
		MessagingServiceSID: r.text("MessagingServiceSid"),
		Status:              r.required("MessageStatus", "SmsStatus"),
		ErrorCode:           r.number("ErrorCode"),
		RawDone:             r.text("RawDlrDoneDate"),
	}
	event.To, event.Channel = r.address("To", false)
	from, channel := r.address("From", false)
	event.From = from
	if event.To == "" {
		event.Channel = channel
	}
	return event, r.err
}

// reader reads parameters and keeps the first problem.
type reader struct {
	form url.Values
	err  error
}

func (r *reader) fail(name, problem string) {
	if r.err == nil {
		r.err = &ParameterError{Name: name, Problem: problem}
	}
}

func (r *reader) text(name string) string {
	value := r.form.Get(name)
	if utf8.ValidString(value) && !strings.ContainsRune(value, 0) {
		return value
	}
	return strings.ReplaceAll(strings.ToValidUTF8(value, "\uFFFD"), "\x00", "\uFFFD")
}

// required gives the first of the names that has a value.
func (r *reader) required(names ...string) string {
	for _, name := range names {
		if value := r.text(name); value != "" {
			return value
		}
	}
	r.fail(names[0], "is missing")
	return ""
}

// sid gives the first of the names that has a SID.
func (r *reader) sid(names ...string) string {
	for _, name := range names {
		if value := r.text(name); isIdentifier(value) {
			return value
		}
	}
	if r.required(names...) != "" {
		r.fail(names[0], "is not a SID")
	}
	return ""
}

// media gives the attachments that there are, whatever their number is said to be.
func (r *reader) media() []Media {
	count, err := strconv.Atoi(r.text("NumMedia"))
	if err != nil && r.text("NumMedia") != "" {
		count = maxMedia
	}
	var all []Media
	for i := range min(count, maxMedia) {
		n := strconv.Itoa(i)
		if link := r.text("MediaUrl" + n); link != "" {
			all = append(all, Media{URL: link, ContentType: r.text("MediaContentType" + n)})
		}
	}
	return all
}

func (r *reader) number(name string) int {
	value := r.text(name)
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		r.fail(name, "is not a number")
		return 0
	}
	return n
}

func (r *reader) address(name string, required bool) (address.Address, message.Channel) {
	value := r.text(name)
	if value == "" {
		if required {
			r.fail(name, "is missing")
		}
		return "", ""
	}
	found, channel := splitAddress(value)
	switch {
	case channel == "":
		r.fail(name, "is of a channel other than SMS and WhatsApp")
	case found == "" || len(found) > address.MaxLength:
		r.fail(name, "is empty or longer than an address can be")
	case hasControls(string(found)):
		r.fail(name, "has control characters")
	default:
		return found, channel
	}
	return "", ""
}

func hasControls(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// rcsPrefix stands before the number of a person whose phone speaks RCS, and before the name of the sender that they see.
const rcsPrefix = "rcs:"

// splitAddress takes the channel's prefix off an address; the channel is empty for prefixes of channels that Beckon does not have.
// RCS counts as SMS: a messaging service with an RCS sender sends by it what we asked to send as SMS, to the same number, and the
// STOP that comes back that way is one to our SMS.
//
// Source: Twilio, "RCS: send a message with RCS and fallback to SMS", addresses of the form rcs:+15551234567 and rcs:brand_agent.
func splitAddress(value string) (address.Address, message.Channel) {
	if rest, ok := strings.CutPrefix(value, whatsappPrefix); ok {
		return address.Address(rest), message.WhatsApp
	}
	if rest, ok := strings.CutPrefix(value, rcsPrefix); ok {
		return address.Address(rest), message.SMS
	}
	if strings.Contains(value, ":") {
		return address.Address(value), ""
	}
	return address.Address(value), message.SMS
}
