package dispatcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/templates"
)

// diary is a log that can be read while it is written.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// spoiled fails with what a bug might put into a panic or an error of Postgres.
type spoiled struct {
	Ledger

	secret string
}

func (s spoiled) ApplyReply(ctx context.Context, r store.Reply) (store.Linked, error) {
	switch {
	case strings.Contains(r.Body, "panic"):
		panic(fmt.Sprintf("a bug with %s in its hands: %s", s.secret, r.Body))
	case strings.Contains(r.Body, "refused"):
		_, err := s.Ledger.ApplyReply(ctx, store.Reply{SID: r.SID, Sender: r.Sender, Channel: "pigeon", From: r.From, Body: r.Body, Received: r.Received, Consent: &consent.Entry{
			Address: r.From, Channel: "pigeon " + message.Channel(s.secret), Action: "shout", Source: "keyword", Note: r.Body,
		}})
		return store.Linked{}, err
	}
	return s.Ledger.ApplyReply(ctx, r)
}

// Guarantee 7: numbers, ids, words, links and buttons of people stand in no line of the log, no metric, and no reason of a dead letter,
// whatever goes wrong.
func TestNothingPersonalIsTold(t *testing.T) {
	t.Parallel()
	const (
		number, scoped = "+14155558127", "US.1AXYZZY9"
		words, link    = "plugh", "https://media.example.com/plover"
	)
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.UseErasureKeys([]string{strings.Repeat("k", 32)})
	var log diary
	texts, err := templates.NewReplies(nil, "Acme", "")
	require.NoError(t, err)
	config, registry := w.config(), prometheus.NewRegistry()
	config.Log, config.Metrics = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})), registry
	config.Ledger, config.ReviewAfter = spoiled{w.Store, number}, 50*time.Millisecond
	config.Answers = Answers{Render: texts.Render, PerHour: 9, Twilio: func(string, message.Channel) bool { return false }}
	w.run(config)

	for _, fault := range []twiliosim.Fault{{Code: 21211, Status: 400}, {Code: 21610, Status: 400}, {Code: 63016, Status: 400}, {Kind: twiliosim.Reset}, {Kind: twiliosim.Undelivered, Code: 30007}} {
		if fault.Kind == "" {
			fault.Kind = twiliosim.Refuse
		}
		fault.To, fault.Count = number, 1
		w.sim.AddFault(fault)
		m := both(address.Address(number), words)
		m.Channels = []message.Channel{message.SMS}
		id := w.queue(m)[0]
		w.becomes(id, message.Failed, message.Suppressed, message.Undelivered, message.Delivered)
		require.NoError(t, w.AddConsent(t.Context(), consent.Entry{
			Org: testOrg, Address: number, Channel: consent.AllChannels, Action: consent.ReOptIn, Source: consent.FromOperator, Evidence: "ana",
		}))
	}
	for _, body := range []string{"thanks " + words, "panic " + words, "refused " + words, "leave me alone " + words, "HELP", "STOP", "YES " + words} {
		for _, from := range []string{number, "whatsapp:" + number, "whatsapp:" + scoped} {
			w.reply(url.Values{
				"Body": {body}, "From": {from}, "ButtonPayload": {words}, "ButtonText": {words}, "ProfileName": {words}, "ExternalUserId": {scoped},
				"NumMedia": {"1"}, "MediaUrl0": {link}, "MediaContentType0": {words + "/" + words}, "Latitude": {words},
			})
		}
	}
	w.reply(url.Values{"Body": {words}, "From": {number + "\n" + words}})
	w.reply(url.Values{"Body": {words}, "From": {"messenger:" + words}})
	w.reply(url.Values{"Body": {words}, "From": {number}, "NumMedia": {words}})
	w.reply(url.Values{"Body": {words}, "From": {number}, "MessageSid": {words + " " + number}})
	for _, form := range []url.Values{
		{"MessageSid": {"SM" + strings.Repeat("1", 32)}, "MessageStatus": {words}, "To": {number}},
		{"MessageSid": {"SM" + strings.Repeat("2", 32)}, "MessageStatus": {"failed"}, "ErrorCode": {"21610"}, "To": {number}, "ErrorMessage": {words}},
		{"MessageSid": {"SM" + strings.Repeat("3", 32)}, "MessageStatus": {"failed"}, "ErrorCode": {number + words}, "To": {number}},
	} {
		require.NoError(t, w.publish(t.Context(), stream.KindStatus, "message="+number+"&attempt="+words, []byte(form.Encode())))
	}
	require.NoError(t, w.publish(t.Context(), stream.KindInbound, "", []byte(number+words)))
	w.repliesWorked()
	require.True(t, w.wait(func() bool { return len(w.letters()) >= 10 }), "%d letters", len(w.letters()))
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from review where decided_at is null`) == 0 }))

	var told strings.Builder
	told.WriteString(log.String())
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&told, family)
		require.NoError(t, err)
	}
	for _, letter := range w.letters() {
		fmt.Fprintln(&told, letter.Reason, letter.History)
	}
	for _, err := range mishaps(w, number, words) {
		require.Error(t, err)
		fmt.Fprintln(&told, err)
	}
	for _, secret := range []string{number[1:], number[len(number)-7:], scoped, "XYZZY9", words, "plover"} {
		for line := range strings.Lines(told.String()) {
			require.NotContains(t, line, secret)
		}
	}
	require.Greater(t, strings.Count(told.String(), "\n"), 100, "something was told")
}

// mishaps are errors of calls with what the ledger and Twilio can't take.
func mishaps(w *world, number, words string) []error {
	ctx := context.Background()
	m := sms(address.Address(number), words)
	m.ID, m.Origin, m.OriginKey, m.State = uuid.NewString(), message.OriginHuman, words, message.Queued
	m.Purpose = message.Purpose(words)
	_, purpose := w.AddMessage(ctx, m)
	m.Purpose, m.Origin = message.Transactional, message.Origin(words+number)
	_, origin := w.AddMessage(ctx, m)
	_, unknown := w.Settle(ctx, store.Settlement{MessageID: uuid.NewString(), SID: words, Note: number})
	alias := w.AddAlias(ctx, address.Address(number), address.Address(words+"\x00"), "operator", number)
	_, sent := w.sim.Client(w.t).Send(ctx, twilio.Request{To: words + number, Channel: message.SMS, From: number, Body: words})
	_, fetched := w.sim.Client(w.t).Media(ctx, "https://media.example.com/plover/"+number)
	all := []error{
		purpose, origin, unknown, alias, sent, fetched,
		w.AddConsent(ctx, consent.Entry{Address: address.Address(number), Channel: "all", Action: consent.Action(words), Source: "operator", Note: number}),
		w.AddReview(ctx, store.NewReview{Address: address.Address(number + "\x00"), SID: words, Text: words}),
	}
	return append(all, errors.Join(all...))
}
