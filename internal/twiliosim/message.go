package twiliosim

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	whatsapp         = "whatsapp:"
	inboundDirection = "inbound"
)

// Delivery is one try to post a webhook.
type Delivery struct {
	Status     string    `json:"status"`                // the MessageStatus posted, or received
	HTTPStatus int       `json:"http_status,omitempty"` // 0 if there was no answer
	At         time.Time `json:"at"`
}

// Message is a message as the simulator has it. To and From are as in the API, with the prefix of WhatsApp.
type Message struct {
	SID                 string            `json:"sid"`
	To                  string            `json:"to"`
	From                string            `json:"from"`
	MessagingServiceSID string            `json:"messaging_service_sid,omitempty"`
	Body                string            `json:"body"`
	ContentSID          string            `json:"content_sid,omitempty"`
	ContentVariables    map[string]string `json:"content_variables,omitempty"`
	StatusCallback      string            `json:"status_callback,omitempty"`
	ValidityPeriod      int               `json:"validity_period,omitempty"` // seconds
	Direction           string            `json:"direction"`
	Status              string            `json:"status"`
	ErrorCode           int               `json:"error_code,omitempty"`
	Created             time.Time         `json:"created"`
	Sent                time.Time         `json:"sent"`
	Updated             time.Time         `json:"updated"`
	Segments            int               `json:"segments"`
	Media               int               `json:"media,omitempty"`      // how many pictures or files
	MediaURLs           []string          `json:"media_urls,omitempty"` // of an outbound message
	Deliveries          []Delivery        `json:"deliveries,omitempty"` // of its webhooks, in the order in which they ended
}

// WhatsApp tells whether the message is one of WhatsApp.
func (m *Message) WhatsApp() bool { return strings.HasPrefix(m.To, whatsapp) }

// wire is the JSON of Twilio's API.
type wire struct {
	SID                 string            `json:"sid"`
	AccountSID          string            `json:"account_sid"`
	APIVersion          string            `json:"api_version"`
	Body                string            `json:"body"`
	DateCreated         string            `json:"date_created"`
	DateUpdated         string            `json:"date_updated"`
	DateSent            *string           `json:"date_sent"`
	Direction           string            `json:"direction"`
	ErrorCode           *int              `json:"error_code"`
	ErrorMessage        *string           `json:"error_message"`
	From                *string           `json:"from"`
	MessagingServiceSID *string           `json:"messaging_service_sid"`
	NumMedia            string            `json:"num_media"`
	NumSegments         string            `json:"num_segments"`
	Price               *string           `json:"price"`
	PriceUnit           *string           `json:"price_unit"`
	Status              string            `json:"status"`
	SubresourceURIs     map[string]string `json:"subresource_uris"`
	To                  string            `json:"to"`
	URI                 string            `json:"uri"`
}

func (s *Simulator) wire(m *Message) wire {
	path := "/2010-04-01/Accounts/" + s.cfg.AccountSID + "/Messages/" + m.SID
	out := wire{
		SID: m.SID, AccountSID: s.cfg.AccountSID, APIVersion: apiVersion, Body: m.Body, Direction: m.Direction,
		DateCreated: m.Created.UTC().Format(time.RFC1123Z), DateUpdated: m.Updated.UTC().Format(time.RFC1123Z),
		NumMedia: strconv.Itoa(m.Media), NumSegments: strconv.Itoa(m.Segments), Status: m.Status, To: m.To, URI: path + ".json",
		SubresourceURIs: map[string]string{"media": path + "/Media.json"},
	}
	if !m.Sent.IsZero() {
		sent := m.Sent.UTC().Format(time.RFC1123Z)
		out.DateSent = &sent
	}
	// Copies: the answer is written after the lock on the message is gone.
	if code := m.ErrorCode; code != 0 {
		out.ErrorCode = &code
	}
	if from := m.From; from != "" {
		out.From = &from
	}
	if service := m.MessagingServiceSID; service != "" {
		out.MessagingServiceSID = &service
	}
	if m.MessagingServiceSID != "" && m.Status == "accepted" {
		out.From, out.NumSegments = nil, "0" // no sender is chosen yet
	}
	return out
}

func newSID(prefix string) string {
	const size = 16
	raw := make([]byte, size)
	_, _ = rand.Read(raw) // never fails, see crypto/rand
	return prefix + hex.EncodeToString(raw)
}

// segments is a rough count: plain ASCII as GSM-7, all else as UCS-2.
func segments(body string) int {
	single, part := 160, 153
	units := len(body)
	for i := range len(body) {
		if body[i] >= 0x80 {
			single, part = 70, 67
			units = len(utf16.Encode([]rune(body)))
			break
		}
	}
	if units <= single {
		return 1
	}
	return (units + part - 1) / part
}
