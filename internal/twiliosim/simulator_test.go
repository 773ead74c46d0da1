package twiliosim_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	wa     = "whatsapp:"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hook is a webhook endpoint that checks signatures as ours will.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	forms  []url.Values
	bad    int
	status int // to answer; 0 for 204
	got    chan struct{}
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{got: make(chan struct{}, 1000)}
	verifier := twilio.NewVerifier([]string{twiliosimtest.AuthToken})
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := twilio.ParseForm(body)
		err := verifier.Verify(h.URL+r.URL.RequestURI(), r.Header.Get("Content-Type"), body, r.Header.Get("X-Twilio-Signature"))
		h.mu.Lock()
		if err != nil {
			h.bad++
		}
		h.forms = append(h.forms, form)
		status := h.status
		h.mu.Unlock()
		if status == 0 {
			status = http.StatusNoContent
		}
		w.WriteHeader(status)
		h.got <- struct{}{}
	}))
	t.Cleanup(h.Close)
	return h
}

// statuses waits for n callbacks and gives their statuses in the order of arrival.
func (h *hook) statuses(t *testing.T, n int) []string {
	t.Helper()
	for range n {
		select {
		case <-h.got:
		case <-time.After(10 * time.Second):
			require.Fail(t, "a webhook did not come")
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Zero(t, h.bad, "signatures")
	var all []string
	for _, form := range h.forms {
		event, err := twilio.ParseStatus(form)
		require.NoError(t, err)
		all = append(all, event.Status)
	}
	return all
}

func send(t *testing.T, server *twiliosimtest.Server, request twilio.Request) (twilio.Result, error) {
	t.Helper()
	if request.From == "" && request.MessagingServiceSID == "" {
		request.From = sender
	}
	if request.Channel == "" {
		request.Channel = message.SMS
	}
	if request.Body == "" && request.ContentSID == "" {
		request.Body = "hello"
	}
	return server.Client(t).Send(t.Context(), request)
}

func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	failure, ok := twilio.AsError(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, code, failure.Code, err)
}

func TestStatusCallbacks(t *testing.T) {
	t.Parallel()
	template := "HX" + strings.Repeat("0", 32)
	tests := []struct {
		name    string
		cfg     twiliosim.Config
		fault   twiliosim.FaultKind
		request twilio.Request
		want    []string
		status  string
		code    int
	}{
		{name: "sms", request: twilio.Request{To: person}, want: []string{"sent", "delivered"}, status: "delivered"},
		{name: "service", request: twilio.Request{To: person, MessagingServiceSID: "MG1"}, want: []string{"sent", "delivered"}, status: "delivered"},
		{
			name: "whatsapp read", cfg: twiliosim.Config{ReadReceipts: true},
			request: twilio.Request{To: person, Channel: message.WhatsApp, ContentSID: template}, want: []string{"sent", "delivered", "read"}, status: "read",
		},
		{
			name: "outside the window", request: twilio.Request{To: person, Channel: message.WhatsApp},
			want: []string{"sent", "undelivered"}, status: "undelivered", code: 63016,
		},
		{name: "unreachable", request: twilio.Request{To: "+15005553003"}, want: []string{"sent", "undelivered"}, status: "undelivered", code: 30003},
		{
			name: "not on whatsapp", request: twilio.Request{To: "+15005556303", Channel: message.WhatsApp, ContentSID: template},
			want: []string{"sent", "undelivered"}, status: "undelivered", code: 63003,
		},
		{name: "but has sms", request: twilio.Request{To: "+15005556303"}, want: []string{"sent", "delivered"}, status: "delivered"},
		{name: "failed", fault: twiliosim.Failed, request: twilio.Request{To: person}, want: []string{"failed"}, status: "failed"},
		{name: "duplicate", fault: twiliosim.DuplicateCallbacks, request: twilio.Request{To: person}, want: []string{"sent", "sent", "delivered", "delivered"}, status: "delivered"},
		{name: "reorder", fault: twiliosim.ReorderCallbacks, request: twilio.Request{To: person}, want: []string{"delivered", "sent"}, status: "delivered"},
		{name: "drop", fault: twiliosim.DropCallbacks, request: twilio.Request{To: person}, status: "delivered"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := twiliosimtest.NewServer(t, test.cfg)
			h := newHook(t)
			if test.fault != "" {
				server.AddFault(twiliosim.Fault{Kind: test.fault})
			}
			test.request.StatusCallback = h.URL + "/status?message=1%2F2&attempt=3#rc=2"
			result, err := send(t, server, test.request)
			require.NoError(t, err)
			require.Equal(t, test.want, h.statuses(t, len(test.want)))
			require.NoError(t, server.WaitFor(t.Context(), func(all []twiliosim.Message) bool {
				return all[0].Status == test.status && len(all[0].Deliveries) == len(test.want)
			}))
			found, err := server.Client(t).Fetch(t.Context(), result.SID)
			require.NoError(t, err)
			require.Equal(t, test.status, found.Status)
			require.Equal(t, test.code, found.ErrorCode)
			for _, form := range h.forms {
				require.Equal(t, result.SID, form.Get("MessageSid"))
			}
			require.EqualValues(t, len(test.want), server.Stats().Callbacks)
		})
	}
}

func TestEarlyCallbackComesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{Delays: twiliosim.Delays{Delivered: twiliosim.Delay{Min: time.Hour}}})
	h := newHook(t)
	server.AddFault(twiliosim.Fault{Kind: twiliosim.EarlyCallback})
	_, err := send(t, server, twilio.Request{To: person, StatusCallback: h.URL})
	require.NoError(t, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Len(t, h.forms, 1, "the callback must be there when the answer is")
}

func TestCallbackRetries(t *testing.T) {
	t.Parallel()
	for fragment, tries := range map[string]int{"": 1, "#rc=2&rp=5xx": 3, "#rc=5&rp=4xx": 1, "#rc=1&rp=all": 2, "#rc=99&rp=all": 6} {
		server := twiliosimtest.NewServer(t, twiliosim.Config{})
		h := newHook(t)
		h.status = http.StatusInternalServerError
		server.AddFault(twiliosim.Fault{Kind: twiliosim.Failed})
		_, err := send(t, server, twilio.Request{To: person, StatusCallback: h.URL + "/" + fragment})
		require.NoError(t, err)
		require.NoError(t, server.WaitFor(t.Context(), func(all []twiliosim.Message) bool { return len(all[0].Deliveries) == tries }), fragment)
		require.EqualValues(t, tries, server.Stats().CallbacksFailed, fragment)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	template := "HX" + strings.Repeat("0", 32)
	server := twiliosimtest.NewServer(t, twiliosim.Config{
		Senders: []string{"+15005550007"}, Templates: map[string]string{template: "x"},
		Services: []twiliosim.Service{{SID: "MG1", Senders: []string{sender, wa + sender}}, {SID: "MG2"}},
	})
	long := strings.Repeat("é", 1601)
	tests := []struct {
		name    string
		request twilio.Request
		code    int
	}{
		{"no To", twilio.Request{}, 21604},
		{"To is no number", twilio.Request{To: "12345"}, 21211},
		{"scoped id by SMS", twilio.Request{To: "US.abc"}, 21211},
		{"other sender", twilio.Request{To: person, From: "+15005550099"}, 21606},
		{"other channel", twilio.Request{To: person, From: "+15005550099", Channel: message.WhatsApp}, 63007},
		{"magic sender", twilio.Request{To: person, From: "+15005550007"}, 21606},
		{"no such service", twilio.Request{To: person, MessagingServiceSID: "MG9"}, 21705},
		{"empty service", twilio.Request{To: person, MessagingServiceSID: "MG2"}, 21703},
		{"too long", twilio.Request{To: person, Body: long}, 21617},
		{"bad template", twilio.Request{To: person, ContentSID: "HX1"}, 21655},
		{"other template", twilio.Request{To: person, ContentSID: "HX" + strings.Repeat("1", 32)}, 21655},
		{"empty variable", twilio.Request{To: person, ContentSID: template, ContentVariables: map[string]string{"1": ""}}, 21656},
		{"callback", twilio.Request{To: person, StatusCallback: "https://under_score.example/"}, 21609},
		{"magic 21610", twilio.Request{To: "+15005550004"}, 21610},
		{"magic 21614", twilio.Request{To: "+15005550009"}, 21614},
		{"magic 429", twilio.Request{To: "+15005550429"}, 20429},
	}
	for _, test := range tests {
		_, err := send(t, server, test.request)
		require.Error(t, err, test.name)
		wantCode(t, err, test.code)
	}
	require.Zero(t, server.Count(""))
	_, err := send(t, server, twilio.Request{To: person, Body: long[:2*1600]})
	require.NoError(t, err)
}

func TestRawAPI(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{Services: []twiliosim.Service{{SID: "MG1", Name: "main", Senders: []string{sender}}}})
	base := server.URL + "/2010-04-01/Accounts/" + server.AccountSID + "/Messages"
	call := func(method, link, body string) (int, map[string]any) {
		request, err := http.NewRequestWithContext(t.Context(), method, link, strings.NewReader(body))
		require.NoError(t, err)
		request.SetBasicAuth(server.AccountSID, server.AuthToken)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		var answer map[string]any
		_ = json.NewDecoder(response.Body).Decode(&answer)
		return response.StatusCode, answer
	}
	status, answer := call(http.MethodPost, base+".json", "To=%2B14155550123&From=%2B15005550006")
	require.Equal(t, 400, status)
	require.EqualValues(t, 21619, answer["code"])
	require.EqualValues(t, 400, answer["status"])
	_, answer = call(http.MethodPost, base+".json", "To=%2B14155550123&From=%2B15005550006&Body=x&ContentVariables=%7B%7D")
	require.EqualValues(t, 21654, answer["code"])
	_, answer = call(http.MethodPost, base+".json", "To=%2B14155550123&Body=x")
	require.EqualValues(t, 21603, answer["code"])

	status, answer = call(http.MethodPost, base+".json", "To=%2B14155550123&From=%2B15005550006&Body=x")
	require.Equal(t, 201, status)
	require.Equal(t, "1", answer["num_segments"])
	require.Nil(t, answer["error_code"])
	sid, _ := answer["sid"].(string)
	require.NoError(t, server.WaitFor(t.Context(), func(all []twiliosim.Message) bool { return all[0].Status == "delivered" }))
	today := time.Now().UTC().Format(time.DateOnly)
	_, answer = call(http.MethodGet, base+".json?DateSent="+today, "")
	require.Len(t, answer["messages"], 1)
	_, answer = call(http.MethodGet, base+".json?DateSent%3C=2001-01-01", "")
	require.Empty(t, answer["messages"])
	status, _ = call(http.MethodPost, base+"/"+sid+".json", "Status=canceled")
	require.Equal(t, 409, status)
	_, answer = call(http.MethodPost, base+"/"+sid+".json", "Body=")
	require.Empty(t, answer["body"])
	status, _ = call(http.MethodDelete, base+"/"+sid+".json", "")
	require.Equal(t, 204, status)
	status, _ = call(http.MethodGet, base+"/"+sid+".json", "")
	require.Equal(t, 404, status)
	_, answer = call(http.MethodGet, server.URL+"/v1/Services/MG1", "")
	require.Equal(t, "main", answer["friendly_name"])
	status, _ = call(http.MethodGet, server.URL+"/v1/Services/MG9", "")
	require.Equal(t, 404, status)
	status, _ = call(http.MethodGet, server.URL+"/2010-04-01/Accounts/AC9/Messages.json", "")
	require.Equal(t, 404, status)
}

