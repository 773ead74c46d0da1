package store_test

import (
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

// survey asks "why" when it is said "rate" and when nobody answers it the first time, and takes price for an answer.
func survey(p store.PendingReply) store.DecidedReply {
	content := freeText("why?")
	d := store.DecidedReply{Outcome: notification.Matched, RuleSet: "x", Rule: "survey"}
	switch {
	case p.TimedOut && p.Asked == 1, strings.HasPrefix(p.Text, "rate"):
		d.Content, d.Template = &content, "why"
		d.Ask = &store.NewQuestion{Name: "why", Answers: []string{"price"}, ExpiresAfter: time.Hour}
	case p.TimedOut:
		d.Mark, d.Webhook = true, &store.NewWebhook{URL: "https://Hooks.example.com:8443/x?y", Body: string(p.From)}
	case p.Question == "why" && p.Text == "price":
		d.Answer = "price"
	}
	return d
}

// hears stores replies and decides what waits.
func (l *ledger) hears(replies ...store.Reply) {
	l.t.Helper()
	for _, r := range replies {
		l.reply(r)
	}
	for {
		r, err := l.DecideReply(l.t.Context(), everyReply(), survey)
		require.NoError(l.t, err)
		if r.SID == "" {
			return
		}
	}
}

func (l *ledger) timeOut() store.ReplyResult {
	l.t.Helper()
	r, err := l.TimeOutQuestion(l.t.Context(), everyReply(), survey)
	require.NoError(l.t, err)
	return r
}

// overdue lets the time of the open question be over since a while.
func (l *ledger) overdue(since time.Duration) {
	l.t.Helper()
	l.exec(`update question set expires_at = now() - $1::interval where state = 'open'`, since)
}

func (l *ledger) questions() string {
	l.t.Helper()
	return get[string](l, `select coalesce(string_agg(state || ' ' || asked, ', ' order by id), '') from question`)
}

func TestQuestionsTimeOutOnce(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	require.Empty(t, l.timeOut().SID, "it has time")
	l.overdue(time.Minute)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			_, err := l.TimeOutQuestion(t.Context(), everyReply(), survey)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	require.Equal(t, "timed_out 1, open 2", l.questions())
	require.Equal(t, 1, get[int](l, `select count(*) from message m join question q on m.origin = 'reply_rule' and m.origin_key = 'timeout/' || q.id
		where m.record_id = $1 and q.state = 'timed_out'`, string(c.Message.RecordID)), "it is asked again, about the same record")
	l.overdue(time.Minute)
	require.Equal(t, notification.Matched, l.timeOut().Outcome)
	require.Empty(t, l.timeOut().SID)
	require.Equal(t, "timed_out 1, timed_out 2", l.questions())
	require.Equal(t, 1, get[int](l, `select count(*) from conversation where marked_by = 'survey'`))
	require.Equal(t, 1, get[int](l, `select count(*) from webhook where sid like 'timeout/%' and host = 'hooks.example.com:8443'`))
	require.Equal(t, 2, get[int](l, `select count(*) from reply_decision where sid like 'timeout/%'`))
	l.hears(store.Reply{SID: "IN2", Body: "price", Seq: 2})
	require.Equal(t, "timed_out 1, timed_out 2", l.questions(), "an answer after the time is none")
	l.hears(store.Reply{SID: "IN3", Body: "rate", Seq: 3})
	require.Equal(t, "timed_out 1, timed_out 2, open 1", l.questions(), "a new question counts from one")
}

// An answer that came in time counts however late it is decided, and the time-out goes before what came after it.
func TestAnAnswerAndItsTimeOut(t *testing.T) {
	t.Parallel()
	type race struct {
		replies    []store.Reply
		want       string
		replyFirst bool
	}
	began := time.Now()
	cases := map[string]race{
		"an answer in time": {[]store.Reply{{SID: "IN2", Body: "price", Seq: 2, Received: time.Now().Add(-2 * time.Minute)}}, "answered 1", false},
		"one too late, to the question that is asked again": {
			[]store.Reply{{SID: "IN2", Body: "price", Seq: 2, Received: time.Now()}}, "timed_out 1, answered 2", false,
		},
		"another in time, then a new question": {[]store.Reply{
			{SID: "IN2", Body: "hm", Seq: 2, Received: time.Now().Add(-2 * time.Minute)}, {SID: "IN3", Body: "rate", Seq: 3, Received: time.Now()},
		}, "timed_out 1, replaced 2, open 3", false},
		"one in time that comes after one too late": {[]store.Reply{
			{SID: "IN2", Body: "hm", Seq: 2, Received: time.Now()}, {SID: "IN3", Body: "price", Seq: 3, Received: time.Now().Add(-2 * time.Minute)},
		}, "timed_out 1, answered 2", false},
	}
	for name, c := range maps.Clone(cases) {
		c.replyFirst = true
		cases[name+", with the replies looked at first"] = c
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			l.accepted(person, message.SMS, "SM1")
			l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
			l.overdue(time.Minute)
			for _, r := range c.replies {
				r.Received = r.Received.Add(time.Since(began)) // the case may have waited long for its turn
				l.reply(r)
			}
			for i := range 10 { // whoever comes first
				if i > 0 || c.replyFirst {
					_, err := l.DecideReply(t.Context(), everyReply(), survey)
					require.NoError(t, err)
				}
				_, err := l.TimeOutQuestion(t.Context(), everyReply(), survey)
				require.NoError(t, err)
			}
			require.Equal(t, c.want, l.questions())
			require.Equal(t, 1+len(c.replies), get[int](l, `select count(*) from reply_decision where sid like 'IN%'`))
		})
	}
}

