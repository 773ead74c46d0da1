package salesforcesim_test

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/salesforcesim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testOrg = "00D5g000004abcD"
	ackTrue = `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` +
		`<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>` +
		`</soapenv:Body></soapenv:Envelope>`
	ackFalse = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header/><e:Body>` +
		`<o:notificationsResponse xmlns:o="http://soap.sforce.com/2005/09/outbound"><o:Ack>false</o:Ack>` +
		`</o:notificationsResponse></e:Body></e:Envelope>`
	fault = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>` +
		`<faultcode>s:Server</faultcode><faultstring>later</faultstring></s:Fault></s:Body></s:Envelope>`
)

// received is an envelope as an independent XML parser reads it.
type received struct {
	Org           string `xml:"Body>notifications>OrganizationId"`
	Action        string `xml:"Body>notifications>ActionId"`
	Notifications []struct {
		ID      string `xml:"Id"`
		SObject struct {
			Type   string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
			Fields []struct {
				XMLName xml.Name
				Text    string `xml:",chardata"`
			} `xml:",any"`
		} `xml:"sObject"`
	} `xml:"Body>notifications>Notification"`
	header http.Header
}

func (r received) fields(i int) [][2]string {
	var out [][2]string
	for _, f := range r.Notifications[i].SObject.Fields {
		out = append(out, [2]string{f.XMLName.Local, f.Text})
	}
	return out
}

// listener is the receiving end: it keeps what came and answers as the test says.
type listener struct {
	t      testing.TB
	answer func(n int, w http.ResponseWriter) // n counts requests from 1

	mu  sync.Mutex
	got []received
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender gave up
	}
	var e received
	if err := xml.Unmarshal(body, &e); err != nil {
		l.t.Errorf("the envelope is not well-formed: %v", err)
	}
	e.header = r.Header.Clone()
	l.mu.Lock()
	l.got = append(l.got, e)
	n := len(l.got)
	l.mu.Unlock()
	l.answer(n, w)
}

func (l *listener) all() []received {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]received(nil), l.got...)
}

func write(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// alwaysAck answers every envelope with an acknowledgement.
func alwaysAck(_ int, w http.ResponseWriter) { write(w, http.StatusOK, ackTrue) }

// failing answers the first n requests with 503, the others with an acknowledgement.
func failing(n int) func(int, http.ResponseWriter) {
	return func(request int, w http.ResponseWriter) {
		if request <= n {
			write(w, http.StatusServiceUnavailable, "busy")
			return
		}
		write(w, http.StatusOK, ackTrue)
	}
}

// inProcess is a transport without a network, so that virtual time can pass while requests are under way.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.handler.ServeHTTP(w, r)
	}()
	select {
	case <-done:
		return w.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func opportunities(fields ...string) []salesforcesim.Definition {
	return []salesforcesim.Definition{{Object: "Opportunity", Fields: fields}}
}

// virtual makes an organisation whose endpoint is a handler in the process.
func virtual(t *testing.T, l *listener, cfg salesforcesim.Config) *salesforcesim.Org {
	t.Helper()
	l.t = t
	cfg.Endpoint = "http://listener.test/salesforce/outbound-messages/hush"
	cfg.HTTPClient = &http.Client{Transport: inProcess{l}}
	return newOrg(t, cfg)
}

func newOrg(t *testing.T, cfg salesforcesim.Config) *salesforcesim.Org {
	t.Helper()
	if cfg.OrgID == "" {
		cfg.OrgID = testOrg
	}
	if cfg.Definitions == nil {
		cfg.Definitions = opportunities()
	}
	if cfg.Seed == 0 {
		cfg.Seed = 7
	}
	o, err := salesforcesim.New(cfg)
	require.NoError(t, err)
	return o
}

// drain runs the organisation until its queue is empty.
func drain(t *testing.T, o *salesforcesim.Org) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- o.Run(ctx) }()
	require.NoError(t, o.Drain(ctx))
	cancel()
	require.NoError(t, <-stopped)
}

func save(t *testing.T, o *salesforcesim.Org, object string, r salesforcesim.Record) salesforcesim.Saved {
	t.Helper()
	saved, err := o.Save(object, r)
	require.NoError(t, err)
	return saved
}