func TestOptOut(t *testing.T) {
	t.Parallel()
	service := []twiliosim.Service{{SID: "MG1", Senders: []string{sender, wa + sender}}}
	for _, mode := range []twiliosim.OptOutMode{twiliosim.OptOutDefault, twiliosim.OptOutAdvanced, twiliosim.OptOutOff} {
		h := newHook(t)
		server := twiliosimtest.NewServer(t, twiliosim.Config{OptOut: mode, Services: service, InboundURL: h.URL + "/twilio/messages"})
		for _, prefix := range []string{"", wa} {
			channel := message.SMS
			if prefix != "" {
				channel = message.WhatsApp
			}
			blocked := mode == twiliosim.OptOutAdvanced || (mode == twiliosim.OptOutDefault && prefix == "")
			result, err := server.Inbound(t.Context(), twiliosim.InboundMessage{From: prefix + person, To: prefix + sender, Body: " stop "})
			require.NoError(t, err)
			require.Equal(t, http.StatusNoContent, result.HTTPStatus)
			in, err := twilio.ParseInbound(h.forms[len(h.forms)-1])
			require.NoError(t, err)
			require.Equal(t, "MG1", in.MessagingServiceSID)
			require.Equal(t, channel, in.Channel)
			require.Equal(t, mode == twiliosim.OptOutAdvanced, in.OptOutType == "STOP")
			require.Zero(t, h.bad)

			_, err = send(t, server, twilio.Request{To: person, MessagingServiceSID: "MG1", Channel: channel})
			if !blocked {
				require.NoError(t, err)
				continue
			}
			wantCode(t, err, 21610)
			_, err = server.Inbound(t.Context(), twiliosim.InboundMessage{From: prefix + person, To: prefix + sender, Body: "START"})
			require.NoError(t, err)
			_, err = send(t, server, twilio.Request{To: person, MessagingServiceSID: "MG1", Channel: channel})
			require.NoError(t, err)
		}
	}
}

