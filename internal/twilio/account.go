package twilio

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	api "github.com/twilio/twilio-go/rest/api/v2010"
	content "github.com/twilio/twilio-go/rest/content/v1"
	services "github.com/twilio/twilio-go/rest/messaging/v1"
	senders "github.com/twilio/twilio-go/rest/messaging/v2"
)

// The hosts of the APIs that are not on the one of DefaultBaseURL.
const (
	contentHost   = "content"
	messagingHost = "messaging"
)

// Approved is the status of a template that WhatsApp lets through.
const Approved = "approved"

// Template is a template of the account.
type Template struct {
	SID       string
	Name      string
	Language  string
	Status    string   // of WhatsApp's approval: Approved, pending, rejected, paused, disabled, unsubmitted
	Category  string   // MARKETING, UTILITY, AUTHENTICATION; empty when it was never submitted
	Variables []string // their keys, sorted
}

// Endpoint is a sender, or a Messaging Service, as the account has it.
type Endpoint struct {
	Status     string // of a WhatsApp sender: ONLINE when it works; empty for others
	InboundURL string // where replies are posted; empty when nowhere, or when each number says so
	OnNumbers  bool   // of a Messaging Service: each number of its pool says where
}

// AccountStatus is Twilio's word for the state of the account: active, suspended, closed. The error is an *Error.
func (c *Client) AccountStatus(ctx context.Context) (string, error) {
	one, service, err := c.begin(ctx, "account")
	if err != nil {
		return "", err
	}
	found, err := service.FetchAccount(c.cfg.AccountSID)
	if err != nil {
		return "", one.asError(err)
	}
	return text(found.Status), nil
}

// Templates lists the templates of the account with WhatsApp's approvals, by the Content API, page by page. The error is an *Error.
func (c *Client) Templates(ctx context.Context) ([]Template, error) {
	const mostPages = 1000
	var all []Template
	token, page := "", ""
	for range mostPages {
		one, _, err := c.begin(ctx, "templates")
		if err != nil {
			return nil, err
		}
		params := (&content.ListContentAndApprovalsParams{}).SetPageSize(MaxPageSize)
		answer, err := content.NewApiServiceWithClient(one).PageContentAndApprovals(params, token, page)
		if err != nil {
			return nil, one.asError(err)
		}
		if answer.Contents == nil {
			return nil, one.fail(Unclear, 0, ErrUndecodable)
		}
		for i := range answer.Contents {
			all = append(all, template(&answer.Contents[i]))
		}
		next := text(answer.Meta.NextPageUrl)
		if next == "" {
			return all, nil
		}
		if token, page, err = position(next); err != nil { // host and path stay ours
			return nil, one.fail(Unclear, 0, ErrPaging)
		}
	}
	return nil, (&call{ctx: ctx, client: c, op: "templates"}).fail(Unclear, 0, ErrPaging)
}

// position is the place in a list that a link to its next page names.
func position(next string) (token, page string, err error) {
	link, err := url.Parse(next)
	if err != nil {
		return "", "", ErrPaging
	}
	token, page = link.Query().Get("PageToken"), link.Query().Get("Page")
	if token == "" && page == "" {
		return "", "", ErrPaging
	}
	return token, page, nil
}

func template(c *content.ContentV1ContentAndApprovals) Template {
	t := Template{SID: text(c.Sid), Name: text(c.FriendlyName), Language: text(c.Language), Status: "unsubmitted"}
	if c.Variables != nil {
		t.Variables = slices.Sorted(maps.Keys(*c.Variables))
	}
	if c.ApprovalRequests != nil {
		word := func(name string) string { s, _ := (*c.ApprovalRequests)[name].(string); return s }
		if status := word("status"); status != "" {
			t.Status = strings.ToLower(status)
		}
		t.Category = word("category")
	}
	return t
}

// MessagingService reads a Messaging Service; false when the account has none with the SID. The error is an *Error.
func (c *Client) MessagingService(ctx context.Context, sid string) (Endpoint, bool, error) {
	one, _, err := c.begin(ctx, "service")
	if err != nil {
		return Endpoint{}, false, err
	}
	if !isIdentifier(sid) {
		return Endpoint{}, false, one.fail(NotSent, 0, ErrBadSID)
	}
	found, err := services.NewApiServiceWithClient(one).FetchService(sid)
	if err != nil {
		failure := one.asError(err)
		if is, ok := AsError(failure); ok && is.Status == http.StatusNotFound {
			return Endpoint{}, false, nil
		}
		return Endpoint{}, false, failure
	}
	return Endpoint{
		InboundURL: text(found.InboundRequestUrl), OnNumbers: found.UseInboundWebhookOnNumber != nil && *found.UseInboundWebhookOnNumber,
	}, true, nil
}

// Number reads a phone number of the account; false when it has no such number. The error is an *Error.
func (c *Client) Number(ctx context.Context, number string) (Endpoint, bool, error) {
	one, service, err := c.begin(ctx, "number")
	if err != nil {
		return Endpoint{}, false, err
	}
	params := (&api.ListIncomingPhoneNumberParams{}).SetPhoneNumber(number).SetPageSize(defaultPageSize)
	answer, err := service.PageIncomingPhoneNumber(params, "", "")
	if err != nil {
		return Endpoint{}, false, one.asError(err)
	}
	for i := range answer.IncomingPhoneNumbers {
		if n := &answer.IncomingPhoneNumbers[i]; text(n.PhoneNumber) == number {
			return Endpoint{InboundURL: text(n.SmsUrl)}, true, nil
		}
	}
	return Endpoint{}, false, nil
}

// WhatsAppSender reads a sender of WhatsApp; false when the account has none with the number. The error is an *Error.
func (c *Client) WhatsAppSender(ctx context.Context, number string) (Endpoint, bool, error) {
	const mostPages = 1000
	token, page := "", ""
	for range mostPages {
		one, _, err := c.begin(ctx, "sender")
		if err != nil {
			return Endpoint{}, false, err
		}
		params := (&senders.ListChannelsSenderParams{}).SetChannel("whatsapp").SetPageSize(defaultPageSize)
		answer, err := senders.NewApiServiceWithClient(one).PageChannelsSender(params, token, page)
		if err != nil {
			return Endpoint{}, false, one.asError(err)
		}
		for i := range answer.Senders {
			s := &answer.Senders[i]
			if text(s.SenderId) != whatsappPrefix+number {
				continue
			}
			found := Endpoint{Status: text(s.Status)}
			if s.Webhook != nil {
				found.InboundURL = text(s.Webhook.CallbackUrl)
			}
			return found, true, nil
		}
		next := answer.Meta.NextPageUrl
		if text(next) == "" {
			return Endpoint{}, false, nil
		}
		if token, page, err = position(text(next)); err != nil {
			return Endpoint{}, false, one.fail(Unclear, 0, ErrPaging)
		}
	}
	return Endpoint{}, false, (&call{ctx: ctx, client: c, op: "sender"}).fail(Unclear, 0, ErrPaging)
}
