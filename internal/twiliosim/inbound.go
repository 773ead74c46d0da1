package twiliosim

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
)

// ErrNoAnswer says that the inbound webhook was called but did not answer. The message is recorded nevertheless.
var ErrNoAnswer = errors.New("twilio simulator: no answer from the inbound webhook")

// ErrBadInbound says that an inbound message lacks From or To, or that they are of different channels.
var ErrBadInbound = errors.New("twilio simulator: an inbound message needs From and To of one channel")

// InboundMessage is what a person sends us. From and To are as in the API: with "whatsapp:" for WhatsApp.
type InboundMessage struct {
	From           string            `json:"from"`
	To             string            `json:"to"` // our sender
	Body           string            `json:"body"`
	ProfileName    string            `json:"profile_name,omitempty"`     // WhatsApp
	ButtonText     string            `json:"button_text,omitempty"`      // WhatsApp
	ButtonPayload  string            `json:"button_payload,omitempty"`   // WhatsApp
	RepliedTo      string            `json:"replied_to,omitempty"`       // WhatsApp: SID of our message
	ExternalUserID string            `json:"external_user_id,omitempty"` // WhatsApp
	MediaURLs      []string          `json:"media_urls,omitempty"`       // see AddMedia
	LoseWebhook    bool              `json:"lose_webhook,omitempty"`     // our webhook is not called, as when we are down for all of Twilio's tries
	Extra          map[string]string `json:"extra,omitempty"`            // more parameters, or other values for the usual ones
}

// InboundResult is what came of it.
type InboundResult struct {
	SID        string `json:"sid"`
	HTTPStatus int    `json:"http_status"`            // of the webhook; 0 without an inbound URL
	OptOut     string `json:"opt_out_type,omitempty"` // STOP, START or HELP if Twilio recognized one, whether or not the webhook is told
}

type optOutKey struct{ scope, person string }

type windowKey struct{ sender, person string }

// Inbound lets a person write to us: STOP and START take effect first, then the webhook is called (signed, with one
// retry if the connection fails, as Twilio does), and the result is returned when it has answered.
func (s *Simulator) Inbound(ctx context.Context, in InboundMessage) (InboundResult, error) {
	if in.From == "" || in.To == "" || strings.HasPrefix(in.From, whatsapp) != strings.HasPrefix(in.To, whatsapp) {
		return InboundResult{}, ErrBadInbound
	}
	now := time.Now()
	m := &Message{
		SID: newSID("SM"), To: in.To, From: in.From, Body: in.Body, Direction: inboundDirection, Status: "received",
		MessagingServiceSID: s.senders[in.To], Created: now, Sent: now, Updated: now, Segments: segments(in.Body),
		Media: len(in.MediaURLs),
	}
	if !s.store(m) {
		return InboundResult{}, ErrNoAnswer
	}
	result := InboundResult{SID: m.SID, OptOut: s.recognize(in, now)}
	if s.cfg.InboundURL == "" || in.LoseWebhook {
		return result, nil
	}
	result.HTTPStatus = s.deliver(ctx, m, s.cfg.InboundURL, s.inboundForm(m, in, result.OptOut))
	if result.HTTPStatus == 0 {
		return result, ErrNoAnswer
	}
	return result, nil
}

// scope is what an opt-out holds for: the Messaging Service, or else the sender.
func (s *Simulator) scope(sender, service string) string {
	if service != "" {
		return service
	}
	if pool := s.senders[sender]; pool != "" {
		return pool
	}
	return sender
}

// recognize applies opt-out words and opens the WhatsApp window.
func (s *Simulator) recognize(in InboundMessage, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	isWhatsApp := strings.HasPrefix(in.From, whatsapp)
	if isWhatsApp {
		s.windows[windowKey{in.To, in.From}] = now
	}
	if s.cfg.OptOut == OptOutOff || (isWhatsApp && s.cfg.OptOut != OptOutAdvanced) {
		return ""
	}
	word := keyword(in.Body)
	key := optOutKey{s.scope(in.To, ""), in.From}
	switch word {
	case "STOP":
		s.optOuts[key] = true
	case "START":
		delete(s.optOuts, key)
	}
	return word
}

// keyword recognizes a whole message, in any case. Source: Twilio, "Support for opt-out keywords".
func keyword(body string) string {
	switch strings.ToUpper(strings.TrimSpace(body)) {
	case "STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL":
		return "STOP"
	case "START", "YES", "UNSTOP":
		return "START"
	case "HELP", "INFO":
		return "HELP"
	}
	return ""
}

// inboundForm is what Twilio posts. Source: Twilio, "Twilio's request to your incoming message webhook URL".
func (s *Simulator) inboundForm(m *Message, in InboundMessage, optOut string) url.Values {
	form := url.Values{}
	set := func(name, value string) {
		if value != "" {
			form.Set(name, value)
		}
	}
	for _, name := range []string{"MessageSid", "SmsSid", "SmsMessageSid"} {
		form.Set(name, m.SID)
	}
	form.Set("AccountSid", s.cfg.AccountSID)
	form.Set("ApiVersion", apiVersion)
	form.Set("From", m.From)
	form.Set("To", m.To)
	form.Set("Body", m.Body)
	form.Set("SmsStatus", m.Status)
	form.Set("NumSegments", itoa(m.Segments))
	form.Set("NumMedia", itoa(len(in.MediaURLs)))
	for i, link := range in.MediaURLs {
		form.Set("MediaUrl"+itoa(i), link)
		form.Set("MediaContentType"+itoa(i), s.typeOf(link))
	}
	set("MessagingServiceSid", m.MessagingServiceSID)
	if s.cfg.OptOut == OptOutAdvanced {
		set("OptOutType", optOut)
	}
	if person, ok := strings.CutPrefix(m.From, whatsapp); ok {
		kind := "text"
		if in.ButtonPayload != "" || in.ButtonText != "" {
			kind = "interactive"
		}
		form.Set("MessageType", kind)
		set("ProfileName", in.ProfileName)
		if number, isNumber := strings.CutPrefix(person, "+"); isNumber {
			form.Set("WaId", number)
		}
		set("ExternalUserId", in.ExternalUserID)
		set("ButtonText", in.ButtonText)
		set("ButtonPayload", in.ButtonPayload)
		if in.RepliedTo != "" {
			form.Set("OriginalRepliedMessageSid", in.RepliedTo)
			form.Set("OriginalRepliedMessageSender", m.To)
		}
	} else {
		form.Set("FromCountry", "US")
		form.Set("ToCountry", "US")
	}
	for name, value := range in.Extra {
		form.Set(name, value)
	}
	return form
}
