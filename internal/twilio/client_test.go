package twilio_test

import (
	"context"
	"errors"
	"io"
	"log" //nolint:depguard // net/http wants one
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

const (
	person = "+14155550123"
	sender = "+15005550006"
)

func TestMain(m *testing.M) {
	// The library reads these into its URLs; no test may notice.
	_ = os.Setenv("TWILIO_EDGE", "dublin")
	_ = os.Setenv("TWILIO_REGION", "ie1")
	goleak.VerifyTestMain(m)
}

func sms(to string) twilio.Request {
	return twilio.Request{From: sender, To: to, Channel: message.SMS, Body: "secret words"}
}

func failure(t *testing.T, err error) *twilio.Error {
	t.Helper()
	require.Error(t, err)
	found, ok := twilio.AsError(err)
	require.True(t, ok, "%T", err)
	for _, secret := range []string{person, person[1:], "secret words", twiliosimtest.AuthToken, twiliosimtest.AccountSID} {
		require.NotContains(t, err.Error(), secret)
	}
	return found
}

func TestSend(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	client := server.Client(t)

	result, err := client.Send(t.Context(), sms(person))
	require.NoError(t, err)
	require.Equal(t, "queued", result.Status)
	require.Equal(t, message.Accepted, result.State)
	require.Equal(t, 1, result.Segments)
	sent, ok := server.Message(result.SID)
	require.True(t, ok)
	require.Equal(t, person, sent.To)
	require.Equal(t, sender, sent.From)
	require.Equal(t, "secret words", sent.Body)

	result, err = client.Send(t.Context(), twilio.Request{
		MessagingServiceSID: "MG1", To: person, Channel: message.SMS, Body: "x", ValidityPeriod: 1500 * time.Millisecond,
	})
	require.NoError(t, err)
	require.Equal(t, "accepted", result.Status)
	require.Zero(t, result.Segments)
	sent, _ = server.Message(result.SID)
	require.Equal(t, 2, sent.ValidityPeriod)
}

func TestSendWhatsApp(t *testing.T) {
	t.Parallel()
	template := "HX" + strings.Repeat("a", 32)
	server := twiliosimtest.NewServer(t, twiliosim.Config{Templates: map[string]string{template: "Hello {{1}}"}})
	result, err := server.Client(t).Send(t.Context(), twilio.Request{
		From: sender, To: "US.1A2b3C", Channel: message.WhatsApp, Body: "not sent",
		ContentSID: template, ContentVariables: map[string]string{"1": "Ada"},
	})
	require.NoError(t, err)
	sent, _ := server.Message(result.SID)
	require.Equal(t, "whatsapp:US.1A2b3C", sent.To)
	require.Equal(t, "whatsapp:"+sender, sent.From)
	require.Equal(t, "Hello Ada", sent.Body, "the body must stay out when there is a template")
}

func TestSendFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		fault   twiliosim.Fault
		kind    twilio.Kind
		status  int
		code    int
		after   time.Duration
		react   twilio.Reaction
		cause   error
		created int
	}{
		{name: "unsubscribed", fault: twiliosim.Fault{Kind: twiliosim.Refuse, Code: 21610}, kind: twilio.Refused, status: 400, code: 21610, react: twilio.OptOut},
		{name: "unknown code", fault: twiliosim.Fault{Kind: twiliosim.Refuse, Code: 99999}, kind: twilio.Refused, status: 400, code: 99999, react: twilio.Content},
		{name: "auth", fault: twiliosim.Fault{Kind: twiliosim.Refuse, Status: 401, Code: 20003}, kind: twilio.Refused, status: 401, code: 20003, react: twilio.Alert},
		{name: "429", fault: twiliosim.Fault{Kind: twiliosim.RateLimit, RetryAfterSeconds: 7}, kind: twilio.NotSent, status: 429, code: 20429, after: 7 * time.Second, react: twilio.Retry},
		{name: "403 page", fault: twiliosim.Fault{Kind: twiliosim.ServerError, Status: 403}, kind: twilio.Refused, status: 403, react: twilio.Alert},
		{name: "408 page", fault: twiliosim.Fault{Kind: twiliosim.ServerError, Status: 408}, kind: twilio.Unclear, status: 408, react: twilio.Reconcile},
		{name: "500 page", fault: twiliosim.Fault{Kind: twiliosim.ServerError}, kind: twilio.Unclear, status: 500, react: twilio.Reconcile},
		{name: "500 created", fault: twiliosim.Fault{Kind: twiliosim.ServerErrorCreated}, kind: twilio.Unclear, status: 500, react: twilio.Reconcile, created: 1},
		{name: "503 JSON", fault: twiliosim.Fault{Kind: twiliosim.Refuse, Status: 503, Code: 20503}, kind: twilio.Unclear, status: 503, code: 20503, react: twilio.Reconcile},
		{name: "junk", fault: twiliosim.Fault{Kind: twiliosim.Junk}, kind: twilio.Unclear, react: twilio.Reconcile, cause: twilio.ErrUndecodable, created: 1},
		{name: "empty object", fault: twiliosim.Fault{Kind: twiliosim.EmptyObject}, kind: twilio.Unclear, react: twilio.Reconcile, cause: twilio.ErrNoSID, created: 1},
		{name: "redirect", fault: twiliosim.Fault{Kind: twiliosim.Redirect}, kind: twilio.Unclear, status: 307, react: twilio.Reconcile, cause: twilio.ErrRedirect},
		{name: "reset", fault: twiliosim.Fault{Kind: twiliosim.Reset}, kind: twilio.Unclear, react: twilio.Reconcile},
		{name: "answer lost", fault: twiliosim.Fault{Kind: twiliosim.LoseAnswer}, kind: twilio.Unclear, react: twilio.Reconcile, created: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := twiliosimtest.NewServer(t, twiliosim.Config{})
			server.AddFault(test.fault)
			_, err := server.Client(t).Send(t.Context(), sms(person))
			got := failure(t, err)
			require.Equal(t, test.kind, got.Kind, err)
			require.Equal(t, test.status, got.Status)
			require.Equal(t, test.code, got.Code)
			require.Equal(t, test.after, got.RetryAfter)
			require.Equal(t, test.react, got.Reaction)
			if test.cause != nil {
				require.ErrorIs(t, err, test.cause)
			}
			require.Equal(t, test.created, server.Count(""))
			require.EqualValues(t, 1, server.Stats().Creates, "one call is one request")
		})
	}
}

