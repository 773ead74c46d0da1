package dispatcher

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
	"github.com/beckonhq/beckon/templates"
)

// story is what happens to some people, step by step, with the real ledger, belt and calls; what is sent is compared with the oracle.
type story struct {
	*world
	*oracle

	t           *rapid.T
	l           *lane
	open, night *hours.Law
	people      []address.Address // a number and a WhatsApp id of one person, and the number of another one
	now         int
	replies     []replied
	pending     []message.Message
	decided     []store.Envelope // by a rule, to be replayed by force
	made        map[string]message.Message
}

// replied is a reply that is stored.
type replied struct {
	sid     string
	who     address.Address
	keyword string // stop, help, or something else
}

// Whatever is said, by whom, on which channel, under which of a person's addresses, and whatever a message comes of: it is sent if and
// only if the oracle says so, on the channel that it says, and once. The steps are printed with the seed when it fails.
func TestNothingIsSentThatTheOracleForbids(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	night := strings.ToLower(time.Now().UTC().Add(3 * 24 * time.Hour).Weekday().String()[:3])
	law := func(days string) *hours.Law {
		return lawWith(t, fmt.Sprintf("countries: {DE: {windows: {%[1]s: '00:00-24:00'}}}\ndefault: {windows: {%[1]s: '00:00-24:00'}}", days))
	}
	open, closed := law("daily"), law(night)
	texts, err := templates.NewReplies(nil, "Acme", "")
	require.NoError(t, err)
	w.UseErasureKeys([]string{strings.Repeat("k", 32)})
	stories, began, failed := 0, time.Now(), false
	rapid.Check(t, func(t *rapid.T) {
		if time.Since(began) > 10*time.Second && !failed { // enough, on a machine as busy as this one
			return
		}
		defer func() { failed = failed || t.Failed() }()
		stories++
		s := &story{
			world: w, t: t, open: open, night: closed, made: map[string]message.Message{},
			oracle: &oracle{links: map[address.Address][]address.Address{}, double: rapid.Bool().Draw(t, "double opt-in")},
			people: []address.Address{
				address.Address(fmt.Sprintf("+4915112%06d", 2*stories)), address.Address(fmt.Sprintf("DE.1A%d", stories)),
				address.Address(fmt.Sprintf("+4915112%06d", 2*stories+1)),
			},
		}
		defer s.begin(texts)()
		t.Repeat(map[string]func(*rapid.T){
			"reply": s.reply, "error code": s.errorCode, "decide": s.decideReview, "operator": s.operator, "alias": s.alias, "erase": s.erasePerson,
			"pause": s.pause, "night": s.nightfall, "rule": s.rule, "again": s.replay, "speak": s.speak, "forge": s.forge, "go": s.dispatchAll,
		})
		s.dispatchAll(t)
	})
	require.Greater(t, stories, 3)
	t.Logf("%d stories, %d messages to Twilio", stories, len(w.outbound()))
}

// begin makes a dispatcher whose parts are called by hand, and returns what ends it.
func (s *story) begin(texts *templates.Replies) (end func()) {
	config := s.config()
	config.Hours, config.DoubleOptIn, config.Metrics = s.open, s.double, prometheus.NewRegistry()
	config.Answers = Answers{
		Render: texts.Render, PerHour: 100, Twilio: func(_ string, channel message.Channel) bool { return channel == message.SMS },
	}
	d, err := New(config)
	require.NoError(s.t, err)
	s.l = d.lanes[0]
	ended := make(chan struct{})
	go func() { defer close(ended); d.recorder.run(context.Background()) }()
	return func() {
		d.waitForCalls()
		d.recorder.close()
		<-ended
		s.exec(`delete from rule_pause`)
		s.exec(`with gone as (delete from belt) update message set state = 'expired' where state = 'queued'`)
	}
}

func (s *story) anyone(t *rapid.T) address.Address { return rapid.SampledFrom(s.people).Draw(t, "who") }

func (s *story) tick() int { s.now++; return s.now }

// callback publishes one and works on it, as the reply loop does.
func (s *story) callback(kind stream.CallbackKind, form url.Values) {
	form.Set("AccountSid", twiliosimtest.AccountSID)
	require.NoError(s.t, s.publish(context.Background(), kind, "", []byte(form.Encode())))
	deliveries, err := s.l.Inbound.Fetch(context.Background(), 1)
	require.NoError(s.t, err)
	require.Len(s.t, deliveries, 1)
	require.NoError(s.t, s.l.applyReply(context.Background(), deliveries[0], deliveries))
	require.Empty(s.t, s.letters())
}

func (s *story) sid() string { return fmt.Sprintf("SM%032d", s.next.Add(1)) }

func (s *story) reply(t *rapid.T) {
	who := s.anyone(t)
	body := rapid.SampledFrom([]string{"STOP", "stop please", "START", "HELP", "thanks", "leave me alone", "YES"}).Draw(t, "says")
	keyword := map[string]string{"STOP": "stop", "stop please": "stop", "START": "start", "HELP": "help", "leave me alone": "review"}[body]
	form := url.Values{"MessageSid": {s.sid()}, "From": {string(who)}, "To": {string(smsFrom)}, "NumMedia": {"0"}, "Body": {body}}
	if !strings.HasPrefix(string(who), "+") || rapid.Bool().Draw(t, "on WhatsApp") {
		form.Set("From", "whatsapp:"+string(who))
		form.Set("To", "whatsapp:"+string(whatsAppFrom))
	}
	if body == "YES" && s.double { // what it confirms is not the gates' business
		return
	}
	s.callback(stream.KindInbound, form)
	at := s.tick()
	s.replies = append(s.replies, replied{form.Get("MessageSid"), who, keyword})
	switch keyword {
	case "stop", "start":
		s.say(utterance{at: at, who: who, what: keyword})
	case "review":
		s.reviews = append(s.reviews, doubt{at, who})
	}
	s.answered(form.Get("MessageSid"))
}

