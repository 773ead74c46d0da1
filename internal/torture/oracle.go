package torture

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// Ledgers are the four books, as they stand when everything has come to rest.
type Ledgers struct {
	Asked     map[notification.ID]Asked // Salesforce's
	Stops     []Stop                    // what people did besides
	Stored    map[notification.ID]int   // envelopes of NOTIFICATIONS that carry it: NATS's
	Streams   []stream.Holding
	Consumers []stream.ConsumerState
	Beckon    *store.Census       // Postgres's
	Twilio    []twiliosim.Message // Twilio's, oldest first
}

// Counts are what the books say together. Loss and duplication are counted in notifications and messages.
type Counts struct {
	Queued     int `json:"queued"`     // notifications that Salesforce queued
	Accepted   int `json:"accepted"`   // that Beckon acknowledged
	Refused    int `json:"refused"`    // that it never acknowledged: Salesforce would go on trying
	Repeated   int `json:"repeated"`   // times that Salesforce sent one again which was decided
	Stored     int `json:"stored"`     // accepted, and in NATS
	Decided    int `json:"decided"`    // accepted, and decided in Postgres
	Matched    int `json:"matched"`    // decided, and a message is to go out
	Made       int `json:"made"`       // messages in Postgres
	AtTwilio   int `json:"at_twilio"`  // messages that Twilio accepted
	Suppressed int `json:"suppressed"` // messages that were rightly not sent, each with its reason
	Attempts   int `json:"attempts"`

	Lost       int            `json:"lost"`
	LostAt     map[string]int `json:"lost_at,omitempty"` // by the step where it went missing
	Duplicated int            `json:"duplicated"`        // surplus messages at Twilio
	Unknown    int            `json:"unknown"`           // messages whose outcome Beckon does not know, and says so

	LateArrivals int `json:"late_arrivals"` // calls that Twilio took after the attempt's lease
	LateFrozen   int `json:"late_frozen"`   // of them those across whose lease's end a dispatcher was frozen
	WindowDouble int `json:"window_double"` // surplus messages that are proven to be of the remaining window; not in Duplicated
	Misbooked    int `json:"misbooked"`     // at Twilio, though the ledger says not sent
	Strangers    int `json:"strangers"`     // at Twilio, though nobody asked for them
	Unsettled    int `json:"unsettled"`     // stream messages that a consumer has not finished

	Stops         int `json:"stops"`          // opt-outs that the door confirmed
	Violations    int `json:"violations"`     // messages whose call began after it
	CrossedInAir  int `json:"crossed_in_air"` // messages that were claimed before it and arrived after it
	StopsUnheard  int `json:"stops_unheard"`  // opt-outs that the door never confirmed
	AfterStopKept int `json:"after_stop"`     // messages that an opt-out has suppressed
}

// Finding is one thing that is wrong, with all that is needed to look it up.
type Finding struct {
	What         string          `json:"what"`
	Notification notification.ID `json:"notification,omitempty"`
	Message      string          `json:"message,omitempty"`
	Details      []string        `json:"details,omitempty"`
}

// oracle compares the ledgers. It is pure: its answer depends on nothing else.
type oracle struct {
	Ledgers

	troubles []Suffered // what may have held a call in the air
	counts   Counts
	findings []Finding

	notes    map[notification.ID]store.CountedNotification
	messages map[notification.ID][]store.CountedMessage
	attempts map[string]store.CountedAttempt
	tries    map[string][]string // what the attempts of a message were, for findings
	sent     map[notification.ID][]arrival
}

// arrival is a message at Twilio, with the attempt that its callback URL names.
type arrival struct {
	twiliosim.Message

	attempt string
}

// reconcile says what the ledgers add up to.
func reconcile(books Ledgers, troubles []Suffered) (Counts, []Finding) {
	o := &oracle{Ledgers: books, troubles: troubles, counts: Counts{LostAt: map[string]int{}}}
	o.index()
	for id, asked := range o.Asked {
		o.judge(id, asked)
	}
	o.judgeStrangers()
	o.judgeStops()
	for _, c := range o.Consumers {
		o.counts.Unsettled += int(c.Waiting) + c.Unfinished
	}
	slices.SortFunc(o.findings, func(a, b Finding) int {
		return strings.Compare(a.What+string(a.Notification), b.What+string(b.Notification))
	})
	return o.counts, o.findings
}