func TestInboundWhatsAppOpensTheWindow(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	server := twiliosimtest.NewServer(t, twiliosim.Config{InboundURL: h.URL})
	_, err := server.Inbound(t.Context(), twiliosim.InboundMessage{
		From: wa + person, To: wa + sender, Body: "Yes", ProfileName: "Ada", ButtonPayload: "yes", ButtonText: "Yes", RepliedTo: "SM1",
	})
	require.NoError(t, err)
	in, err := twilio.ParseInbound(h.forms[0])
	require.NoError(t, err)
	require.Equal(t, "SM1", in.OriginalRepliedMessageSID)
	require.Equal(t, "interactive", in.MessageType)
	require.Equal(t, person[1:], in.WaID)
	_, err = send(t, server, twilio.Request{To: person, Channel: message.WhatsApp})
	require.NoError(t, err)
	require.NoError(t, server.WaitFor(t.Context(), func(all []twiliosim.Message) bool { return all[1].Status == "delivered" }))
	_, err = server.Inbound(t.Context(), twiliosim.InboundMessage{From: person, To: wa + sender})
	require.ErrorIs(t, err, twiliosim.ErrBadInbound)
}

func TestInboundRetriesConnectFailuresOnce(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.Close()
	server := twiliosimtest.NewServer(t, twiliosim.Config{InboundURL: h.URL})
	result, err := server.Inbound(t.Context(), twiliosim.InboundMessage{From: person, To: sender, Body: "x"})
	require.ErrorIs(t, err, twiliosim.ErrNoAnswer)
	found, _ := server.Message(result.SID)
	require.Len(t, found.Deliveries, 2)
}

func TestControl(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	server := twiliosimtest.NewServer(t, twiliosim.Config{InboundURL: h.URL})
	post := func(path, body string) int {
		response, err := http.Post(server.URL+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer response.Body.Close()
		return response.StatusCode
	}
	require.Equal(t, 200, post("/_sim/inbound", `{"from": "+14155550123", "to": "+15005550006", "body": "hi"}`))
	require.Equal(t, 400, post("/_sim/inbound", `{"from": "+14155550123"}`))
	require.Equal(t, 400, post("/_sim/inbound", `{"fron": "x"}`))
	require.Equal(t, 204, post("/_sim/faults", `{"kind": "refuse", "code": 30002, "count": 2}`))
	require.Equal(t, 400, post("/_sim/faults", `{"kind": "explode"}`))
	_, err := send(t, server, twilio.Request{To: person})
	wantCode(t, err, 30002)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, server.URL+"/_sim/faults", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	_, err = send(t, server, twilio.Request{To: person})
	require.NoError(t, err)
	response, err = http.Get(server.URL + "/_sim/messages?to=%2B14155550123")
	require.NoError(t, err)
	defer response.Body.Close()
	var listed twiliosim.Message
	require.NoError(t, json.NewDecoder(response.Body).Decode(&listed))
	require.Equal(t, person, listed.To)
}

func TestMaxConcurrent(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{MaxConcurrent: 1})
	server.AddFault(twiliosim.Fault{Kind: twiliosim.HangCreated, To: "+14155550199"})
	ctx, cancel := context.WithCancel(t.Context())
	hanging := make(chan error, 1)
	client := server.Client(t)
	go func() {
		_, err := client.Send(ctx, twilio.Request{From: sender, To: "+14155550199", Channel: message.SMS, Body: "x"})
		hanging <- err
	}()
	require.NoError(t, server.WaitForCount(t.Context(), 1))
	_, err := send(t, server, twilio.Request{To: person})
	wantCode(t, err, 20429)
	cancel()
	require.Error(t, <-hanging)
}

