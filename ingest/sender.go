package ingest

import (
	"net/url"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/stream"
)

// Sender is one of our senders, by what Twilio's callbacks say of it.
type Sender struct {
	Name                string
	AccountSID          string
	MessagingServiceSID string
	SMSFrom             address.Address
	WhatsAppFrom        address.Address
}

// ours tells whether an address in a callback is the sender's.
func (s Sender) ours(text string) bool {
	return text != "" && (text == string(s.SMSFrom) || s.WhatsAppFrom != "" && text == "whatsapp:"+string(s.WhatsAppFrom))
}

// senderOf is the sender that a callback is about: the one with our address in it, else with its Messaging Service, else the
// first of its account, else the default one. A number in the pool of a service is known by the service.
func (i *Ingest) senderOf(kind stream.CallbackKind, form url.Values) string {
	mine := form.Get("To")
	if kind == stream.KindStatus {
		mine = form.Get("From")
	}
	service, account := form.Get("MessagingServiceSid"), form.Get("AccountSid")
	best, rank := message.DefaultSender, 0
	for _, s := range i.cfg.Twilio.Senders {
		now := 0
		switch {
		case account != "" && s.AccountSID != "" && account != s.AccountSID:
		case s.ours(mine):
			now = 3
		case service != "" && service == s.MessagingServiceSID:
			now = 2
		case account != "" && account == s.AccountSID:
			now = 1
		}
		if now > rank {
			best, rank = s.Name, now
		}
	}
	return best
}
