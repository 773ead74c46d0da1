package store_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/migrations"
)

func asking() store.Asking {
	return store.Asking{
		Sender: sender, Template: "double-opt-in", Within: time.Hour, Hours: &message.Hours{Wish: "respect"},
		Render: func(language, program string) (message.Content, error) {
			text := fmt.Sprintf("%s %s: YES?", language, program)
			return message.Content{
				SMS:      &message.SMSContent{Text: text, Language: "en", Encoding: "GSM-7", Segments: 1},
				WhatsApp: &message.WhatsAppContent{Text: text, Language: "en"},
			}, nil
		},
	}
}

// optIn is one that is to be confirmed.
func optIn(evidence, program string) consent.Entry {
	return consent.Entry{
		Org: org, Address: person, Channel: consent.AllChannels, Action: consent.OptIn, Scope: consent.ProgramScope(program),
		Source: consent.FromSalesforce, Evidence: evidence, Ask: true,
	}
}

func (l *ledger) add(e consent.Entry) {
	l.t.Helper()
	require.NoError(l.t, l.AddConsent(l.t.Context(), e))
}

// asks works on what is due, and returns the results.
func (l *ledger) asks() []string {
	l.t.Helper()
	results := []string{}
	for {
		result, err := l.AskNext(l.t.Context(), asking())
		require.NoError(l.t, err)
		if result == store.NotDue {
			return results
		}
		results = append(results, result)
	}
}

// asked sends the question that waits.
func (l *ledger) asked(sid string) store.Claimed {
	l.t.Helper()
	id := get[string](l, `select id::text from message where origin = 'double_opt_in' and template = 'double-opt-in' and state = 'queued'`)
	result := l.claimWith(sendOn(message.SMS), id)
	require.Len(l.t, result.Claimed, 1)
	l.record(outcome(result.Claimed[0], message.Accepted, sid))
	return result.Claimed[0]
}

func (l *ledger) yes(sid string, after time.Duration) store.Linked {
	l.t.Helper()
	return l.reply(store.Reply{SID: sid, Body: "YES " + sid, Yes: &store.YesTo{
		Within: time.Hour, Entry: consent.Entry{
			Address: person, Channel: consent.AllChannels, Action: consent.Confirm, Source: consent.FromKeyword, Evidence: sid,
			OccurredAt: time.Now().Add(after),
		},
		Answer: &store.Confirmation{
			Template: "opt-in-confirmation", Within: time.Minute, PerHour: 6,
			Render: func(language string) (message.Content, error) { return asking().Render(language, "") },
		},
	}})
}

// plainNow is a word that was said now.
func plainNow(sid string, action consent.Action) store.Reply {
	r := plain(sid, 0, action)
	r.Consent.OccurredAt = time.Now()
	return r
}

func TestAskWaitConfirm(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM0") // by which the language is known
	l.add(optIn("04l000000000001AAA map", "acme/news"))
	l.add(optIn("04l000000000001AAA map", "acme/news"))
	require.Equal(t, []string{store.AskedNow}, l.asks(), "the same entry twice is one question")
	require.Empty(t, l.asks())
	var m message.Message
	require.NoError(t, l.Messages(t.Context(), store.MessageFilter{ID: get[string](l, `select message_id::text from opt_in_question`)},
		func(found message.Message) error { m = found; return nil }))
	require.Equal(t, message.Transactional, m.Purpose)
	require.Equal(t, message.OriginDoubleOptIn, m.Origin)
	require.Equal(t, "en acme/news: YES?", m.Content.SMS.Text)
	require.Equal(t, []message.Channel{message.SMS, message.WhatsApp}, m.Channels)
	require.JSONEq(t, `{"wish": "respect"}`, get[string](l, `select hours::text from message where id = $1`, m.ID))
	require.Equal(t, "acme/news", get[string](l, `select program from message where id = $1`, m.ID))

	require.False(t, l.yes("IN1", 0).Confirmed, "the question has not been sent: it answers another message")
	l.asked("SM1")
	require.False(t, l.yes("IN2", 2*time.Hour).Confirmed, "too late")
	require.False(t, l.state().Granted(message.SMS, "acme/news", true))
	linked := l.yes("IN3", 0)
	require.True(t, linked.Confirmed)
	require.Equal(t, store.ConfirmationMade, linked.Confirmation)
	require.True(t, l.state().Granted(message.SMS, "acme/news", true))
	require.False(t, l.state().Granted(message.SMS, "acme/offers", true), "only what was asked")
	require.Equal(t, "yes", get[string](l, `select keyword from inbound where sid = 'IN3'`))
	require.Equal(t, 1, get[int](l, `select count(*) from message where origin_key = 'yes/IN3' and purpose = 'transactional'`))
	require.Equal(t, 2, get[int](l, `select count(*) from reply_task`), "no rule is asked about the word on consent")
	l.yes("IN3", 0)
	require.False(t, l.yes("IN4", 0).Confirmed, "nothing waits any more")
	require.Equal(t, 1, get[int](l, `select count(*) from consent where action = 'confirm'`))
	require.Equal(t, 1, get[int](l, `select count(*) from message where template = 'opt-in-confirmation'`))

	l.add(optIn("04l000000000002AAA map", "acme/news"))
	require.Equal(t, []string{store.AlreadySaid}, l.asks())
	l.checkInvariants()
}

