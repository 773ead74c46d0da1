package twiliosim

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Error codes of the API. Source: Twilio, "Error and Warning Dictionary".
const (
	codeInvalid        = 20001
	codeAuth           = 20003
	codeNotFound       = 20404
	codeTooMany        = 20429
	codeToInvalid      = 21211
	codeNoFrom         = 21603
	codeNoTo           = 21604
	codeFromIncapable  = 21606
	codeBadCallback    = 21609
	codeUnsubscribed   = 21610
	codeTooLong        = 21617
	codeNoBody         = 21619
	codeBadMedia       = 21620
	codeTooMuchMedia   = 21623
	codeNoContent      = 21654
	codeBadContent     = 21655
	codeBadVariables   = 21656
	codeNoSenders      = 21703
	codeBadService     = 21705
	codeChannelsDiffer = 21910
	codeNoChannel      = 63007
	codeOutsideWindow  = 63016
	codeNotCancelable  = 30409
)

const maxBody = 1600

func errorText(code int) string {
	switch code {
	case codeAuth:
		return "Authenticate"
	case codeNotFound:
		return "The requested resource was not found"
	case codeTooMany:
		return "Too Many Requests"
	case codeToInvalid:
		return "The 'To' number is not a valid phone number."
	case codeNoFrom:
		return "A 'From' phone number is required."
	case codeNoTo:
		return "A 'To' phone number is required."
	case codeFromIncapable:
		return "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination."
	case codeUnsubscribed:
		return "Attempt to send to unsubscribed recipient"
	case codeTooLong:
		return "The concatenated message body exceeds the 1600 character limit"
	case codeNoBody:
		return "Message body is required."
	case codeBadMedia:
		return "Invalid media URL(s)"
	case codeTooMuchMedia:
		return "Number of media files exceeds allowed limit"
	case codeBadContent:
		return "The ContentSid is Invalid."
	case codeBadVariables:
		return "The ContentVariables parameter is invalid."
	}
	return "Error " + itoa(code)
}

// accept checks a create request as Twilio does and makes the message, or gives the code of the refusal.
func (s *Simulator) accept(form url.Values) (*Message, int) {
	now := time.Now()
	m := &Message{
		SID: newSID("SM"), To: form.Get("To"), From: form.Get("From"), Body: form.Get("Body"),
		MessagingServiceSID: form.Get("MessagingServiceSid"), ContentSID: form.Get("ContentSid"),
		StatusCallback: form.Get("StatusCallback"), Direction: "outbound-api", Status: "queued", Created: now, Updated: now,
	}
	m.MediaURLs, m.Media = form["MediaUrl"], len(form["MediaUrl"])
	m.ValidityPeriod, _ = strconv.Atoi(form.Get("ValidityPeriod"))
	checks := []func() int{
		func() int { return s.checkTo(m) },
		func() int { return s.checkSender(m) },
		func() int { return s.checkContent(m, form) },
		func() int { return checkMedia(m) },
		func() int { return checkCallback(m.StatusCallback) },
		func() int { return s.checkOptOut(m) },
	}
	for _, check := range checks {
		if code := check(); code != 0 {
			return nil, code
		}
	}
	m.Segments = segments(m.Body)
	if m.MessagingServiceSID != "" {
		m.Status = "accepted"
	}
	return m, 0
}

func (s *Simulator) checkTo(m *Message) int {
	bare, isWhatsApp := strings.CutPrefix(m.To, whatsapp)
	switch {
	case m.To == "":
		return codeNoTo
	case s.shapes.number.MatchString(bare):
		return 0
	case isWhatsApp && s.shapes.scoped.MatchString(bare):
		return 0
	}
	return codeToInvalid
}

// checkSender checks From and the service, and chooses a sender from the service's pool.
func (s *Simulator) checkSender(m *Message) int {
	if m.From == "" && m.MessagingServiceSID == "" {
		return codeNoFrom
	}
	if m.From == "" {
		from, code := s.choose(m)
		if code != 0 {
			return code
		}
		m.From = from
	} else if m.MessagingServiceSID != "" && len(s.services) > 0 && s.services[m.MessagingServiceSID] == nil {
		return codeBadService
	}
	if strings.HasPrefix(m.From, whatsapp) != m.WhatsApp() {
		return codeChannelsDiffer
	}
	if _, ours := s.senders[m.From]; len(s.senders) > 0 && !ours {
		if m.WhatsApp() {
			return codeNoChannel
		}
		return codeFromIncapable
	}
	return 0
}

func (s *Simulator) choose(m *Message) (string, int) {
	if len(s.services) == 0 {
		if m.WhatsApp() {
			return whatsapp + defaultSender, 0
		}
		return defaultSender, 0
	}
	service := s.services[m.MessagingServiceSID]
	if service == nil {
		return "", codeBadService
	}
	for _, sender := range service.Senders {
		if strings.HasPrefix(sender, whatsapp) == m.WhatsApp() {
			return sender, 0
		}
	}
	return "", codeNoSenders
}

func (s *Simulator) checkContent(m *Message, form url.Values) int {
	variables := form.Get("ContentVariables")
	if m.ContentSID == "" {
		switch {
		case variables != "":
			return codeNoContent
		case m.Body == "" && form.Get("MediaUrl") == "":
			return codeNoBody
		case utf8.RuneCountInString(m.Body) > maxBody:
			return codeTooLong
		}
		return 0
	}
	text, known := s.cfg.Templates[m.ContentSID]
	if !s.shapes.contentSID.MatchString(m.ContentSID) || (len(s.cfg.Templates) > 0 && !known) {
		return codeBadContent
	}
	if variables != "" && json.Unmarshal([]byte(variables), &m.ContentVariables) != nil {
		return codeBadVariables
	}
	pairs := make([]string, 0, 2*len(m.ContentVariables))
	for name, value := range m.ContentVariables {
		if value == "" {
			return codeBadVariables
		}
		pairs = append(pairs, "{{"+name+"}}", value)
	}
	if m.Body == "" {
		m.Body = strings.NewReplacer(pairs...).Replace(text)
	}
	return 0
}

// checkMedia checks the files of a message as far as its request tells; they are not fetched.
func checkMedia(m *Message) int {
	most := 10
	if m.WhatsApp() {
		most = 1
	}
	if len(m.MediaURLs) > most {
		return codeTooMuchMedia
	}
	for _, link := range m.MediaURLs {
		if u, err := url.Parse(link); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return codeBadMedia
		}
	}
	return 0
}

func checkCallback(link string) int {
	if link == "" {
		return 0
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https"}, u.Scheme) || strings.Contains(u.Hostname(), "_") {
		return codeBadCallback
	}
	return 0
}

func (s *Simulator) checkOptOut(m *Message) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.optOuts[optOutKey{s.scope(m.From, m.MessagingServiceSID), m.To}] {
		return codeUnsubscribed
	}
	return 0
}