func TestHumansTakeQuestionsOver(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	l.accepted(person, message.SMS, "SM1")
	l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	id := l.conversations(store.ConversationFilter{})[0].ID
	_, _, err := l.AnswerConversation(t.Context(), store.Answer{ConversationID: id, Content: freeText("hello"), By: "ana", Pause: time.Millisecond})
	require.NoError(t, err)
	l.hears(store.Reply{SID: "IN2", Body: "price", Seq: 2}, store.Reply{SID: "IN3", Body: "rate", Seq: 3})
	require.NoError(t, l.CloseConversation(t.Context(), id, "ana"))
	l.hears(store.Reply{SID: "IN4", Body: "rate", Seq: 4})
	l.exec(`delete from belt`)
	l.exec(`update message set state = 'suppressed', reason = 'opted_out' where state = 'queued'`)
	l.overdue(time.Minute)
	require.Equal(t, store.HeldUnsent, l.timeOut().Held, "a question that never went out is not asked again")
	l.hears(store.Reply{SID: "IN5", Body: "rate!", Seq: 5})
	l.exec(`delete from live_attempt`)
	_, err = l.ErasePerson(t.Context(), person, "ana", "x")
	require.NoError(t, err)
	l.overdue(time.Minute)
	require.Empty(t, l.timeOut().SID)
	require.Equal(t, "taken_over 1, closed 1, timed_out 1, closed 1", l.questions())
}

func TestTimeOutsOfErasedPeopleHoldNothing(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	l.accepted(person, message.SMS, "SM1")
	l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	l.exec(`update question set asked = 2`)
	l.overdue(time.Minute)
	l.timeOut()
	_, held, err := l.ExportPerson(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, held["questions"], 1)
	require.Len(t, held["webhooks"], 1)
	require.Len(t, held["reply_decisions"], 2)
	require.NotEmpty(t, l.anywhere(person.Pattern()))
	l.exec(`delete from live_attempt`)
	done, err := l.ErasePerson(t.Context(), person, "ana", "x")
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Changed["webhook"])
	require.Empty(t, l.anywhere(person.Pattern()))
	require.Equal(t, "failed", get[string](l, `select state from webhook`))
}

func TestATimeOutThatCannotBeDecidedIsADeadLetter(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	l.overdue(time.Minute)
	key := ""
	for try := 1; try <= 3; try++ {
		_, err := l.TimeOutQuestion(t.Context(), everyReply(), func(p store.PendingReply) store.DecidedReply {
			key = p.SID
			content := freeText("x")
			return store.DecidedReply{Outcome: "nonsense", Content: &content}
		})
		require.Error(t, err)
		gaveUp, err := l.PutOffTimeOut(t.Context(), key, "a bug", time.Hour)
		require.NoError(t, err)
		require.Equal(t, try == 3, gaveUp)
		require.Empty(t, l.timeOut().SID, "it waits")
		l.exec(`update question set retry_at = now()`)
	}
	require.Equal(t, "timed_out 1", l.questions())
	require.Equal(t, 1, get[int](l, `select count(*) from reply_decision where outcome = 'dead_letter' and sid = $1`, key))
	require.Equal(t, 1, get[int](l, `select count(*) from conversation where marked_at is not null`))
	gaveUp, err := l.PutOffTimeOut(t.Context(), key, "a bug", time.Hour)
	require.NoError(t, err)
	require.False(t, gaveUp, "once")
	_, err = l.PutOffTimeOut(t.Context(), strings.ToUpper("in1"), "a bug", time.Hour)
	require.Error(t, err)
}

// WhatsApp may show an id in place of the number that we wrote to.
func TestReplyUnderAnotherAddressOfThePerson(t *testing.T) {
	t.Parallel()
	l := open(t)
	older, newer := l.accepted(person, message.SMS, "SM1"), l.accepted(person, message.SMS, "SM2")
	require.Equal(t, newer.Message.ID, l.reply(store.Reply{SID: "IN1", From: "US.1A2B", Alias: person}).MessageID)
	require.Equal(t, newer.Message.ID, l.reply(store.Reply{SID: "IN2", From: "US.1A2B"}).MessageID, "known from now on")
	require.Equal(t, older.Message.ID, l.reply(store.Reply{SID: "IN3", From: "US.1A2B", RepliedSID: "SM1"}).MessageID)
	require.Empty(t, l.reply(store.Reply{SID: "IN4", From: "US.9Z9Z"}).MessageID, "a stranger")
	before := l.sending("+14155550101", message.SMS)
	require.Equal(t, before.Message.ID, l.reply(store.Reply{SID: "IN5", From: "+14155550101", RepliedSID: "SM9"}).MessageID,
		"a reply may come before Twilio's answer to our call is stored")
}

func TestAYesIsForTheReplyRulesToo(t *testing.T) {
	t.Parallel()
	l := open(t)
	for sid, r := range map[string]store.Reply{
		"IN1": {Body: "YES", Keyword: "start"}, "IN2": {Body: "START", Keyword: "start"}, "IN3": {Body: "STOP", Keyword: "stop"},
		"IN4": {Body: "yes", Keyword: "review"}, "IN5": {Body: "hello"},
	} {
		r.SID = sid
		l.reply(r)
	}
	require.Equal(t, "IN1,IN5", get[string](l, `select string_agg(sid, ',' order by sid) from reply_task`))
}
