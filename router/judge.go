package router

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

// detail is what the ledger keeps of a decision besides its outcome: enough to explain it, without the messages' contents.
type detail struct {
	Results      []ruleResult       `json:"results,omitempty"`
	PreviousUsed map[string]*string `json:"previous_used,omitempty"`
	PreviousSeen bool               `json:"previous_seen"`
	Deleted      bool               `json:"deleted,omitempty"`
}

type ruleResult struct {
	Rule    string       `json:"rule"`
	Verdict rule.Verdict `json:"verdict"`
	Error   string       `json:"error,omitempty"`
}

// judge decides one notification. It is pure but for ids, times and counters: the ledger may call it again when a
// transaction is repeated.
func (r *Router) judge(p store.Pending) store.Decided {
	set, texts := r.Policy()
	in := rule.Input{
		Notification: *p.Notification, Org: p.Envelope.Org, Object: p.Envelope.Object, Received: p.Envelope.Received,
		Known: p.Known, Previous: rule.Snapshot{Fields: p.Previous.Fields, Seen: p.Previous.Seen},
	}
	decision := rule.Decide(set, in)
	decided := store.Decided{Outcome: decision.Outcome, RuleSet: decision.RuleSet, Detail: explain(decision)}
	decided.Next, decided.Moved = set.NextSnapshot(in)
	for _, result := range decision.Results {
		r.metrics.verdicts.WithLabelValues(result.Rule, string(result.Verdict)).Inc()
		for i := range result.Messages {
			decided.Messages = append(decided.Messages, r.draw(p, &result.Messages[i], texts)...)
		}
	}
	return decided
}

func explain(d rule.Decision) []byte {
	out := detail{PreviousUsed: d.PreviousUsed, PreviousSeen: d.PreviousSeen, Deleted: d.Deleted}
	for _, result := range d.Results {
		out.Results = append(out.Results, ruleResult{result.Rule, result.Verdict, result.Error})
	}
	encoded, err := json.Marshal(out)
	if err != nil { // it has nothing that could fail
		return []byte(`{}`)
	}
	return encoded
}

// draw makes the messages of one draft: one for each recipient, rendered once.
func (r *Router) draw(p store.Pending, draft *rule.Draft, texts *templates.Set) []store.NewMessage {
	content, err := texts.Render(draft.Template, draft.Language, draft.Vars)
	now := time.Now()
	base := message.Message{
		Org: p.Envelope.Org, NotificationID: p.Notification.ID, RecordID: p.Notification.RecordID, Object: p.Envelope.Object,
		ContactID: draft.Contact, Rule: draft.Rule, Sender: draft.Sender, Template: draft.Template, Language: language(content, draft),
		Purpose: draft.Purpose, Channels: draft.Channels, Content: content, State: message.Queued,
		CreatedAt: now, NotBefore: now.Add(draft.Delay), ExpiresAfter: draft.ExpiresAfter,
	}
	if err != nil {
		base.Detail = err.Error()
		r.metrics.renderErrors.WithLabelValues(draft.Template).Inc()
	}
	if !hasAny(content, draft.Channels) && err != nil {
		base.State, base.Reason = message.Failed, message.ReasonTemplateError
	}
	made := make([]store.NewMessage, 0, len(draft.To))
	seen := map[address.Address]bool{}
	for _, raw := range draft.To {
		m := base
		m.ID = uuid.Must(uuid.NewV7()).String()
		to, err := address.Parse(raw, r.Region)
		if err != nil {
			to = address.AsWritten(raw)
			m.State, m.Reason, m.Detail = message.Failed, message.ReasonInvalidNumber, ""
		}
		m.To = to
		if seen[to] {
			continue
		}
		seen[to] = true
		made = append(made, store.NewMessage{Message: m, Once: onceKey(draft, &m)})
	}
	return made
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
