package twilio

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// Bounds of ValidityPeriod, in seconds. Source: Twilio, "Create a Message".
const (
	minValidity = 1
	maxValidity = 36000
)

const whatsappPrefix = "whatsapp:"

// Request is one message to send.
type Request struct {
	From                string // +E.164, short code or name; or
	MessagingServiceSID string // MG..., whose pool then has the sender; with both, From must be in the pool
	To                  string // +E.164, or a WhatsApp business-scoped id; without the channel's prefix
	Channel             message.Channel
	Body                string            // not sent when ContentSID is set: Twilio fails such messages with 63016
	MediaURL            []string          // of pictures and files; with Body only
	ContentSID          string            // HX..., an approved template
	ContentVariables    map[string]string // of the template
	StatusCallback      string            // URL; a fragment configures Twilio's retries
	ValidityPeriod      time.Duration     // 0 for Twilio's default of 10 hours; rounded up to seconds
}

// Result is what Twilio said of a message that it took.
type Result struct {
	SID      string
	Status   string        // Twilio's word: queued, accepted, ...
	State    message.State // the same in ours; Accepted for words that we do not know
	Segments int           // 0 with a Messaging Service, whose sender is not chosen yet
}

// Send creates one message, with one HTTP request. The error is an *Error; only NotSent and Refused prove that there
// is no message.
func (c *Client) Send(ctx context.Context, request Request) (Result, error) {
	one, service, err := c.begin(ctx, "send")
	if err != nil {
		return Result{}, err
	}
	one.country = address.Address(request.To).Country()
	if err := request.checkVariables(); err != nil { // the last guard: what is rendered was checked when it was
		return Result{}, one.refuse(codeBadVariables, err)
	}
	params, err := request.params()
	if err != nil {
		return Result{}, one.fail(NotSent, 0, err)
	}
	created, err := service.CreateMessage(params)
	if err != nil {
		return Result{}, one.asError(err)
	}
	if created == nil || text(created.Sid) == "" {
		return Result{}, one.fail(Unclear, 0, ErrNoSID)
	}
	state, known := StatusToState(text(created.Status))
	if !known {
		state = message.Accepted
	}
	return Result{
		SID: text(created.Sid), Status: text(created.Status), State: state, Segments: number(created.NumSegments),
	}, nil
}

// asError lets our own errors through; anything else comes from twilio-go decoding a 2xx body.
func (c *call) asError(err error) error {
	if ours, ok := AsError(err); ok {
		return ours
	}
	return c.fail(Unclear, 0, ErrUndecodable)
}

// codeBadVariables is Twilio's code for variables that it can't take.
const codeBadVariables = 21656

// checkVariables is an ErrVariables that names the variable at fault.
func (r Request) checkVariables() error {
	if r.ContentSID == "" {
		return nil
	}
	switch key, problem := message.VariablesProblem(r.ContentVariables); {
	case problem == "":
		return nil
	case key == "":
		return fmt.Errorf("%w: they %s", ErrVariables, problem)
	default:
		return fmt.Errorf("%w: variable %s %s", ErrVariables, key, problem)
	}
}

func (r Request) params() (*api.CreateMessageParams, error) {
	params := &api.CreateMessageParams{}
	params.SetTo(prefixed(r.Channel, r.To))
	if r.From != "" {
		params.SetFrom(prefixed(r.Channel, r.From))
	}
	if r.MessagingServiceSID != "" {
		params.SetMessagingServiceSid(r.MessagingServiceSID)
	}
	if r.ContentSID == "" {
		params.SetBody(r.Body)
		if len(r.MediaURL) > 0 {
			params.SetMediaUrl(r.MediaURL)
		}
	} else {
		params.SetContentSid(r.ContentSID)
		if len(r.ContentVariables) > 0 {
			variables, err := json.Marshal(r.ContentVariables)
			if err != nil {
				return nil, err
			}
			params.SetContentVariables(string(variables))
		}
	}
	if r.StatusCallback != "" {
		params.SetStatusCallback(r.StatusCallback)
	}
	if r.ValidityPeriod > 0 {
		seconds := int((r.ValidityPeriod + time.Second - 1) / time.Second)
		params.SetValidityPeriod(min(max(seconds, minValidity), maxValidity))
	}
	return params, nil
}

func prefixed(channel message.Channel, address string) string {
	if channel != message.WhatsApp || address == "" || strings.HasPrefix(address, whatsappPrefix) {
		return address
	}
	return whatsappPrefix + address
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// number reads Twilio's numbers in text form; 0 if absent or not a number.
func number(s *string) int {
	n, err := strconv.Atoi(text(s))
	if err != nil {
		return 0
	}
	return n
}