// A YES to something else is no consent to marketing.
func TestYesToAnotherMessage(t *testing.T) {
	t.Parallel()
	l := open(t)
	spanish := optIn("1", "news")
	spanish.AskIn = "es"
	l.add(spanish)
	l.asks()
	require.Equal(t, "es news: YES?", l.asked("SM1").Message.Content.SMS.Text)
	l.accepted(person, message.SMS, "SM2")
	require.False(t, l.yes("IN1", 0).Confirmed, "the newest message is another one")
	quoting := store.Reply{SID: "IN2", Body: "yes", RepliedSID: "SM1", Yes: &store.YesTo{Within: time.Hour, Entry: consent.Entry{
		Address: person, Channel: consent.AllChannels, Action: consent.Confirm, Source: consent.FromKeyword, Evidence: "IN2", OccurredAt: time.Now(),
	}}}
	require.True(t, l.reply(quoting).Confirmed, "it quotes the question")
}

// The confirmation is of what the opt-in was about, no more.
func TestYesConfirmsTheChannelOfTheOptIn(t *testing.T) {
	t.Parallel()
	l := open(t)
	e := optIn("1", "")
	e.Channel = message.SMS
	l.add(e)
	l.asks()
	l.asked("SM1")
	require.True(t, l.yes("IN1", 0).Confirmed)
	require.True(t, l.state().Granted(message.SMS, "news", true))
	require.False(t, l.state().Granted(message.WhatsApp, "news", true))
}

func TestWhoIsNotAsked(t *testing.T) {
	t.Parallel()
	stop := func(l *ledger) { l.reply(plain("ST", 9, consent.OptOut)) }
	for name, c := range map[string]struct {
		before func(*ledger)
		want   []string
	}{
		"only START":             {func(l *ledger) { l.reply(plain("IN1", 1, consent.ReOptIn)) }, []string{}},
		"no question wanted":     {func(l *ledger) { e := optIn("1", "news"); e.Ask = false; l.add(e) }, []string{}},
		"an opt-out":             {func(l *ledger) { e := optIn("1", "news"); e.Action = consent.OptOut; l.add(e) }, []string{}},
		"STOP before the opt-in": {func(l *ledger) { stop(l); l.add(optIn("1", "news")) }, []string{store.AskedNow}},
		"STOP after the opt-in":  {func(l *ledger) { l.add(optIn("1", "news")); e := optIn("2", ""); e.Action = consent.OptOut; l.add(e) }, []string{store.NotConfirmable}},
		"two at once":            {func(l *ledger) { l.add(optIn("1", "news")); l.add(optIn("2", "news")) }, []string{store.AskedNow, store.AlreadyAsked}},
		"two programs":           {func(l *ledger) { l.add(optIn("1", "news")); l.add(optIn("2", "offers")) }, []string{store.AskedNow, store.AskedNow}},
		"it has lain here for long": {func(l *ledger) {
			l.add(optIn("1", "news"))
			l.exec(`update opt_in_question set created_at = now() - interval '2 hours'`)
		}, []string{store.AskTooLate}},
		"erased": {func(l *ledger) {
			l.add(optIn("1", "news"))
			_, err := l.ErasePerson(l.t.Context(), person, "ana", "x")
			require.NoError(l.t, err)
		}, []string{store.NotConfirmable}},
		"confirmed under the other": {func(l *ledger) {
			require.NoError(l.t, l.AddAlias(l.t.Context(), person, "US.1A2B", consent.FromOperator, "ana"))
			e := optIn("0", "")
			e.Action, e.Address = consent.Confirm, "US.1A2B"
			l.add(e)
			l.add(optIn("1", "news"))
		}, []string{store.AlreadySaid}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			l.UseErasureKeys([]string{erasureKey})
			c.before(l)
			require.Equal(t, c.want, l.asks())
		})
	}
}

// A record that is saved again asks nobody again; who enters an opt-in by hand does, once the first question has run out.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.add(optIn("1", "news"))
	require.Equal(t, []string{store.AskedNow}, l.asks())
	l.asked("SM1")
	byHand := optIn("ana 1", "news")
	byHand.Source = consent.FromOperator
	l.add(byHand)
	require.Equal(t, []string{store.AlreadyAsked}, l.asks(), "the first one is open")
	l.exec(`update attempt set started_at = now() - interval '2 hours'`)
	l.add(optIn("2", "news"))
	require.Equal(t, []string{store.AskedInVain}, l.asks())
	byHand.Evidence = "ana 2"
	l.add(byHand)
	require.Equal(t, []string{store.AskedNow}, l.asks())
	questions, err := l.OptInQuestions(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, questions, 4)
	require.Equal(t, store.AskedInVain, questions[2].Reason)
	require.True(t, questions[3].Pending())

	l.asked("SM2")
	l.reply(plainNow("IN1", consent.OptOut))
	again := optIn("3", "news")
	l.add(again)
	require.Equal(t, []string{store.AskedNow}, l.asks(), "an opt-in after a STOP is a new word")
}