func TestListLag(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{ListLag: time.Hour})
	_, err := send(t, server, twilio.Request{To: person})
	require.NoError(t, err)
	found, err := server.Client(t).List(t.Context(), twilio.ListQuery{To: person})
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, server.WaitForCount(ctx, 1), context.Canceled)
}

// Callbacks that wait for their time, and a call that hangs, do not keep Close from ending.
func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	sim, err := twiliosim.New(twiliosim.Config{AccountSID: "AC1", AuthToken: "t", Delays: twiliosim.Delays{Sent: twiliosim.Delay{Min: time.Hour}}})
	require.NoError(t, err)
	server := httptest.NewServer(sim)
	defer server.Close()
	client := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "t", BaseURL: server.URL})
	defer client.Close()
	request := twilio.Request{From: sender, To: person, Channel: message.SMS, Body: "x"}
	_, err = client.Send(t.Context(), request)
	require.NoError(t, err)
	sim.AddFault(twiliosim.Fault{Kind: twiliosim.HangCreated})
	ended := make(chan error, 1)
	go func() {
		_, err := client.Send(t.Context(), request)
		ended <- err
	}()
	require.NoError(t, sim.WaitForCount(t.Context(), 2))
	sim.Close()
	require.Error(t, <-ended)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	server := twiliosimtest.NewServer(t, twiliosim.Config{})
	h := newHook(t)
	client := server.Client(t)
	const each, senders = 25, 8
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				_, err := client.Send(t.Context(), twilio.Request{
					From: sender, To: person, Channel: message.SMS, Body: "x", StatusCallback: h.URL,
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, server.WaitFor(t.Context(), func(all []twiliosim.Message) bool {
		return len(all) == each*senders && !slices.ContainsFunc(all, func(m twiliosim.Message) bool { return len(m.Deliveries) != 2 })
	}))
	seen := map[string]string{}
	for _, form := range h.forms {
		sid := form.Get("MessageSid")
		if form.Get("MessageStatus") == "delivered" {
			require.Equal(t, "sent", seen[sid], "order within one message")
		}
		seen[sid] = form.Get("MessageStatus")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := twiliosim.New(twiliosim.Config{OptOut: "maybe", InboundURL: "nowhere"})
	for _, part := range []string{"required", "maybe", "inbound URL"} {
		require.ErrorContains(t, err, part)
	}
	require.Panics(t, func() { twiliosimtest.NewServer(t, twiliosim.Config{}).AddFault(twiliosim.Fault{Kind: "explode"}) })
}

func BenchmarkCreate(b *testing.B) {
	sim, err := twiliosim.New(twiliosim.Config{AccountSID: "AC1", AuthToken: "t"})
	require.NoError(b, err)
	defer sim.Close()
	const body = "To=%2B14155550123&From=%2B15005550006&Body=hello"
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		request := httptest.NewRequest(http.MethodPost, "/2010-04-01/Accounts/AC1/Messages.json", strings.NewReader(body))
		request.SetBasicAuth("AC1", "t")
		recorder := httptest.NewRecorder()
		sim.ServeHTTP(recorder, request)
		if recorder.Code != http.StatusCreated {
			b.Fatal(recorder.Code)
		}
	}
}