func TestCanceledAfterWriting(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	server.AddFault(twiliosim.Fault{Kind: twiliosim.HangCreated})
	client := server.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := client.Send(ctx, sms(person))
		ended <- err
	}()
	require.NoError(t, server.WaitForCount(t.Context(), 1))
	cancel()
	err := <-ended
	require.Equal(t, twilio.Unclear, failure(t, err).Kind)
	require.ErrorIs(t, err, context.Canceled)
}

// The server never answers, or never accepts: what is reported depends on how far the request came, but it ends in time.
func TestDeadline(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	server.AddFault(twiliosim.Fault{Kind: twiliosim.Hang})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := server.Client(t).Send(ctx, sms(person))
	failure(t, err)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestCanceledBeforeWriting(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := server.Client(t).Send(ctx, sms(person))
	require.Equal(t, twilio.NotSent, failure(t, err).Kind)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, server.Stats().Creates)
}

// A context can be over only when the connection is ready for the body: the last check before the write.
func TestDeadlinePassedWhileConnecting(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	_, err := server.Client(t).Send(frozen{t.Context()}, sms(person))
	require.Equal(t, twilio.NotSent, failure(t, err).Kind)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, server.Count(""), "a request without its body is not carried out")
}

// frozen is a context whose deadline has passed though its timer has not fired, as after a process was stopped.
type frozen struct{ context.Context }

