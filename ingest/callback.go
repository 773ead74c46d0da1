package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	headerSignature = "X-Twilio-Signature"
	maxSIDLength    = 64
	emptyTwiML      = `<?xml version="1.0" encoding="UTF-8"?><Response/>`
)

// takeMessage stores a person's message. Twilio answers STOP and HELP itself, and Beckon's own replies go out through
// the dispatcher, so the answer is always empty.
func (i *Ingest) takeMessage(w http.ResponseWriter, r *http.Request) (accepted, error) {
	attrs, err := i.takeCallback(r, func(form url.Values) (stream.CallbackKind, string, error) {
		id, err := sid(form, "MessageSid", "SmsMessageSid", "SmsSid")
		return stream.KindInbound, id, err
	})
	if err != nil {
		return nil, err
	}
	write(w, http.StatusOK, "text/xml; charset=utf-8", []byte(emptyTwiML))
	return attrs, nil
}

// takeStatus stores a delivery status. Each change of state is its own, so state and error code belong to the key. One whose error
// code says that the person opted out is stored among the replies, since it holds back sending as a STOP does.
func (i *Ingest) takeStatus(w http.ResponseWriter, r *http.Request) (accepted, error) {
	attrs, err := i.takeCallback(r, func(form url.Values) (stream.CallbackKind, string, error) {
		id, err := sid(form, "MessageSid", "SmsSid")
		if err != nil {
			return "", "", err
		}
		status := form.Get("MessageStatus")
		if status == "" {
			status = form.Get("SmsStatus")
		}
		kind := stream.KindStatus
		if i.saysOptOut(status, form.Get("ErrorCode")) {
			kind = stream.KindOptOut
		}
		return kind, id + "." + url.QueryEscape(status) + "." + url.QueryEscape(form.Get("ErrorCode")), nil
	})
	if err != nil {
		return nil, err
	}
	w.WriteHeader(http.StatusNoContent)
	return attrs, nil
}

// saysOptOut looks a failed status up in the table of reactions.
func (i *Ingest) saysOptOut(status, errorCode string) bool {
	state, known := twilio.StatusToState(status)
	code, err := strconv.Atoi(errorCode)
	if !known || err != nil || state != message.Failed && state != message.Undelivered {
		return false
	}
	return i.cfg.Twilio.Reactions.For(twilio.PhaseCallback, code, 0).Reaction == twilio.OptOut
}

// takeCallback checks a callback and makes it durable; sort says of which kind it is, and what its duplicate key.
func (i *Ingest) takeCallback(
	r *http.Request, sort func(form url.Values) (stream.CallbackKind, string, error),
) (accepted, error) {
	received := time.Now()
	if r.Method != http.MethodPost {
		return nil, errMethod
	}
	if i.cfg.Twilio.PublicURL == "" {
		return nil, errNoPublicURL
	}
	signature := r.Header.Get(headerSignature)
	if signature == "" {
		return nil, errBadSignature
	}
	body, release, err := i.callbacks.read(r, maxCallbackBody)
	if err != nil {
		return nil, err
	}
	defer release()
	contentType := r.Header.Get("Content-Type")
	if err := i.cfg.Twilio.Verifier.Verify(i.publicURL(r), contentType, body, signature); err != nil {
		return nil, errBadSignature
	}
	form, err := twilio.ParseForm(body)
	if err != nil {
		return nil, errNoSID // signed, but not a form
	}
	kind, id, err := sort(form)
	if err != nil {
		return nil, err
	}
	header := map[string]string{
		stream.HeaderQuery: r.URL.RawQuery, stream.HeaderContentType: contentType,
		stream.HeaderSender: i.senderOf(kind, form), stream.HeaderReceived: received.UTC().Format(time.RFC3339Nano),
	}
	err = i.durable(r.Context(), func(ctx context.Context) error {
		return i.cfg.Publisher.PublishCallback(ctx, kind, id, header, body)
	})
	if err != nil {
		return nil, fmt.Errorf("store callback: %w", err)
	}
	i.metrics.callbacks.WithLabelValues(string(kind)).Inc()
	return accepted{slog.String("kind", string(kind)), slog.Int("bytes", len(body))}, nil
}

// publicURL is the URL that Twilio was given: our configured one with the request's path and query as they came.
func (i *Ingest) publicURL(r *http.Request) string {
	target := strings.TrimSuffix(i.cfg.Twilio.PublicURL, "/") + r.URL.EscapedPath()
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		target += "?" + r.URL.RawQuery
	}
	return target
}

// sid is the first of the named parameters that can be a message's SID.
func sid(form url.Values, names ...string) (string, error) {
	for _, name := range names {
		value := form.Get(name)
		if value != "" && len(value) <= maxSIDLength && !strings.ContainsFunc(value, notAlphanumeric) {
			return value, nil
		}
	}
	return "", errNoSID
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
