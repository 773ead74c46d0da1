package twilio

import (
	"context"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// Bounds of a page. Source: Twilio, "Read multiple Message resources".
const (
	defaultPageSize = 50
	MaxPageSize     = 1000 // in messages
)

// ListQuery selects messages. Filtering by date is left to the caller: Twilio filters by the date of sending, which a
// queued message does not have.
type ListQuery struct {
	To, From string          // without the channel's prefix; empty for any
	Channel  message.Channel // of To and From
	Limit    int             // most messages to return; 0 for all
	PageSize int             // per request, at most 1000; 0 chooses
	Since    time.Time       // only what was sent at this time or later, so nothing that still waits at Twilio; zero for all
}

// Resource is a message as Twilio has it.
type Resource struct {
	SID                 string
	To, From            address.Address // without the channel's prefix; From is empty while no sender is chosen
	Channel             message.Channel
	Status              string // Twilio's word
	ErrorCode           int
	Body                string
	Direction           string // inbound, outbound-api, ...
	MessagingServiceSID string
	DateCreated         time.Time // zero if Twilio gave none that can be read
	DateSent            time.Time // the same
	AccountSID          string
	Media               int // how many pictures or files it has
	Segments            int
}

// List reads messages, newest first, page by page. On an error nothing is returned: a part of a list proves nothing. The error is
// an *Error.
func (c *Client) List(ctx context.Context, query ListQuery) ([]Resource, error) {
	var found []Resource
	err := c.Walk(ctx, query, func(r *Resource) { found = append(found, *r) })
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Walk shows the messages of a listing, newest first, and holds one page of them at a time: an account may have any number. What was
// shown before an error is a part of a list. Every page is asked for at our base URL. The error is an *Error.
func (c *Client) Walk(ctx context.Context, query ListQuery, show func(*Resource)) error {
	params := query.params()
	token, page, shown := "", "", 0
	seen := map[string]bool{}
	for {
		one, service, err := c.begin(ctx, "list")
		if err != nil {
			return err
		}
		answer, err := service.PageMessage(params, token, page)
		if err != nil {
			return one.asError(err)
		}
		if answer.Messages == nil { // an empty list is [], so this is something else, and proves no absence
			return one.fail(Unclear, 0, ErrUndecodable)
		}
		for i := range answer.Messages {
			r := resource(&answer.Messages[i])
			if r.before(query.Since) {
				return nil
			}
			show(&r)
			if shown++; shown == query.Limit {
				return nil
			}
		}
		next := text(answer.NextPageUri)
		if next == "" {
			return nil
		}
		// Only the page's position is taken from the link: host, path and filters stay ours.
		link, err := url.Parse(next)
		if err != nil || seen[next] {
			return one.fail(Unclear, 0, ErrPaging)
		}
		seen[next] = true
		token, page = link.Query().Get("PageToken"), link.Query().Get("Page")
		if token == "" && page == "" {
			return one.fail(Unclear, 0, ErrPaging)
		}
	}
}

// Fetch reads one message. A message that does not exist gives Refused with status 404.
func (c *Client) Fetch(ctx context.Context, sid string) (Resource, error) {
	one, service, err := c.begin(ctx, "fetch")
	if err != nil {
		return Resource{}, err
	}
	if !isIdentifier(sid) {
		return Resource{}, one.fail(NotSent, 0, ErrBadSID)
	}
	found, err := service.FetchMessage(sid, nil)
	if err != nil {
		return Resource{}, one.asError(err)
	}
	if found == nil || text(found.Sid) == "" {
		return Resource{}, one.fail(Unclear, 0, ErrNoSID)
	}
	return resource(found), nil
}

func (q ListQuery) params() *api.ListMessageParams {
	size := q.PageSize
	if size <= 0 {
		size = defaultPageSize
		if q.Limit > 0 {
			size = q.Limit
		}
	}
	params := &api.ListMessageParams{}
	params.SetPageSize(min(size, MaxPageSize))
	if !q.Since.IsZero() { // by the day, and to be sure a day more: the listing ends by itself
		params.SetDateSentAfter(q.Since.UTC().AddDate(0, 0, -1))
	}
	if q.To != "" {
		params.SetTo(prefixed(q.Channel, q.To))
	}
	if q.From != "" {
		params.SetFrom(prefixed(q.Channel, q.From))
	}
	return params
}

func resource(m *api.ApiV2010Message) Resource {
	to, channel := splitAddress(text(m.To))
	from, _ := splitAddress(text(m.From))
	r := Resource{
		SID: text(m.Sid), To: to, From: from, Channel: channel, Status: text(m.Status), Body: text(m.Body),
		Direction: text(m.Direction), MessagingServiceSID: text(m.MessagingServiceSid), Segments: number(m.NumSegments),
	}
	if m.ErrorCode != nil {
		r.ErrorCode = *m.ErrorCode
	}
	r.AccountSID, r.Media = text(m.AccountSid), number(m.NumMedia)
	r.DateCreated, r.DateSent = date(m.DateCreated), date(m.DateSent)
	return r
}

func date(text *string) time.Time {
	if text == nil {
		return time.Time{}
	}
	at, err := mail.ParseDate(*text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// Inbound tells whether a person sent it to us.
func (r *Resource) Inbound() bool { return strings.HasPrefix(r.Direction, "inbound") }

// before tells whether it was sent before the time. A message that was scheduled is sent long after it was created.
func (r *Resource) before(since time.Time) bool {
	at := r.DateSent
	if at.IsZero() {
		at = r.DateCreated
	}
	return !since.IsZero() && !at.IsZero() && at.Before(since)
}

// InboundForm is the webhook of an inbound message as far as its resource tells: a listing has no profile name, no button, no
// link to the message that it replies to, no OptOutType and no media links.
func (r *Resource) InboundForm() url.Values {
	form := url.Values{
		"MessageSid": {r.SID}, "SmsSid": {r.SID}, "SmsMessageSid": {r.SID}, "AccountSid": {r.AccountSID}, "SmsStatus": {"received"},
		"From": {prefixed(r.Channel, string(r.From))}, "To": {prefixed(r.Channel, string(r.To))}, "Body": {r.Body},
		"NumMedia": {strconv.Itoa(r.Media)}, "NumSegments": {strconv.Itoa(r.Segments)},
	}
	if r.MessagingServiceSID != "" {
		form.Set("MessagingServiceSid", r.MessagingServiceSID)
	}
	return form
}