func (frozen) Deadline() (time.Time, bool) { return time.Now().Add(-time.Second), true }

func TestDialFailure(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	client := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "t", BaseURL: "http://" + address})
	_, err = client.Send(t.Context(), sms(person))
	require.Equal(t, twilio.NotSent, failure(t, err).Kind)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Equal(t, twilio.Retry, failure(t, err).Reaction)

	_, err = client.List(t.Context(), twilio.ListQuery{To: person})
	require.Equal(t, twilio.NotSent, failure(t, err).Kind)
}

func TestTLSFailureIsNotSent(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	client := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "t", BaseURL: server.URL})
	_, err := client.Send(t.Context(), sms(person))
	require.Equal(t, twilio.NotSent, failure(t, err).Kind, "an unknown authority")
	require.ErrorContains(t, err, "certificate")
}

func TestConnectionIsUsedAgainAfterErrors(t *testing.T) {
	t.Parallel()
	sim, err := twiliosim.New(twiliosim.Config{AccountSID: "AC1", AuthToken: "t"})
	require.NoError(t, err)
	defer sim.Close()
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(sim)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "t", BaseURL: server.URL + "/"})
	defer client.Close()
	sim.AddFault(twiliosim.Fault{Kind: twiliosim.ServerError, Count: 5})
	sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Code: 21610, Count: 5})
	for range 10 {
		_, err := client.Send(t.Context(), sms(person))
		failure(t, err)
	}
	_, err = client.Send(t.Context(), sms(person))
	require.NoError(t, err)
	require.EqualValues(t, 1, opened.Load())
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{APIKeys: map[string]string{"SK_1": "s:e/c_r+t"}})
	cfg := server.Config()
	cfg.AuthToken, cfg.APIKey, cfg.APISecret = "", "SK_1", "s:e/c_r+t"
	client := twilio.New(cfg)
	defer client.Close()
	_, err := client.Send(t.Context(), sms(person))
	require.NoError(t, err)

	cfg.APISecret = "wrong"
	other := twilio.New(cfg)
	defer other.Close()
	_, err = other.Send(t.Context(), sms(person))
	got := failure(t, err)
	require.Equal(t, 20003, got.Code)
	require.Equal(t, twilio.StopAll, got.Rule.Stop)
}

func TestListAndFetch(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	client := server.Client(t)
	var sids []string
	for range 7 {
		result, err := client.Send(t.Context(), sms(person))
		require.NoError(t, err)
		sids = append(sids, result.SID)
	}
	_, err := client.Send(t.Context(), sms("+14155550199"))
	require.NoError(t, err)
	_, err = client.Send(t.Context(), twilio.Request{From: sender, To: person, Channel: message.WhatsApp, Body: "w"})
	require.NoError(t, err)

	all, err := client.List(t.Context(), twilio.ListQuery{To: person, Channel: message.SMS, PageSize: 3})
	require.NoError(t, err)
	require.Len(t, all, 7)
	require.Equal(t, sids[6], all[0].SID, "newest first")
	require.Equal(t, person, string(all[0].To))
	require.Equal(t, sender, string(all[0].From))
	require.Equal(t, message.SMS, all[0].Channel)
	require.Equal(t, "outbound-api", all[0].Direction)
	require.Equal(t, "secret words", all[0].Body)
	require.WithinDuration(t, time.Now(), all[0].DateCreated, time.Minute)

	some, err := client.List(t.Context(), twilio.ListQuery{To: person, Limit: 4, PageSize: 3})
	require.NoError(t, err)
	require.Len(t, some, 4)
	chat, err := client.List(t.Context(), twilio.ListQuery{To: person, From: sender, Channel: message.WhatsApp})
	require.NoError(t, err)
	require.Len(t, chat, 1)
	require.Equal(t, message.WhatsApp, chat[0].Channel)
	require.Equal(t, person, string(chat[0].To))
	none, err := client.List(t.Context(), twilio.ListQuery{To: "+14155550000"})
	require.NoError(t, err)
	require.Empty(t, none)

	one, err := client.Fetch(t.Context(), sids[0])
	require.NoError(t, err)
	require.Equal(t, sids[0], one.SID)
	_, err = client.Fetch(t.Context(), "SMnone")
	require.Equal(t, http.StatusNotFound, failure(t, err).Status)
	_, err = client.Fetch(t.Context(), "../Calls")
	require.ErrorIs(t, err, twilio.ErrBadSID)
}

