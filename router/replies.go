package router

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

const (
	defaultReplyTick = 500 * time.Millisecond
	defaultPerHour   = 6
	replyRetry       = 5 * time.Second // wait before a reply is tried again whose decision failed
)

// repliesLoop asks the reply rules about the replies that wait, and about questions that have got no answer in their time. Any number
// of routers may do so side by side.
func (r *Router) repliesLoop(ctx context.Context) error {
	var seen settled
	return r.every(ctx, "the reply rules", nil, func(ctx context.Context) error {
		bounds, err := seen.bounds(ctx, r.Inbound)
		if err != nil {
			return err
		}
		bounds.PerHour = r.AnswersPerHour
		for {
			replied, err := r.step(ctx, bounds, r.Ledger.DecideReply, r.Ledger.PutOffReply)
			if err != nil {
				return err
			}
			timedOut := false
			if !seen.before.IsZero() {
				bounds.Since = time.Since(seen.before)
				timedOut, err = r.step(ctx, bounds, r.Ledger.TimeOutQuestion, r.Ledger.PutOffTimeOut)
			}
			if err != nil || !replied && !timedOut {
				return err
			}
		}
	})
}

// settled is how far the dispatchers are known to have worked on replies.
type settled struct {
	before time.Time // all that were received before it are in the ledger; zero: not known yet
	last   uint64    // the newest reply at the last look, and when that was
	at     time.Time // zero: all of them are worked on
}

func (s *settled) bounds(ctx context.Context, inbound Inbound) (store.ReplyBounds, error) {
	at := time.Now()
	last, err := inbound.LastInbound(ctx)
	if err != nil {
		return store.ReplyBounds{}, fmt.Errorf("ask for the newest reply: %w", err)
	}
	if s.at.IsZero() || last < s.last { // less: the stream was made anew, and would never get there
		s.last, s.at = last, at
	}
	floor, err := inbound.AckFloor(ctx)
	if err != nil {
		return store.ReplyBounds{}, fmt.Errorf("ask which replies are worked on: %w", err)
	}
	if floor >= s.last {
		s.before, s.at = s.at, time.Time{}
	}
	return store.ReplyBounds{Settled: floor}, nil
}

// decideNext is DecideReply or TimeOutQuestion of the Ledger, and putOff what belongs to it.
type (
	decideNext func(ctx context.Context, b store.ReplyBounds, decide func(store.PendingReply) store.DecidedReply) (store.ReplyResult, error)
	putOff     func(ctx context.Context, sid, why string, wait time.Duration) (gaveUp bool, err error)
)

// step decides the next one, or puts it off when its decision fails for a reason that waiting does not cure. It tells whether there
// was one.
func (r *Router) step(ctx context.Context, b store.ReplyBounds, next decideNext, later putOff) (bool, error) {
	result, err := r.tryReply(ctx, b, next)
	switch {
	case err != nil && (result.SID == "" || isTemporary(err)):
		return false, err
	case err != nil:
		gaveUp, failed := later(ctx, result.SID, store.Reason(err), replyRetry)
		if gaveUp {
			r.metrics.replies.WithLabelValues(string(notification.DeadLetter), "").Inc()
			r.Log.ErrorContext(ctx, "a reply can't be decided, its conversation is marked for a human", "sid", result.SID, "error", err)
		}
		return true, failed
	case result.SID == "":
		return false, nil
	}
	r.metrics.replies.WithLabelValues(string(result.Outcome), result.Held).Inc()
	r.Log.InfoContext(ctx, "a reply is decided", "sid", result.SID, "outcome", result.Outcome, "rule", result.Rule, "held", result.Held)
	return true, nil
}

// tryReply turns a panic into an error, so that it costs its own reply only.
func (r *Router) tryReply(ctx context.Context, b store.ReplyBounds, next decideNext) (result store.ReplyResult, err error) {
	sid := ""
	defer func() {
		if cause := recover(); cause != nil {
			r.Log.ErrorContext(ctx, "judging a reply panicked", "kind", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
			result, err = store.ReplyResult{SID: sid}, errPanicked
		}
	}()
	return next(ctx, b, func(p store.PendingReply) store.DecidedReply {
		sid = p.SID
		set, texts := r.Policy()
		return JudgeReply(set, texts, p)
	})
}

// JudgeReply decides a reply, or what becomes of a question without an answer, by these rules and templates. It is pure.
func JudgeReply(set *rule.Set, texts *templates.Set, p store.PendingReply) store.DecidedReply {
	m, c := &p.Answered, &p.Conversation
	d := rule.DecideReply(set, rule.ReplyInput{
		Text: p.Text, Button: p.Button, Channel: c.Channel, Received: p.Received,
		TimedOut: p.TimedOut, Question: p.Question, Answers: p.Answers, Asked: p.Asked,
		Org: m.Org, Object: m.Object, Record: rule.Snapshot{Fields: p.Record.Fields, Seen: p.Record.Seen},
		Conversation: rule.ConversationFacts{
			Rule: m.Rule, Template: m.Template, Language: m.Language, Contact: m.ContactID, RecordID: string(m.RecordID),
			State: string(c.State), AssignedTo: c.AssignedTo,
		},
	})
	out := store.DecidedReply{
		Outcome: d.Outcome, RuleSet: d.RuleSet, Answer: d.Answer, Detail: map[string]any{"results": verdicts(d.Results)},
	}
	if d.Act == nil {
		return out
	}
	act := d.Act
	out.Rule, out.Template, out.Mark = act.Rule, act.Template, act.Mark
	if act.Template != "" {
		language := act.Language
		if language == "" {
			language = m.Language
		}
		content, err := texts.Render(act.Template, language, act.Vars)
		if err != nil && !content.Has(c.Channel) { // a human has to answer
			out.Mark, out.Detail["template_error"] = true, err.Error()
		} else {
			out.Content, out.Language, out.Caps = &content, language, set.CapsOfAnswer(act.Rule, c.Sender)
		}
	}
	if act.Ask != nil {
		out.Ask = &store.NewQuestion{Name: act.Ask.Name, Answers: act.Ask.Answers, ExpiresAfter: act.Ask.ExpiresAfter}
	}
	if act.Webhook != "" {
		out.Webhook = &store.NewWebhook{URL: act.Webhook, Body: notice(act, d.Answer, &p)}
	}
	return out
}

func verdicts(results []rule.Result) []ruleResult {
	out := make([]ruleResult, 0, len(results))
	for _, one := range results {
		out = append(out, ruleResult{one.Rule, one.Verdict, one.Error})
	}
	return out
}

// every works at once, at each tick and when it is woken, until ctx ends. Failures are told once.
func (r *Router) every(ctx context.Context, what string, wake <-chan struct{}, work func(context.Context) error) error {
	ticker := time.NewTicker(r.ReplyTick)
	defer ticker.Stop()
	failing := false
	for {
		err := work(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !failing {
			r.Log.WarnContext(ctx, what+" can't work, trying again", "error", err)
		}
		failing = err != nil
		select {
		case <-ticker.C:
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
