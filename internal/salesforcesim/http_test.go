package salesforcesim_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforcesim"
)

// overHTTP makes an organisation that talks to a server over loopback; its schedule is a millisecond.
func overHTTP(t *testing.T, h http.Handler, cfg salesforcesim.Config) *salesforcesim.Org {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.Endpoint = server.URL + "/salesforce/outbound-messages/hush"
	cfg.HTTPClient = &http.Client{Transport: transport}
	cfg.Gap = func(int) time.Duration { return time.Millisecond }
	return newOrg(t, cfg)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer  func(http.ResponseWriter)
		outcome salesforcesim.Outcome
		reason  string
	}{
		"nack": {
			func(w http.ResponseWriter) { write(w, 200, ackFalse) },
			salesforcesim.Nacked, "SOAP response was a nack",
		},
		"ack with another status": {
			func(w http.ResponseWriter) { write(w, 202, ackTrue) },
			salesforcesim.Refused, "HTTP 202",
		},
		"fault": {
			func(w http.ResponseWriter) { write(w, 500, fault) },
			salesforcesim.Faulted, "SOAP fault with HTTP 500",
		},
		"fault with 200": {
			func(w http.ResponseWriter) { write(w, 200, fault) },
			salesforcesim.Faulted, "SOAP fault with HTTP 200",
		},
		"JSON": {
			func(w http.ResponseWriter) { write(w, 200, `{"ok":true}`) },
			salesforcesim.Unreadable, "org.xml.sax.SAXParseException; lineNumber: 1; columnNumber: 1; Content is not allowed in prolog",
		},
		"empty": {
			func(w http.ResponseWriter) { write(w, 200, "") },
			salesforcesim.Unreadable, "org.xml.sax.SAXParseException; lineNumber: 1; columnNumber: 1; Content is not allowed in prolog",
		},
		"the widely copied wrong answer": {
			func(w http.ResponseWriter) {
				write(w, 200, `<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notifications>`)
			},
			salesforcesim.Unreadable, "",
		},
		"redirect": {
			func(w http.ResponseWriter) {
				w.Header().Set("Location", "/elsewhere")
				write(w, 307, "")
			},
			salesforcesim.Refused, "HTTP 307",
		},
		"broken connection": {
			func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
			salesforcesim.Unreachable, "EOF",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &listener{t: t, answer: func(n int, w http.ResponseWriter) {
				if n == 1 {
					test.answer(w)
					return
				}
				alwaysAck(n, w)
			}}
			o := overHTTP(t, l, salesforcesim.Config{})
			saved := save(t, o, "Opportunity", nil)
			drain(t, o)
			h, _ := o.History(saved.Notifications[0])
			require.Equal(t, salesforcesim.Delivered, h.State)
			require.Len(t, h.Attempts, 2, "it must be tried again")
			require.Equal(t, test.outcome, h.Attempts[0].Outcome)
			require.NotContains(t, h.Attempts[0].Reason, "hush", "the path is a secret")
			if test.reason != "" {
				require.Equal(t, test.reason, h.Attempts[0].Reason)
			}
		})
	}
}

func TestALostAnswerIsATimeoutAndTheEnvelopeComesAgain(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	l := &listener{t: t, answer: func(n int, w http.ResponseWriter) {
		if n == 1 {
			<-release
			return
		}
		alwaysAck(n, w)
	}}
	var hooked atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("SOAPAction") != `""` || r.Header.Get("Content-Type") != "text/xml; charset=UTF-8" {
			t.Error("not the headers of Salesforce")
		}
		l.ServeHTTP(w, r)
	})
	server := httptest.NewServer(handler)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(server.Close)
	o := newOrg(t, salesforcesim.Config{
		Endpoint: server.URL, Timeout: 50 * time.Millisecond, FirstGap: time.Millisecond,
		HTTPClient: &http.Client{Transport: transport},
		OnDelivery: func(salesforcesim.Delivery) { hooked.Add(1) },
	})
	save(t, o, "Opportunity", nil)
	drain(t, o)
	require.GreaterOrEqual(t, o.Stats().Timeouts, 1)
	require.Equal(t, 1, o.Stats().Acked)
	require.Equal(t, int64(o.Stats().Posts), hooked.Load())
}

