package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

const (
	org          = "00D5g000004QxYz"
	object       = "Opportunity"
	sender       = "+15005550006"
	natsUser     = "beckon"
	natsPassword = "a-password"
	patience     = 60 * time.Second // the machine may be busy with other tests
	tick         = 50 * time.Millisecond
	ackWait      = 60 * time.Second // after it JetStream delivers again what a killed process had fetched
	door         = "/salesforce/outbound-messages"
)

// house is one installation of Beckon with the world around it.
type house struct {
	bin    string
	dir    string
	public string // address of the public listener
	sim    *twiliosimtest.Server
	extra  []string // more environment
}

// newHouse prepares an installation; nothing runs yet but the Twilio simulator.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{bin: binary(t), dir: tempDir(t), public: freeAddress(t)}
	h.sim = twiliosimtest.NewServer(t, twiliosim.Config{
		AccountSID: twiliosimtest.AccountSID, AuthToken: twiliosimtest.AuthToken,
		NoMagic: true, InboundURL: "http://" + h.public + "/twilio/messages",
	})
	return h
}

// environ is the environment of a process with its own private listener.
func (h *house) environ(admin string) []string {
	rules, err := filepath.Abs(filepath.Join("..", "..", "rules"))
	if err != nil {
		panic(err)
	}
	var kept []string
	for _, entry := range (&exec.Cmd{}).Environ() { // that of the test, without what configures Beckon
		if !strings.HasPrefix(entry, "BECKON_") && !strings.HasPrefix(entry, "TWILIO_") {
			kept = append(kept, entry)
		}
	}
	kept = append(kept,
		"BECKON_HTTP_ADDR="+h.public, "BECKON_ADMIN_ADDR="+admin, "BECKON_PUBLIC_URL=http://"+h.public,
		"BECKON_DATA_DIR="+filepath.Join(h.dir, "data"), "BECKON_RULES_DIR="+rules, "BECKON_SALESFORCE_ORG_IDS="+org,
		"BECKON_TWILIO_API_URL="+h.sim.URL, "TWILIO_ACCOUNT_SID="+h.sim.AccountSID, "TWILIO_AUTH_TOKEN="+h.sim.AuthToken,
		"TWILIO_FROM="+sender,
		// An attempt whose process was killed is found after its lease, twice the first plus five seconds.
		"BECKON_SEND_TIMEOUT=1s", "BECKON_RECONCILE_AFTER=1s")
	return append(kept, h.extra...)
}

// serving is a running `beckon serve`.
type serving struct {
	*process

	admin string
}

// serve starts roles (all when empty) and waits until the process says what it is expected to say.
func (h *house) serve(t *testing.T, roles, expect string) *serving {
	t.Helper()
	s := &serving{admin: freeAddress(t)}
	args := []string{"serve"}
	if roles != "" {
		args = append(args, "--roles", roles)
	}
	s.process = start(t, "beckon serve "+roles, h.bin, h.environ(s.admin), args...)
	s.await(t, expect)
	return s
}

// readiness is the answer of /readyz.
type readiness struct {
	code  int
	Roles map[string]struct {
		Status string `json:"status"`
	} `json:"roles"`
	Status string `json:"status"`
	Reason string `json:"reason"` // of one role
}

func (s *serving) readyz(query string) (readiness, error) {
	var r readiness
	response, err := http.Get("http://" + s.admin + "/readyz" + query)
	if err != nil {
		return r, err
	}
	defer response.Body.Close()
	r.code = response.StatusCode
	return r, json.NewDecoder(response.Body).Decode(&r)
}

func (s *serving) await(t *testing.T, expect string) {
	t.Helper()
	require.Eventually(t, func() bool {
		if !s.running() {
			t.Errorf("%s has ended", s.name)
			return true
		}
		r, err := s.readyz("")
		return err == nil && r.Status == expect
	}, patience, tick, "%s must become %s", s.name, expect)
}

// command runs a command of the program beside whatever runs, and returns what it writes and its exit code.
func (h *house) command(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.bin, args...)
	cmd.Env = h.environ("127.0.0.1:1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	if err != nil {
		t.Logf("beckon %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// message is a line of `beckon messages list --json`.
type message map[string]any

func (m message) text(field string) string {
	text, _ := m[field].(string)
	return text
}

// messages lists messages by the people whom they are for.
func (h *house) messages(t *testing.T, args ...string) map[string][]message {
	t.Helper()
	out, code := h.command(t, append([]string{"messages", "list", "--json"}, args...)...)
	require.Zero(t, code)
	found := map[string][]message{}
	for line := range strings.Lines(out) {
		var m message
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		found[m.text("to")] = append(found[m.text("to")], m)
	}
	return found
}

// awaitState waits until the newest message to a person is in a state.
func (h *house) awaitState(t *testing.T, to, state string) message {
	t.Helper()
	var last message
	require.Eventually(t, func() bool {
		list := h.messages(t, "--to", to)[to]
		if len(list) == 0 {
			return false
		}
		last = list[len(list)-1]
		return last.text("state") == state
	}, patience, tick, "the newest message must become %s: %v", state, &last)
	return last
}

// person is the number of the i-th person.
func person(i int) string { return fmt.Sprintf("+1212%03d%04d", 220+i/10_000, i%10_000) }

func id(prefix string, i int) notification.ID {
	made, err := notification.ParseID(fmt.Sprintf("%s5g0000%06d", prefix, i))
	if err != nil {
		panic(err)
	}
	return made
}

// deal is a notification: the n-th one tells that the record's deal with a person is won.
type deal struct{ n, record, who int }

// won is an outbound message of some deals.
func won(deals ...deal) []byte { return wonBy(org, deals...) }

func wonBy(from notification.OrgID, deals ...deal) []byte {
	e := &notification.Envelope{Org: from, Action: id("04k", 1), Object: object}
	for _, d := range deals {
		e.Notifications = append(e.Notifications, notification.Notification{
			ID: id("04l", d.n), RecordID: id("006", d.record), Fields: []notification.Field{
				{Name: "Id", Value: string(id("006", d.record))},
				{Name: "StageName", Value: "Closed Won"},
				{Name: "ContactId", Value: string(id("003", d.who))},
				{Name: "Contact_Mobile__c", Value: person(d.who)},
				{Name: "Contact_First_Name__c", Value: "Zoë"},
				{Name: "Language__c", Value: "es-MX"},
			},
		})
	}
	var out bytes.Buffer
	if err := salesforce.Encode(&out, salesforce.EnvelopeSpec{Envelope: e}); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// post sends a body to the public listener.
func (h *house) post(t *testing.T, path string, body []byte, header ...string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.public+path, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "text/xml; charset=UTF-8")
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

// accept posts an envelope that must be acknowledged.
func (h *house) accept(t *testing.T, body []byte) {
	t.Helper()
	status, text := h.post(t, door, body)
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, "<Ack>true</Ack>")
}

// awaitSent waits until Twilio has n messages to people.
func (h *house) awaitSent(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return h.sim.Stats().Created >= int64(n) }, patience, tick,
		"%d messages must reach Twilio", n)
}
