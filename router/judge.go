package router

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

// detail is what the ledger keeps of a decision besides its outcome: enough to explain it, without the messages' contents.
type detail struct {
	Results      []ruleResult       `json:"results,omitempty"`
	PreviousUsed map[string]*string `json:"previous_used,omitempty"`
	PreviousSeen bool               `json:"previous_seen"`
	// Previous has the last-known values that differ from what the notification says, nil for null: with the notification it
	// gives the whole copy of that time, so that the notification can be decided again by other rules.
	Previous map[string]*string `json:"previous,omitempty"`
	Deleted  bool               `json:"deleted,omitempty"`
}

type ruleResult struct {
	Rule    string       `json:"rule"`
	Verdict rule.Verdict `json:"verdict"`
	Error   string       `json:"error,omitempty"`
}

// judge decides one notification by the running rules. It is pure but for ids, times and counters: the ledger may call it
// again when a transaction is repeated.
func (r *Router) judge(p store.Pending) store.Decided {
	set, texts := r.Policy()
	j := judgement{set: set, texts: texts, region: r.Region, ask: r.DoubleOptIn}
	decided := j.decide(p)
	for _, result := range j.results {
		r.metrics.verdicts.WithLabelValues(result.Rule, string(result.Verdict)).Inc()
	}
	for _, template := range j.unrendered {
		r.metrics.renderErrors.WithLabelValues(template).Inc()
	}
	return decided
}

// Judge gives the function that decides notifications by these rules and templates, as the router does. region is that of
// phone numbers without a country code. It is pure but for ids and times.
func Judge(set *rule.Set, texts *templates.Set, region string) func(store.Pending) store.Decided {
	return func(p store.Pending) store.Decided {
		j := judgement{set: set, texts: texts, region: region}
		return j.decide(p)
	}
}

// judgement is one decision in the making.
type judgement struct {
	set    *rule.Set
	texts  *templates.Set
	region string
	ask    bool // with double opt-in

	results    []rule.Result
	unrendered []string // templates that could not be rendered
}

func (j *judgement) decide(p store.Pending) store.Decided {
	in := rule.Input{
		Notification: *p.Notification, Org: p.Envelope.Org, Object: p.Envelope.Object, Received: p.Envelope.Received,
		Known: p.Known, Previous: rule.Snapshot{Fields: p.Previous.Fields, Seen: p.Previous.Seen},
	}
	if p.Earlier != nil {
		in.Previous = previousThen(p.Earlier, p.Notification)
	}
	decision := rule.Decide(j.set, in)
	entries := j.consent(p, &decision)
	j.results = decision.Results
	decided := store.Decided{Outcome: decision.Outcome, RuleSet: decision.RuleSet, Detail: explain(decision, &in), Consent: entries}
	decided.Next, decided.Moved = j.set.NextSnapshot(in)
	for _, result := range decision.Results {
		for i := range result.Messages {
			decided.Messages = append(decided.Messages, j.draw(p, &result.Messages[i])...)
		}
	}
	return decided
}

func explain(d rule.Decision, in *rule.Input) []byte {
	out := detail{PreviousUsed: d.PreviousUsed, PreviousSeen: d.PreviousSeen, Deleted: d.Deleted}
	if !d.Deleted {
		out.Previous = differences(in)
	}
	for _, result := range d.Results {
		out.Results = append(out.Results, ruleResult{result.Rule, result.Verdict, result.Error})
	}
	encoded, err := json.Marshal(out)
	if err != nil { // it has nothing that could fail
		return []byte(`{}`)
	}
	return encoded
}

// sent are the fields of a notification that are not null.
func sent(n *notification.Notification) map[string]string {
	fields := make(map[string]string, len(n.Fields))
	for _, f := range n.Fields {
		if !f.Null {
			fields[f.Name] = f.Value
		}
	}
	return fields
}

// differences are the last-known values that a notification does not repeat; nil for those that were null.
func differences(in *rule.Input) map[string]*string {
	if !in.Previous.Seen {
		return nil
	}
	now := sent(&in.Notification)
	var differ map[string]*string
	note := func(name string, value *string) {
		if differ == nil {
			differ = map[string]*string{}
		}
		differ[name] = value
	}
	for name, before := range in.Previous.Fields {
		if value, ok := now[name]; !ok || value != before {
			note(name, &before)
		}
	}
	for name := range now {
		if _, ok := in.Previous.Fields[name]; !ok {
			note(name, nil)
		}
	}
	return differ
}