// What is not a whole list proves no absence.
func TestListFailures(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	client := server.Client(t)
	for _, kind := range []twiliosim.FaultKind{
		twiliosim.EmptyObject, twiliosim.Junk, twiliosim.ServerError, twiliosim.Redirect,
	} {
		server.AddFault(twiliosim.Fault{Kind: kind, Op: twiliosim.OpList})
		_, err := client.List(t.Context(), twilio.ListQuery{To: person})
		require.Equal(t, twilio.Unclear, failure(t, err).Kind, kind)
	}
	// A look-up on a kept-alive connection that broke is repeated by net/http, once, on a new one.
	server.AddFault(twiliosim.Fault{Kind: twiliosim.Reset, Op: twiliosim.OpList, Count: 2})
	_, err := client.List(t.Context(), twilio.ListQuery{To: person})
	require.Equal(t, twilio.Unclear, failure(t, err).Kind)
	for range 3 {
		_, err := client.Send(t.Context(), sms(person))
		require.NoError(t, err)
	}
	server.AddFault(twiliosim.Fault{Kind: twiliosim.Slow, Op: twiliosim.OpList}) // the first page is good
	server.AddFault(twiliosim.Fault{Kind: twiliosim.ServerError, Op: twiliosim.OpList})
	found, err := client.List(t.Context(), twilio.ListQuery{To: person, PageSize: 2})
	require.Nil(t, found)
	require.Equal(t, http.StatusInternalServerError, failure(t, err).Status)
}

func TestListStopsAtALoop(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"messages":[],"next_page_uri":"/elsewhere?Page=1&PageToken=PA1"}`))
	}))
	defer server.Close()
	client := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "t", BaseURL: server.URL})
	defer client.Close()
	_, err := client.List(t.Context(), twilio.ListQuery{})
	require.ErrorIs(t, err, twilio.ErrPaging)
}

func TestRetryAfterDate(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	client := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "t", BaseURL: server.URL})
	defer client.Close()
	_, err := client.Send(t.Context(), sms(person))
	require.InDelta(t, time.Hour, failure(t, err).RetryAfter, float64(5*time.Second))
}

func TestConfig(t *testing.T) {
	t.Parallel()
	err := twilio.Config{APIKey: "SK1", BaseURL: "ftp://user:hidden@x"}.Validate()
	for _, part := range []string{"account SID", "secret", "API URL"} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "hidden")
	_, err = twilio.New(twilio.Config{}).Send(t.Context(), sms(person))
	require.Equal(t, twilio.NotSent, failure(t, err).Kind)
	require.NoError(t, twilio.Config{AccountSID: "AC1", AuthToken: "x"}.Validate())
}

func TestErrorUnwraps(t *testing.T) {
	t.Parallel()
	cause := errors.New(person)
	err := &twilio.Error{Kind: twilio.Unclear, Op: "send", Cause: cause}
	require.ErrorIs(t, err, cause)
	require.NotContains(t, err.Error(), person)
}

func BenchmarkSend(b *testing.B) {
	server := twiliosimtest.NewServer(b, twiliosim.Config{})
	client := server.Client(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Send(b.Context(), sms(person)); err != nil {
				b.Error(err)
			}
		}
	})
}
