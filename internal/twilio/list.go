package twilio

import (
	"context"
	"net/mail"
	"net/url"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// Bounds of a page. Source: Twilio, "Read multiple Message resources".
const (
	defaultPageSize = 50
	maxPageSize     = 1000
)

// ListQuery selects messages. Filtering by date is left to the caller: Twilio filters by the date of sending, which a
// queued message does not have.
type ListQuery struct {
	To, From string          // without the channel's prefix; empty for any
	Channel  message.Channel // of To and From
	Limit    int             // most messages to return; 0 for all
	PageSize int             // per request, at most 1000; 0 chooses
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
	Segments            int
}

// List reads messages, newest first, page by page. Every page is asked for at our base URL. On an error nothing is
// returned: a part of a list proves nothing. The error is an *Error.
func (c *Client) List(ctx context.Context, query ListQuery) ([]Resource, error) {
	params := query.params()
	var found []Resource
	token, page := "", ""
	seen := map[string]bool{}
	for {
		one, service, err := c.begin(ctx, "list")
		if err != nil {
			return nil, err
		}
		answer, err := service.PageMessage(params, token, page)
		if err != nil {
			return nil, one.asError(err)
		}
		if answer.Messages == nil { // an empty list is [], so this is something else, and proves no absence
			return nil, one.fail(Unclear, 0, ErrUndecodable)
		}
		for i := range answer.Messages {
			found = append(found, resource(&answer.Messages[i]))
			if query.Limit > 0 && len(found) == query.Limit {
				return found, nil
			}
		}
		next := text(answer.NextPageUri)
		if next == "" {
			return found, nil
		}
		// Only the page's position is taken from the link: host, path and filters stay ours.
		link, err := url.Parse(next)
		if err != nil || seen[next] {
			return nil, one.fail(Unclear, 0, ErrPaging)
		}
		seen[next] = true
		token, page = link.Query().Get("PageToken"), link.Query().Get("Page")
		if token == "" && page == "" {
			return nil, one.fail(Unclear, 0, ErrPaging)
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
	params.SetPageSize(min(size, maxPageSize))
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
	if created, err := mail.ParseDate(text(m.DateCreated)); err == nil {
		r.DateCreated = created.UTC()
	}
	return r
}