// answered takes note of the answer to a STOP, HELP or START, when the dispatcher has made one.
func (s *story) answered(sid string) {
	id := ""
	_ = s.db.QueryRow(context.Background(), `select id::text from message
		where origin_key = $1 and (origin = 'compliance' or template = $2)`, sid, templates.OptInAgain).Scan(&id)
	if id == "" || s.made[id].ID != "" {
		return
	}
	m := s.message(id)
	of := slices.IndexFunc(s.replies, func(r replied) bool {
		exempt := r.keyword == "stop" || r.keyword == "help"
		return r.sid == sid && r.who == m.To && (exempt && m.Origin == message.OriginCompliance || r.keyword == "start" && m.Origin == message.OriginReplyRule)
	})
	require.GreaterOrEqual(s.t, of, 0, "an answer that answers no STOP, HELP or START of this person")
	s.wait4(m)
}

func (s *story) wait4(m message.Message) {
	s.pending, s.made[m.ID] = append(s.pending, m), m
}

// forge asks for an answer to a reply that is no STOP or HELP, is another person's, or was answered.
func (s *story) forge(t *rapid.T) {
	if len(s.replies) == 0 {
		return
	}
	to := s.anyone(t)
	reply := rapid.SampledFrom(s.replies).Draw(t, "answers")
	before := s.number(`select count(*) from message where origin = 'compliance' and origin_key = $1`, reply.sid)
	m := both(to, "forged")
	m.Channels, m.Origin, m.OriginKey, m.ID = []message.Channel{message.WhatsApp}, message.OriginCompliance, reply.sid, uuid.Must(uuid.NewV7()).String()
	made, err := s.AddMessage(context.Background(), m)
	require.NoError(s.t, err)
	owed := (reply.keyword == "stop" || reply.keyword == "help") && reply.who == to && before == 0
	require.Equal(s.t, owed, made)
	s.answered(reply.sid)
}

func (s *story) errorCode(t *rapid.T) {
	who, channel := s.anyone(t), message.WhatsApp
	to := "whatsapp:" + string(who)
	if strings.HasPrefix(string(who), "+") && rapid.Bool().Draw(t, "of SMS") {
		channel, to = message.SMS, string(who)
	}
	s.callback(stream.KindOptOut, url.Values{"MessageSid": {s.sid()}, "MessageStatus": {"undelivered"}, "ErrorCode": {"21610"}, "To": {to}})
	s.say(utterance{at: s.tick(), who: who, channel: channel, what: saysStop})
}

func (s *story) decideReview(t *rapid.T) {
	if len(s.reviews) == 0 {
		return
	}
	d := rapid.SampledFrom(s.reviews).Draw(t, "review")
	as := rapid.SampledFrom([]store.Decision{store.DecideOptOut, store.DecideKeep}).Draw(t, "as")
	open, err := s.Reviews(context.Background(), false)
	require.NoError(s.t, err)
	nth := 0
	for _, other := range s.reviews {
		if other.who == d.who && other.at < d.at {
			nth++
		}
	}
	open = slices.DeleteFunc(open, func(r store.Review) bool { return r.Address != d.who })
	require.Greater(s.t, len(open), nth, "a review that the oracle knows is closed")
	require.NoError(s.t, s.DecideReview(context.Background(), open[nth].ID, store.Ruling{As: as, By: "ana"}))
	s.decide(d, as == store.DecideOptOut)
}

func (s *story) operator(t *rapid.T) {
	word := utterance{who: s.anyone(t), what: rapid.SampledFrom([]string{saysStop, saysStart, saysYes, saysConfirm, saysYes}).Draw(t, "enters")}
	e := consent.Entry{Org: testOrg, Address: word.who, Channel: consent.AllChannels, Source: consent.FromOperator, Evidence: "ana"}
	e.Action = map[string]consent.Action{saysStop: consent.OptOut, saysStart: consent.ReOptIn, saysYes: consent.OptIn, saysConfirm: consent.Confirm}[word.what]
	if word.channel = rapid.SampledFrom([]message.Channel{"", "", message.SMS, message.WhatsApp}).Draw(t, "channel"); word.channel != "" {
		e.Channel = word.channel
	}
	switch word.program = rapid.SampledFrom([]string{"", "", "default", "acme/news", "acme/"}).Draw(t, "program"); word.program {
	case "":
	case "acme/":
		e.Scope = consent.Scope{Kind: consent.ScopeBrand, Name: "acme"}
	default:
		e.Scope = consent.ProgramScope(word.program)
	}
	require.NoError(s.t, s.AddConsent(context.Background(), e))
	word.at = s.tick()
	s.say(word)
}

func (s *story) alias(*rapid.T) {
	require.NoError(s.t, s.AddAlias(context.Background(), s.people[0], s.people[1], consent.FromOperator, "ana"))
	s.link(s.people[0], s.people[1])
}

func (s *story) erasePerson(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "seldom") > 0 {
		return
	}
	who := s.anyone(t)
	gone := s.everybody(who)
	_, err := s.ErasePerson(context.Background(), who, "ana", "")
	require.NoError(s.t, err)
	s.erase(s.tick(), who)
	s.replies = slices.DeleteFunc(s.replies, func(r replied) bool { return slices.Contains(gone, r.who) })
	s.pending = slices.DeleteFunc(s.pending, func(m message.Message) bool {
		if !slices.Contains(gone, m.To) {
			return false
		}
		require.Equal(s.t, message.Suppressed, s.message(m.ID).State)
		return true
	})
	s.decided = nil
}