// index sorts the ledgers by what joins them.
func (o *oracle) index() {
	o.notes, o.messages = map[notification.ID]store.CountedNotification{}, map[notification.ID][]store.CountedMessage{}
	o.attempts, o.tries = map[string]store.CountedAttempt{}, map[string][]string{}
	o.sent = map[notification.ID][]arrival{}
	for _, n := range o.Beckon.Notifications {
		o.notes[n.ID] = n
		o.counts.Repeated += n.Repeats
	}
	for _, m := range o.Beckon.Messages {
		o.messages[m.NotificationID] = append(o.messages[m.NotificationID], m)
	}
	for _, a := range o.Beckon.Attempts {
		o.attempts[a.ID] = a
		o.tries[a.MessageID] = append(o.tries[a.MessageID],
			fmt.Sprintf("attempt %s claimed %s: %s %s", a.ID, stamp(a.StartedAt), a.State, a.SID))
	}
	o.counts.Made, o.counts.Attempts = len(o.Beckon.Messages), len(o.Beckon.Attempts)
	carries := regexp.MustCompile(`04l[0-9A-Za-z]{15}`)
	for _, m := range o.Twilio {
		if m.Direction == "inbound" {
			continue
		}
		o.counts.AtTwilio++
		id := notification.ID(carries.FindString(m.Body))
		o.sent[id] = append(o.sent[id], arrival{m, attemptOf(m)})
		if a, ok := o.attempts[attemptOf(m)]; ok && m.Created.After(a.StartedAt.Add(lease)) {
			o.counts.LateArrivals++
			if o.frozeAt(a.StartedAt.Add(lease)) {
				o.counts.LateFrozen++
			}
		}
	}
}

// attemptOf is the attempt that the callback URL of a message names.
func attemptOf(m twiliosim.Message) string {
	u, err := url.Parse(m.StatusCallback)
	if err != nil {
		return ""
	}
	return u.Query().Get("attempt")
}

// judge follows one notification through all books.
func (o *oracle) judge(id notification.ID, asked Asked) {
	o.counts.Queued++
	if asked.Acked.IsZero() {
		o.counts.Refused++
		return
	}
	o.counts.Accepted++
	if o.Stored[id] > 0 {
		o.counts.Stored++
	}
	decided := o.notes[id].Outcome
	switch {
	case decided == "" && o.Stored[id] == 0:
		o.lose(id, "the door: acknowledged, and neither in NATS nor in Postgres")
		return
	case decided == "":
		o.lose(id, "the router: acknowledged, and not decided")
		return
	}
	o.counts.Decided++
	want := notification.Matched
	if asked.To == "" {
		want = notification.NoMatch
	}
	if decided != want {
		o.lose(id, fmt.Sprintf("the router: decided as %s, not %s", decided, want))
		return
	}
	if want == notification.NoMatch {
		return
	}
	o.counts.Matched++
	switch rows := o.messages[id]; len(rows) {
	case 0:
		o.lose(id, "the router: matched, and no message made")
	case 1:
		o.judgeMessage(id, asked, rows[0])
	default:
		o.counts.Duplicated += len(rows) - 1
		o.find(Finding{What: "several messages made for one notification", Notification: id})
	}
}

func (o *oracle) judgeMessage(id notification.ID, asked Asked, m store.CountedMessage) {
	sent := o.sent[id]
	if len(sent) > 1 {
		o.judgeSurplus(id, m, sent)
	}
	if m.State == message.Unknown {
		o.counts.Unknown++
		return
	}
	switch m.State {
	case message.Suppressed:
		if m.Reason != message.ReasonOptedOut || !o.wroteStop(asked.To) {
			o.lose(id, fmt.Sprintf("the dispatcher: suppressed without cause (%s)", m.Reason))
			return
		}
		o.counts.Suppressed++
		o.counts.AfterStopKept++
	case message.Failed, message.Expired:
		o.counts.Suppressed++
		if len(sent) == 0 {
			o.find(Finding{What: fmt.Sprintf("ended as %s (%s %d)", m.State, m.Reason, m.ErrorCode), Notification: id, Message: m.ID, Details: o.tries[m.ID]})
		}
	case message.Queued, message.Sending, message.Unknown, message.Accepted, message.Sent, message.Delivered, message.Read, message.Undelivered,
		message.Absent, message.Canceled, message.Refused:
		if len(sent) == 0 {
			o.lose(id, fmt.Sprintf("the dispatcher: %s in Postgres, and not at Twilio", m.State))
		}
	}
	if len(sent) > 0 && !slices.Contains([]message.State{
		message.Accepted, message.Sent, message.Delivered, message.Read, message.Undelivered,
	}, m.State) {
		o.counts.Misbooked++
		o.find(Finding{
			What: fmt.Sprintf("at Twilio, and %s (%s) in Postgres", m.State, m.Reason), Notification: id, Message: m.ID,
			Details: append(o.arrivals(sent), o.tries[m.ID]...),
		})
	}
}