func TestAStoppedRunLeavesTheQueueForTheNext(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	l := &listener{t: t, answer: func(n int, w http.ResponseWriter) {
		if n == 1 {
			arrived <- struct{}{}
			<-release
			return
		}
		alwaysAck(n, w)
	}}
	o := overHTTP(t, l, salesforcesim.Config{})
	saved := save(t, o, "Opportunity", nil)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- o.Run(ctx) }()
	<-arrived
	require.ErrorIs(t, o.Run(ctx), salesforcesim.ErrRunning)
	cancel()
	require.NoError(t, <-stopped)
	require.ErrorIs(t, o.Drain(ctx), context.Canceled)
	close(release)
	require.Zero(t, o.Stats().Attempts, "a request that we cut off ourselves is not a failure of the listener")
	drain(t, o)
	h, _ := o.History(saved.Notifications[0])
	require.Len(t, h.Attempts, 1)
}

func TestTheWire(t *testing.T) {
	t.Parallel()
	l := &listener{t: t, answer: alwaysAck}
	o := overHTTP(t, l, salesforcesim.Config{Definitions: []salesforcesim.Definition{{
		Object: "Opportunity", ActionID: "04k5g0000004Abc",
		Fields: []string{
			"npe01__Total__c", "StageName", "Amount", "Big__c", "IsWon", "CloseDate", "LastModifiedDate", "Mobile__c",
			"Description", "Count__c", "Tags__c", "Missing__c", "Empty__c",
		},
	}}})
	saved := save(t, o, "Opportunity", salesforcesim.Record{
		"Id": "0065g00000AbCdE", "StageName": "Closed <Won> & \"ünïcode\"\r\n", "Amount": 120000, "Big__c": 1.5e7,
		"npe01__Total__c": float32(80), "IsWon": true, "CloseDate": salesforcesim.Date{Year: 2026, Month: 3, Day: 9},
		"LastModifiedDate": time.Date(2026, 5, 4, 13, 35, 40, 123456789, time.FixedZone("CEST", 7200)),
		"Mobile__c":        address.Address("+15005550006"), "Description": nil, "Empty__c": "", "Hidden__c": "not selected",
		"Tags__c": []string{"a", "b"}, "Count__c": int64(2020),
	})
	drain(t, o)
	require.Len(t, l.all(), 1)
	e := l.all()[0]
	require.Equal(t, testOrg, e.Org[:15])
	for _, id := range []string{e.Org, e.Action, e.Notifications[0].ID, string(saved.Record)} {
		whole, err := notification.ParseID(id[:15])
		require.NoError(t, err)
		require.Equal(t, string(whole), id, "the checksum must be right")
	}
	require.Equal(t, "04k5g0000004Abc", e.Action[:15])
	require.Equal(t, "04l", e.Notifications[0].ID[:3])
	require.Equal(t, "sf:Opportunity", e.Notifications[0].SObject.Type)
	require.Equal(t, [][2]string{
		{"Id", string(saved.Record)},
		{"Amount", "120000"},
		{"Big__c", "15000000.0"},
		{"CloseDate", "2026-03-09"},
		{"Count__c", "2020"},
		{"IsWon", "true"},
		{"LastModifiedDate", "2026-05-04T11:35:40.000Z"},
		{"Mobile__c", "+15005550006"},
		{"StageName", "Closed <Won> & \"ünïcode\"\r\n"},
		{"Tags__c", "a;b"},
		{"npe01__Total__c", "80.0"},
	}, e.fields(0))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, err := salesforcesim.New(salesforcesim.Config{Endpoint: "ftp://x", BatchSize: 101, RepeatAfterAck: 2})
	require.ErrorIs(t, err, salesforcesim.ErrConfig)
	for _, part := range []string{"Endpoint", "BatchSize", "RepeatAfterAck", "Definitions"} {
		require.ErrorContains(t, err, part, "all errors at once")
	}
	_, err = salesforcesim.New(salesforcesim.Config{OrgID: "0065g", Endpoint: "http://x", Definitions: opportunities()})
	require.ErrorIs(t, err, notification.ErrBadID)

	o := newOrg(t, salesforcesim.Config{Endpoint: "http://x"})
	_, err = o.Save("Lead", nil)
	require.ErrorIs(t, err, salesforcesim.ErrUnknownObject)
	_, err = o.Save("Opportunity", salesforcesim.Record{"Odd": struct{ secret string }{"hush"}})
	require.ErrorIs(t, err, salesforcesim.ErrBadValue)
	require.NotContains(t, err.Error(), "hush")
	_, err = o.Save("Opportunity", salesforcesim.Record{"Name": "a\x00b"})
	require.ErrorIs(t, err, salesforcesim.ErrBadValue)
	_, err = o.Save("Opportunity", salesforcesim.Record{"not a name": "a"})
	require.ErrorIs(t, err, salesforcesim.ErrBadValue)
	_, err = o.Save("Opportunity", salesforcesim.Record{"Id": "short"})
	require.ErrorIs(t, err, notification.ErrBadID)
	require.ErrorIs(t, o.Delete("Opportunity", "0065g00000AbCdE"), salesforcesim.ErrUnknownRecord)
	require.Zero(t, o.Stats().Queued)
}