// Whoever dies in it leaves it to the next one; however many work on it, there is one question.
func TestOneQuestionForAnOptIn(t *testing.T) {
	t.Parallel()
	l := open(t)
	for i := range 5 {
		e := optIn(strconv.Itoa(i), "news")
		e.Address = addr(fmt.Sprintf("+1415555020%d", i%3))
		l.add(e)
	}
	dying := asking()
	dying.Render = func(string, string) (message.Content, error) { return message.Content{}, errors.New("no text") }
	e := optIn("broken", "news")
	e.Address = "+14155550209"
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 5 {
				_, err := l.AskNext(t.Context(), asking())
				require.NoError(t, err)
			}
		})
	}
	work.Wait()
	require.Equal(t, 3, get[int](l, `select count(*) from message join belt on id = message_id`), "one for each person")
	require.Equal(t, 3, get[int](l, `select count(*) from opt_in_question where state = 'asked'`))
	l.add(e)
	result, err := l.AskNext(t.Context(), dying)
	require.NoError(t, err)
	require.Equal(t, store.AskTextBroken, result)
}

// A STOP that answers the question is about what the question is about.
func TestStopToTheQuestion(t *testing.T) {
	t.Parallel()
	for program, still := range map[string]bool{"news": false, "": true} {
		l := open(t)
		l.add(optIn("1", program))
		l.asks()
		l.asked("SM1")
		stop := plainNow("IN1", consent.OptOut)
		stop.Program = true
		l.reply(stop)
		require.True(t, l.state().Stopped(message.SMS, "news"))
		require.Equal(t, still, l.state().Stopped(message.SMS, "offers"))
		require.False(t, l.yes("IN2", 0).Confirmed)
	}
}

// The migration goes back although people have been asked, and forward again.
func TestDoubleOptInGoesDownAndUp(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.add(optIn("1", "news"))
	l.asks()
	l.asked("SM1")
	db := stdlib.OpenDBFromPool(l.db)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files())
	require.NoError(t, err)
	_, err = provider.DownTo(t.Context(), 11)
	require.NoError(t, err)
	require.Zero(t, get[int](l, `select count(*) from message`))
	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, get[int](l, `select count(*) from consent where action = 'opt_in'`))
	require.Empty(t, l.asks())
}

// A question is made anew after a gap, with the opt-in of a notification that is decided again: if that came before the gap's end, the
// question may have been sent, and is looked for. So is the answer to a YES.
func TestAQuestionMayHaveBeenAskedInAGap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before  time.Duration // the gap's end
		suspect int
	}{"before the gap's end": {time.Minute, 1}, "after it": {-9 * time.Minute, 0}} {
		l := open(t)
		ended := time.Now().Add(-10 * time.Minute)
		_, err := l.OpenGap(t.Context(), store.Gap{Began: ended.Add(-time.Hour), Ended: ended, Operator: "somebody"})
		require.NoError(t, err)
		l.exec(`insert into notification (org, id, object, record_id, action_id, received_at, stream_seq) values ($1, '04l000000000001AAA', 'Contact',
			'003000000000001AAA', '04k000000000001AAA', $2, 1)`, string(org), ended.Add(-c.before))
		l.exec(`insert into decision (org, notification_id, outcome, rule_set, detail) values ($1, '04l000000000001AAA', 'matched', 'v1', '{}')`, string(org))
		l.add(optIn("04l000000000001AAA map", "news"))
		require.Equal(t, []string{store.AskedNow}, l.asks())
		id := get[string](l, `select id::text from message where record_id = '003000000000001AAA' and object = 'Contact'`)
		require.Equal(t, c.suspect, l.claimWith(sendOn(message.SMS), id).Suspect, name)
	}
	l := open(t)
	l.add(optIn("1", "news"))
	l.asks()
	l.asked("SM1")
	require.True(t, l.yes("IN1", 0).Confirmed)
	l.exec(`update inbound set received_at = now() - interval '11 minutes'`)
	ended := time.Now().Add(-10 * time.Minute)
	_, err := l.OpenGap(t.Context(), store.Gap{Began: ended.Add(-time.Hour), Ended: ended, Operator: "somebody"})
	require.NoError(t, err)
	welcome := get[string](l, `select id::text from message where origin_key = 'yes/IN1'`)
	require.Equal(t, 1, l.claimWith(sendOn(message.SMS), welcome).Suspect)
}