// previousThen is the last-known copy that an earlier decision about the notification had. Of decisions from before `previous`
// was stored, only the values that the rules of that time looked at are known; the others count as unchanged.
func previousThen(earlier json.RawMessage, n *notification.Notification) rule.Snapshot {
	var d detail
	if json.Unmarshal(earlier, &d) != nil || !d.PreviousSeen {
		return rule.Snapshot{}
	}
	snapshot := rule.Snapshot{Seen: true, Fields: sent(n)}
	for _, values := range []map[string]*string{d.PreviousUsed, d.Previous} {
		for name, value := range values {
			if value == nil {
				delete(snapshot.Fields, name)
			} else {
				snapshot.Fields[name] = *value
			}
		}
	}
	return snapshot
}

// draw makes the messages of one draft: one for each recipient, rendered once.
func (j *judgement) draw(p store.Pending, draft *rule.Draft) []store.NewMessage {
	content, err := j.texts.Render(draft.Template, draft.Language, draft.Vars)
	now := time.Now()
	base := message.Message{
		Org: p.Envelope.Org, NotificationID: p.Notification.ID, RecordID: p.Notification.RecordID, Object: p.Envelope.Object,
		ContactID: draft.Contact, Rule: draft.Rule, Sender: draft.Sender, Template: draft.Template, Language: language(content, draft),
		Purpose: draft.Purpose, Program: draft.Program, Channels: draft.Channels, Content: content, Hours: hours(draft),
		Caps: j.set.CapsOf(draft), State: message.Queued,
		CreatedAt: now, NotBefore: now.Add(draft.Delay), ExpiresAfter: draft.ExpiresAfter,
	}
	if err != nil {
		base.Detail = err.Error()
		j.unrendered = append(j.unrendered, draft.Template)
	}
	if !hasAny(content, draft.Channels) && err != nil {
		base.State, base.Reason = message.Failed, message.ReasonTemplateError
	}
	made := make([]store.NewMessage, 0, len(draft.To))
	seen := map[address.Address]bool{}
	for _, raw := range draft.To {
		m := base
		m.ID = uuid.Must(uuid.NewV7()).String()
		to, err := address.Parse(raw, j.region)
		if err != nil {
			to = address.AsWritten(raw)
			m.State, m.Reason, m.Detail = message.Failed, message.ReasonInvalidNumber, ""
		}
		m.To = to
		if seen[to] {
			continue
		}
		seen[to] = true
		made = append(made, store.NewMessage{
			Message: m, Once: onceKey(draft, &m), Breaker: (*store.Breaker)(draft.Breaker), OptOutBreaker: (*store.OptOutBreaker)(draft.OptOutBreaker),
		})
	}
	return made
}

// hours are nil for a draft that ignores quiet hours.
func hours(draft *rule.Draft) *message.Hours {
	if draft.QuietHours == rule.QuietHoursIgnore && draft.Purpose != message.Marketing {
		return nil
	}
	return &message.Hours{
		Wish: string(draft.QuietHours), Zone: draft.Place.TimeZone, Country: draft.Place.Country, State: draft.Place.State,
		PostalCode: draft.Place.PostalCode,
	}
}

func onceKey(draft *rule.Draft, m *message.Message) store.OnceKey {
	switch draft.Once {
	case rule.OncePerRecord:
		if m.RecordID == "" { // no record to count by
			return store.OnceKey{}
		}
		return store.OnceKey{Scope: string(draft.Once), Value: string(m.RecordID)}
	case rule.OncePerPerson:
		return store.OnceKey{Scope: string(draft.Once), Value: string(m.To)}
	case rule.OnceNever:
	}
	return store.OnceKey{}
}

func hasAny(content message.Content, channels []message.Channel) bool {
	return slices.ContainsFunc(channels, content.Has)
}

// language is the one that the template had, of the first channel that has content; else the one asked for.
func language(content message.Content, draft *rule.Draft) string {
	for _, channel := range draft.Channels {
		switch {
		case channel == message.SMS && content.SMS != nil:
			return content.SMS.Language
		case channel == message.WhatsApp && content.WhatsApp != nil:
			return content.WhatsApp.Language
		}
	}
	return draft.Language
}