func TestTheSeedDecidesTheIDs(t *testing.T) {
	t.Parallel()
	id := func(seed uint64) notification.ID {
		o := newOrg(t, salesforcesim.Config{Endpoint: "http://x", Seed: seed})
		return save(t, o, "Opportunity", nil).Notifications[0]
	}
	first, again := id(1), id(1)
	require.Equal(t, first, again)
	require.NotEqual(t, first, id(2))
}

func TestLoad(t *testing.T) {
	t.Parallel()
	tests := map[string]salesforcesim.LoadConfig{
		"closed loop":  {Count: 60, Connections: 4, PerEnvelope: 7},
		"fixed rate":   {Count: 40, Connections: 2, Rate: 400},
		"own records":  {Count: 5, Record: func(i int) salesforcesim.Record { return salesforcesim.Record{"N": i} }},
		"named object": {Count: 1, Object: "Opportunity", PerEnvelope: 100},
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &listener{t: t, answer: failing(1)}
			o := overHTTP(t, l, salesforcesim.Config{})
			result, err := o.Load(t.Context(), cfg)
			require.NoError(t, err)
			require.Equal(t, cfg.Count, result.Posts)
			require.Equal(t, cfg.Count-1, result.Acked)
			require.Equal(t, map[string]int{"HTTP 503": 1}, result.Failures)
			require.LessOrEqual(t, result.Service.P50, result.Service.P95)
			require.LessOrEqual(t, result.Service.P99, result.Service.Max)
			require.Positive(t, result.Bytes)
			if cfg.Rate > 0 {
				require.GreaterOrEqual(t, result.Elapsed, time.Duration(float64(cfg.Count-1)/cfg.Rate*1e9))
			}
			ids := map[string]bool{}
			for _, e := range l.all() {
				require.Len(t, e.Notifications, max(1, cfg.PerEnvelope))
				for _, n := range e.Notifications {
					ids[n.ID] = true
				}
			}
			require.Len(t, ids, result.Notifications, "every notification id is new")
		})
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	l := &listener{t: t, answer: func(n int, w http.ResponseWriter) {
		if n == 3 {
			cancel()
		}
		alwaysAck(n, w)
	}}
	o := overHTTP(t, l, salesforcesim.Config{})
	result, err := o.Load(ctx, salesforcesim.LoadConfig{Count: 1000})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, result.Posts, 1000)

	_, err = o.Load(t.Context(), salesforcesim.LoadConfig{})
	require.ErrorIs(t, err, salesforcesim.ErrConfig)
	_, err = o.Load(t.Context(), salesforcesim.LoadConfig{Count: 1, Object: "Lead"})
	require.ErrorIs(t, err, salesforcesim.ErrUnknownObject)
}

func TestAnUnreachableEndpoint(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	closed := server.URL
	server.Close()
	u, err := url.Parse(closed)
	require.NoError(t, err)
	o := newOrg(t, salesforcesim.Config{
		Endpoint: "http://" + u.Host + "/hush", DropAfter: 20 * time.Millisecond, FirstGap: time.Millisecond,
	})
	saved := save(t, o, "Opportunity", nil)
	drain(t, o)
	h, _ := o.History(saved.Notifications[0])
	require.Equal(t, salesforcesim.Dropped, h.State)
	require.Equal(t, salesforcesim.Unreachable, h.Attempts[0].Outcome)
	require.NotContains(t, h.Attempts[0].Reason, "hush")
}
