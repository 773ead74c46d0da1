package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const (
	webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // the one of the scheme's specification
	talkRules     = `
rules:
  - name: visit
    object: Opportunity
    when: changed("StageName")
    to: record.Contact_Mobile__c
    channels: [sms]
    template: visit
  - name: visit-confirmed
    on: reply
    object: Opportunity
    when: conversation.rule == "visit" && reply.word == "yes" && record.StageName == "Closed Won"
    ask: {name: slot, template: slot, answers: [am, pm]}
    webhook: HOOK
  - name: slot-given
    on: reply
    when: reply.question == "slot" && reply.answer != ""
    ask: {name: work, template: work, answers: [new, repair]}
    webhook: HOOK
  - name: work-given
    on: reply
    when: reply.question == "work" && reply.answer != ""
    answer: thanks
    vars: {work: reply.answer}
    webhook: HOOK
  - name: nobody-answers
    on: timeout
    when: reply.question == "slot" && record.StageName == "Closed Won"
    answer: late
    mark: true
    webhook: HOOK
`
)

// receiver is a server that takes webhooks as the scheme says. It refuses the first one once.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	refused string
	taken   map[string]string // the data by webhook-id
	wrong   []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	require.NoError(t, err)
	r := &receiver{taken: map[string]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		id := request.Header.Get("Webhook-Id")
		if err := verifier.Verify(body, request.Header); err != nil {
			r.wrong = append(r.wrong, err.Error())
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.refused == "" {
			r.refused = id
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var event struct {
			Type string
			Data struct{ Rule, Answer, From string }
		}
		if err := json.Unmarshal(body, &event); err != nil {
			r.wrong = append(r.wrong, err.Error())
		}
		r.taken[id] = strings.Join([]string{event.Type, event.Data.Rule, event.Data.Answer, event.Data.From}, " ")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) events() (events []string, first bool, wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, event := range r.taken {
		events = append(events, event)
		first = first || id == r.refused
	}
	return events, first, r.wrong
}

// says lets a person write to us; with a SID it is that message's webhook once more.
func (h *house) says(t *testing.T, who int, text, again string) (sid string) {
	t.Helper()
	in := twiliosim.InboundMessage{From: person(who), To: sender, Body: text}
	if again != "" {
		in.Extra = map[string]string{"MessageSid": again, "SmsSid": again, "SmsMessageSid": again}
	}
	result, err := h.sim.Inbound(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, result.HTTPStatus)
	return result.SID
}

// gets waits until the person has got these texts, in this order, and no other.
func (h *house) gets(t *testing.T, who int, texts ...string) {
	t.Helper()
	got := func() []string {
		var list []string
		for _, m := range h.sim.Messages() {
			if m.To == person(who) && m.Direction != "inbound" {
				list = append(list, m.Body)
			}
		}
		return list
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) { require.Equal(c, texts, got()) }, patience, tick)
}

// talkHouse is an installation on a Postgres and a NATS of its own, with rules that talk.
func talkHouse(t *testing.T, hooks *receiver) (*house, *pgxpool.Pool) {
	t.Helper()
	h := newHouse(t)
	rules, texts := filepath.Join(h.dir, "rules"), filepath.Join(h.dir, "templates")
	files := map[string]string{filepath.Join(rules, "talk.yaml"): strings.ReplaceAll(talkRules, "HOOK", hooks.URL)}
	for name, text := range map[string]string{
		"visit": "Reply YES to confirm.", "slot": "AM or PM?", "work": "NEW or REPAIR?", "thanks": "Thanks, {{.work}} it is.", "late": "We call you.",
	} {
		files[filepath.Join(texts, name+".yaml")] = `sms: {en: "` + text + `"}`
	}
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	dsn := pgtest.DSN(t)
	world := &servers{natsAddress: freeAddress(t), natsDir: filepath.Join(h.dir, "nats")}
	world.startNATS(t)
	h.extra = []string{
		"BECKON_NATS_URL=nats://" + natsUser + ":" + natsPassword + "@" + world.natsAddress, "BECKON_NATS_SYNC=always",
		"BECKON_DATABASE_URL=" + dsn, "BECKON_RULES_DIR=" + rules, "BECKON_TEMPLATES_DIR=" + texts,
		"BECKON_WEBHOOK_SECRET=" + webhookSecret, "BECKON_WEBHOOK_PRIVATE=yes",
	}
	db, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return h, db
}

// A whole conversation through door, router and dispatcher: a confirmation, two questions, one of which nobody answers, webhooks that
// come twice, and a router that is killed in the middle of it. Everything is answered once.
func TestConversation(t *testing.T) {
	t.Parallel()
	hooks := newReceiver(t)
	h, db := talkHouse(t, hooks)
	rest := h.serve(t, "ingest,dispatcher", "ready")
	router := h.serve(t, "router", "ready")
	h.accept(t, won(deal{1, 1, 1}, deal{2, 2, 2}))
	h.gets(t, 1, "Reply YES to confirm.")
	h.gets(t, 2, "Reply YES to confirm.")

	router.kill(t)
	yes := h.says(t, 1, "Yes!", "")
	h.says(t, 1, "Yes!", yes) // Twilio posts it once more
	h.says(t, 2, "YES", "")
	router = h.serve(t, "router", "ready")
	h.gets(t, 1, "Reply YES to confirm.", "AM or PM?")
	h.gets(t, 2, "Reply YES to confirm.", "AM or PM?")
	router.kill(t) // a question is open
	slot := h.says(t, 1, "pm", "")
	h.says(t, 1, "pm", slot)
	_, err := db.Exec(t.Context(), `update question set expires_at = now() where state = 'open'
		and conversation_id in (select id from conversation where address = $1)`, person(2))
	require.NoError(t, err)
	router = h.serve(t, "router", "ready")
	h.gets(t, 1, "Reply YES to confirm.", "AM or PM?", "NEW or REPAIR?")
	h.says(t, 1, "Repair.", "")
	h.gets(t, 1, "Reply YES to confirm.", "AM or PM?", "NEW or REPAIR?", "Thanks, repair it is.")
	h.gets(t, 2, "Reply YES to confirm.", "AM or PM?", "We call you.")
	h.says(t, 2, "am", "") // too late

	want := []string{
		"reply.matched visit-confirmed  " + person(1), "reply.matched visit-confirmed  " + person(2),
		"reply.matched slot-given pm " + person(1), "reply.matched work-given repair " + person(1),
		"question.timed_out nobody-answers  " + person(2),
	}
	require.Eventually(t, func() bool { events, _, _ := hooks.events(); return len(events) >= len(want) }, patience, tick)
	events, first, wrong := hooks.events()
	require.ElementsMatch(t, want, events)
	require.True(t, first, "the one that was refused came again, with its id")
	require.Empty(t, wrong)

	out, code := h.command(t, "conversations", "list", "--marked", "--json")
	require.Zero(t, code)
	require.Contains(t, out, person(2))
	require.NotContains(t, out, person(1))
	out, code = h.command(t, "trace", yes)
	require.Zero(t, code)
	require.Contains(t, out, `"Yes!"`)
	require.Contains(t, out, "the reply rules decided: matched, rule visit-confirmed, message ")
	require.Contains(t, out, "answer of reply rule visit-confirmed")
	require.Contains(t, out, `question slot, which is answered with "pm"`)
	require.Eventually(t, func() bool { return h.awaitedAll(t, db) }, patience, tick)
	h.gets(t, 2, "Reply YES to confirm.", "AM or PM?", "We call you.")
	for _, p := range []*process{rest.process, router.process} {
		p.terminate(t)
	}
}

// awaitedAll tells whether every reply is decided.
func (h *house) awaitedAll(t *testing.T, db *pgxpool.Pool) bool {
	t.Helper()
	var waiting, decided int
	err := db.QueryRow(t.Context(), `select (select count(*) from reply_task), (select count(*) from reply_decision)`).Scan(&waiting, &decided)
	require.NoError(t, err)
	return waiting == 0 && decided == 6
}
