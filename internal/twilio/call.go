package twilio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	sdk "github.com/twilio/twilio-go/client"
)

// Limits of the bodies that are read. A page of 1000 messages of 1600 characters stays below maxBody.
const (
	maxErrorBody = 64 << 10
	maxBody      = 16 << 20
)

const formType = "application/x-www-form-urlencoded"

// call is one API call: the sdk.BaseClient that is given to twilio-go, made anew per call since the library has no
// other way to hand over a context.
type call struct {
	ctx     context.Context //nolint:containedctx // lives for one call; twilio-go's BaseClient has no context parameter
	client  *Client
	op      string
	country string // of the recipient, ISO 3166-1; empty when there is none or it is not known
}

var _ sdk.BaseClient = (*call)(nil)

// AccountSid is put into the path by twilio-go.
func (c *call) AccountSid() string { return c.client.cfg.AccountSID }

// SetTimeout does nothing: the context has the deadline.
func (c *call) SetTimeout(time.Duration) {}

// SetOauth does nothing: basic authentication is used.
func (c *call) SetOauth(sdk.OAuth) {}

// OAuth is nil.
func (c *call) OAuth() sdk.OAuth { return nil }

// SendRequest carries out one request at our base URL, whatever host rawURL names (twilio-go reads TWILIO_EDGE and
// TWILIO_REGION into it). It returns a response only for 2xx, with the body already in memory; all else is an *Error.
func (c *call) SendRequest(method, rawURL string, data url.Values, headers map[string]any, body ...byte) (*http.Response, error) {
	request, written, err := c.request(method, rawURL, data, headers, body)
	if err != nil {
		return nil, c.fail(NotSent, 0, err)
	}
	// The transport itself, not an http.Client: it never follows a redirect, and its errors do not quote the URL.
	response, err := c.client.transport.RoundTrip(request)
	if err != nil {
		if written.Load() {
			return nil, c.fail(Unclear, 0, err)
		}
		return nil, c.fail(NotSent, 0, err)
	}
	return c.answer(response)
}

func (c *call) request(method, rawURL string, data url.Values, headers map[string]any, body []byte) (*http.Request, *atomic.Bool, error) {
	target, err := c.client.locate(rawURL)
	if err != nil {
		return nil, nil, err
	}
	payload := body
	if method == http.MethodGet || method == http.MethodDelete {
		if len(data) > 0 {
			target.RawQuery = data.Encode()
		}
	} else if len(data) > 0 {
		payload = []byte(data.Encode())
	}
	request, err := http.NewRequestWithContext(c.ctx, method, target.String(), http.NoBody)
	if err != nil {
		return nil, nil, errors.New("the request cannot be built")
	}
	written := &atomic.Bool{}
	if len(payload) > 0 {
		guard(request, payload, written)
	} else {
		request = request.WithContext(httptrace.WithClientTrace(c.ctx, &httptrace.ClientTrace{
			WroteHeaders: func() { written.Store(true) },
		}))
	}
	request.SetBasicAuth(c.client.cfg.credentials())
	request.Header.Set("User-Agent", "beckon twilio-go/"+sdk.LibraryVersion)
	request.Header.Set("Accept", "application/json")
	for name, value := range headers {
		if text, ok := value.(string); ok && (name != "Content-Type" || len(payload) > 0) {
			request.Header.Set(name, text)
		}
	}
	return request, written, nil
}

// answer turns a response into what twilio-go may see. The body is read to its end and closed on every path, so that
// the connection is used again.
func (c *call) answer(response *http.Response) (*http.Response, error) {
	good := response.StatusCode >= http.StatusOK && response.StatusCode < http.StatusMultipleChoices
	limit := int64(maxErrorBody)
	if good {
		limit = maxBody
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	closeErr := response.Body.Close()
	if !good {
		return nil, c.failStatus(response, body)
	}
	if int64(len(body)) > limit {
		return nil, c.fail(Unclear, response.StatusCode, ErrTooLarge)
	}
	if err = errors.Join(err, closeErr); err != nil {
		return nil, c.fail(Unclear, response.StatusCode, err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

func (c *call) failStatus(response *http.Response, body []byte) *Error {
	var answer struct {
		Code int `json:"code"`
	}
	_ = json.Unmarshal(body, &answer) // not JSON: a proxy's page; the status speaks for itself
	failure := &Error{
		Kind: kindOf(response.StatusCode), Code: answer.Code, Status: response.StatusCode, Op: c.op,
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
	if failure.Status/100 == 3 {
		failure.Cause = ErrRedirect
	}
	return c.react(failure)
}

func (c *call) fail(kind Kind, status int, cause error) *Error {
	return c.react(&Error{Kind: kind, Status: status, Op: c.op, Cause: cause})
}

// refuse is what Twilio would have answered with the code to a request that was not sent.
func (c *call) refuse(code int, cause error) *Error {
	return c.react(&Error{Kind: Refused, Code: code, Op: c.op, Cause: cause})
}

func (c *call) react(failure *Error) *Error {
	switch failure.Kind {
	case Unclear:
		failure.Rule = Rule{Reaction: Reconcile, Meaning: "the outcome is not known"}
	case NotSent:
		failure.Rule = Rule{Reaction: Retry, Meaning: "the request was not carried out"}
		if failure.Status != 0 {
			failure.Rule = c.client.reactions.ForCountry(PhaseSend, failure.Code, failure.Status, c.country)
		}
	case Refused:
		failure.Rule = c.client.reactions.ForCountry(PhaseSend, failure.Code, failure.Status, c.country)
	}
	failure.Reaction = failure.Rule.Reaction
	return failure
}

// kindOf classifies a status that is not a success. 408 may come from a proxy that gave up while Twilio worked.
func kindOf(status int) Kind {
	switch {
	case status == http.StatusTooManyRequests:
		return NotSent
	case status == http.StatusRequestTimeout:
		return Unclear
	case status >= http.StatusBadRequest && status < http.StatusInternalServerError:
		return Refused
	}
	return Unclear
}

// retryAfter reads the header in both forms of RFC 9110, section 10.2.3; 0 if absent or in the past, at most a day.
func retryAfter(text string, now time.Time) time.Duration {
	const longest = 24 * time.Hour
	var wait time.Duration
	if seconds, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(longest/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), longest)
}

// guard gives the request a body that checks the deadline one last time when the connection asks for it, and that
// records whether it was handed out. Without its body a request is incomplete and not carried out, so "not handed
// out" means "certainly not sent", and a process that was frozen past its deadline sends nothing when it wakes.
func guard(request *http.Request, payload []byte, handed *atomic.Bool) {
	request.ContentLength = int64(len(payload))
	request.GetBody = func() (io.ReadCloser, error) {
		handed.Store(false) // the transport asks again only when nothing of the first try was written
		return &guardedBody{ctx: request.Context(), rest: payload, handed: handed}, nil
	}
	request.Body = &guardedBody{ctx: request.Context(), rest: payload, handed: handed}
}

type guardedBody struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no context parameter; lives as long as its request
	rest   []byte
	handed *atomic.Bool
}

// Read hands out the payload unless the request's time is over.
func (b *guardedBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	if err := expired(b.ctx, time.Now()); err != nil {
		return 0, err
	}
	b.handed.Store(true)
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close does nothing.
func (b *guardedBody) Close() error { return nil }

// expired looks at both clocks: the monotonic one stops while a machine is suspended, the wall clock may jump.
func expired(ctx context.Context, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, ok := ctx.Deadline()
	if ok && (now.After(deadline) || now.Round(0).After(deadline.Round(0))) {
		return errExpired
	}
	return nil
}