// judgeSurplus counts messages beyond the first. A pair is of the remaining window when the earlier attempt's call arrived
// after its lease, and a dispatcher was frozen from within the lease to beyond its end.
func (o *oracle) judgeSurplus(id notification.ID, m store.CountedMessage, sent []arrival) {
	window := 0
	for _, s := range sent {
		a, ok := o.attempts[s.attempt]
		if ok && s.Created.After(a.StartedAt.Add(lease)) && o.frozeAt(a.StartedAt.Add(lease)) {
			window++
		}
	}
	window = min(window, len(sent)-1)
	o.counts.WindowDouble += window
	what := "sent more than once, through the remaining window"
	if surplus := len(sent) - 1 - window; surplus > 0 {
		o.counts.Duplicated += surplus
		what = "sent more than once"
	}
	o.find(Finding{What: what, Notification: id, Message: m.ID, Details: append(o.arrivals(sent), o.tries[m.ID]...)})
}

// frozeAt tells whether a dispatcher was frozen at a time.
func (o *oracle) frozeAt(t time.Time) bool {
	return slices.ContainsFunc(o.troubles, func(s Suffered) bool {
		return s.Kind == Freeze && strings.HasPrefix(s.Target, "dispatcher") && !s.Began.After(t) && !s.Healed.Before(t)
	})
}

// heldUp tells whether a fault that stops a dispatcher, or Twilio, or the way between them was under way at a time.
func (o *oracle) heldUp(from, to time.Time) bool {
	return slices.ContainsFunc(o.troubles, func(s Suffered) bool {
		if s.Began.After(to) || s.Healed.Before(from) {
			return false
		}
		switch s.Kind {
		case Freeze, Kill, Restart:
			return strings.HasPrefix(s.Target, "dispatcher") || s.Target == twilioName
		case Blackhole, Slow:
			return strings.HasSuffix(s.Target, arrow+twilioName)
		case Answers:
			return strings.Contains(s.Detail, string(twiliosim.Slow)) || strings.Contains(s.Detail, string(twiliosim.HangCreated))
		case Cut:
		}
		return false
	})
}

// judgeStrangers finds what Twilio has and nobody asked for.
func (o *oracle) judgeStrangers() {
	for id, sent := range o.sent {
		if asked, ok := o.Asked[id]; ok && asked.To != "" {
			continue
		}
		o.counts.Strangers += len(sent)
		o.find(Finding{What: "at Twilio, and nobody asked for it", Notification: id, Details: o.arrivals(sent)})
	}
}

// judgeStops looks for messages to people who had opted out. The claim comes before the last look at consent, and the call
// after it: a message that was claimed after the door had confirmed the opt-out is a violation. So is one that was claimed
// before and arrived clearly after it, unless something held it up on the way.
func (o *oracle) judgeStops() {
	const grace = time.Second // from the last look at consent to the simulator's clock
	since := map[string]time.Time{}
	for _, s := range o.Stops {
		if s.Acked.IsZero() {
			o.counts.StopsUnheard++
			continue
		}
		o.counts.Stops++
		since[s.To] = s.Acked
	}
	for id, sent := range o.sent {
		for _, s := range sent {
			stopped, ok := since[strings.TrimPrefix(s.To, whatsAppMark)]
			if !ok || !s.Created.After(stopped) {
				continue
			}
			claimed := o.attempts[s.attempt].StartedAt
			if claimed.Before(stopped) && (s.Created.Before(stopped.Add(grace)) || o.heldUp(claimed, s.Created)) {
				o.counts.CrossedInAir++
				continue
			}
			o.counts.Violations++
			o.find(Finding{
				What: "sent to somebody who had opted out", Notification: id,
				Details: append(o.arrivals([]arrival{s}), "opt-out confirmed "+stamp(stopped), "claimed "+stamp(claimed)),
			})
		}
	}
}

func (o *oracle) wroteStop(to string) bool {
	return slices.ContainsFunc(o.Stops, func(s Stop) bool { return s.To == to })
}

func (o *oracle) lose(id notification.ID, where string) {
	o.counts.Lost++
	o.counts.LostAt[where]++
	f := Finding{What: "lost at " + where, Notification: id}
	for _, m := range o.messages[id] {
		f.Message = m.ID
		f.Details = append(f.Details, fmt.Sprintf("message %s: %s %s since %s", m.ID, m.State, m.Reason, stamp(m.UpdatedAt)))
		f.Details = append(f.Details, o.tries[m.ID]...)
	}
	o.find(f)
}

func (o *oracle) find(f Finding) { o.findings = append(o.findings, f) }

func (o *oracle) arrivals(sent []arrival) []string {
	var out []string
	for _, s := range sent {
		out = append(out, fmt.Sprintf("at Twilio %s: %s by attempt %s", stamp(s.Created), s.SID, s.attempt))
	}
	return out
}

func stamp(t time.Time) string { return t.Format("15:04:05.000") }
