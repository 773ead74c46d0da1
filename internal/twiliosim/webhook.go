package twiliosim

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/twilio"
)

// Twilio's defaults and bounds of connection overrides. Source: Twilio, "Webhooks (HTTP callbacks): Connection Overrides".
const (
	defaultRetries = 1
	maxRetries     = 5
)

func newPoster(cfg Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			MaxIdleConns: cfg.Workers * 2, MaxIdleConnsPerHost: cfg.Workers * 2, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// retryPolicy is what the fragment of a webhook URL asks for.
type retryPolicy struct {
	retries int
	on      []string
}

func policyOf(fragment string) retryPolicy {
	p := retryPolicy{retries: defaultRetries, on: []string{"ct"}}
	settings, err := url.ParseQuery(fragment)
	if err != nil {
		return p
	}
	if n, err := strconv.Atoi(settings.Get("rc")); err == nil {
		p.retries = min(max(n, 0), maxRetries)
	}
	if on := settings.Get("rp"); on != "" {
		p.on = strings.Split(on, ",")
	}
	return p
}

// again tells whether a try with this outcome is repeated.
func (p retryPolicy) again(status int, err error) bool {
	var class string
	var op *net.OpError
	switch {
	case err != nil && errors.As(err, &op) && op.Op == "dial":
		class = "ct"
	case err != nil:
		class = "rt"
	case status >= http.StatusInternalServerError:
		class = "5xx"
	case status >= http.StatusBadRequest:
		class = "4xx"
	default:
		return false
	}
	return slices.Contains(p.on, "all") || slices.Contains(p.on, class)
}

// deliver posts a webhook for a message, with the retries of the URL's fragment, and notes each try on the message.
// It returns the last try's HTTP status, 0 for no answer.
func (s *Simulator) deliver(ctx context.Context, m *Message, link string, form url.Values) int {
	target, fragment, _ := strings.Cut(link, "#")
	policy := policyOf(fragment)
	headers := http.Header{
		"Content-Type":               {"application/x-www-form-urlencoded; charset=UTF-8"},
		"User-Agent":                 {"TwilioProxy/1.1"},
		"X-Twilio-Signature":         {twilio.Sign(s.cfg.AuthToken, target, form)},
		"I-Twilio-Idempotency-Token": {newSID("")},
		"X-Home-Region":              {"us1"},
		"Accept":                     {"*/*"},
	}
	status := 0
	for range policy.retries + 1 {
		var err error
		status, err = s.postOnce(ctx, target, headers, form.Encode())
		s.note(m, form, status)
		if ctx.Err() != nil || !policy.again(status, err) {
			break
		}
	}
	return status
}

func (s *Simulator) postOnce(ctx context.Context, target string, headers http.Header, body string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallbackTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header = headers
	response, err := s.post.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxRequest))
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

// note records a try.
func (s *Simulator) note(m *Message, form url.Values, status int) {
	s.stats.callbacks.Add(1)
	if status < http.StatusOK || status >= http.StatusMultipleChoices {
		s.stats.callbacksFailed.Add(1)
		s.cfg.Log.Debug("twilio simulator: a webhook was not taken", slog.String("sid", m.SID), slog.Int("status", status))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Deliveries = append(m.Deliveries, Delivery{Status: form.Get("SmsStatus"), HTTPStatus: status, At: time.Now()})
	s.notify()
}
