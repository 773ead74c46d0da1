package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/webhook"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

const (
	defaultReplyTick = 500 * time.Millisecond
	defaultPerHour   = 6
	replyRetry       = 5 * time.Second // wait before a reply is tried again whose decision failed
	webhookLease     = time.Minute     // more than one try takes
	webhookFirst     = 10 * time.Second
	webhookTries     = 12 // over some six hours
)

// Webhooks posts the notices of reply rules; *webhook.Client is one.
type Webhooks interface {
	Post(ctx context.Context, url, id, body string) error
}

// repliesLoop asks the reply rules about the replies that wait, and closes questions whose time is over. Any number of routers may do
// so side by side.
func (r *Router) repliesLoop(ctx context.Context) error {
	return r.every(ctx, "the reply rules", func(ctx context.Context) error {
		if _, err := r.Ledger.ExpireQuestions(ctx); err != nil {
			return err
		}
		for {
			result, err := r.tryReply(ctx)
			switch {
			case err != nil && (result.SID == "" || isTemporary(err)):
				return err
			case err != nil:
				if err := r.putOffReply(ctx, result.SID, err); err != nil {
					return err
				}
			case result.SID == "":
				return nil
			default:
				r.metrics.replies.WithLabelValues(string(result.Outcome), result.Held).Inc()
				r.Log.InfoContext(ctx, "a reply is decided", "sid", result.SID, "outcome", result.Outcome, "rule", result.Rule, "held", result.Held)
			}
		}
	})
}

// tryReply turns a panic into an error, so that it costs its own reply only.
func (r *Router) tryReply(ctx context.Context) (result store.ReplyResult, err error) {
	sid := ""
	defer func() {
		if cause := recover(); cause != nil {
			r.Log.ErrorContext(ctx, "judging a reply panicked", "kind", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
			result, err = store.ReplyResult{SID: sid}, errPanicked
		}
	}()
	return r.Ledger.DecideReply(ctx, r.AnswersPerHour, func(p store.PendingReply) store.DecidedReply {
		sid = p.SID
		set, texts := r.Policy()
		return JudgeReply(set, texts, p)
	})
}

func (r *Router) putOffReply(ctx context.Context, sid string, cause error) error {
	gaveUp, err := r.Ledger.PutOffReply(ctx, sid, store.Reason(cause), replyRetry, logicTries)
	if gaveUp {
		r.Log.ErrorContext(ctx, "a reply can't be decided, its conversation is marked for a human", "sid", sid, "error", cause)
	}
	return err
}

// JudgeReply decides a reply by these rules and templates. It is pure.
func JudgeReply(set *rule.Set, texts *templates.Set, p store.PendingReply) store.DecidedReply {
	m, c := &p.Answered, &p.Conversation
	d := rule.DecideReply(set, rule.ReplyInput{
		Text: p.Text, Button: p.Button, Channel: c.Channel, Received: p.Received, Question: p.Question, Answers: p.Answers,
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
			out.Content, out.Language = &content, language
		}
	}
	if act.Ask != nil {
		out.Ask = &store.NewQuestion{Name: act.Ask.Name, Answers: act.Ask.Answers, ExpiresAfter: act.Ask.ExpiresAfter}
	}
	if act.Webhook != "" {
		out.Webhook = &store.NewWebhook{URL: act.Webhook, Body: notice(act.Rule, d.Answer, &p)}
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

// notice is the body of a webhook: the shape that Standard Webhooks proposes.
func notice(ruleName, answer string, p *store.PendingReply) string {
	body, err := json.Marshal(map[string]any{
		"type": "reply.matched", "timestamp": p.Now.UTC().Format(time.RFC3339Nano),
		"data": map[string]any{
			"rule": ruleName, "sid": p.SID, "conversation_id": p.Conversation.ID, "channel": p.Conversation.Channel,
			"from": string(p.From), "text": p.Text, "button": p.Button, "question": p.Question, "answer": answer,
			"received_at": p.Received.UTC().Format(time.RFC3339Nano), "message_id": p.Answered.ID, "answered_rule": p.Answered.Rule,
			"object": p.Answered.Object, "record_id": string(p.Answered.RecordID), "contact_id": p.Answered.ContactID,
		},
	})
	if err != nil { // it has nothing that could fail
		return "{}"
	}
	return string(body)
}

// webhooksLoop posts what is due. A notice is posted again until the server takes it or its tries are over, so it may come twice:
// its id tells.
func (r *Router) webhooksLoop(ctx context.Context) error {
	if r.Webhooks == nil {
		return nil
	}
	return r.every(ctx, "webhooks", func(ctx context.Context) error {
		for {
			w, err := r.Ledger.TakeWebhook(ctx, webhookLease)
			if err != nil || w == nil {
				return err
			}
			if err := r.post(ctx, w); err != nil {
				return err
			}
		}
	})
}

func (r *Router) post(ctx context.Context, w *store.Webhook) error {
	err := r.Webhooks.Post(ctx, w.URL, w.ID, w.Body)
	why, wait, result := "", time.Duration(0), "delivered"
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // the lease brings it again
	case err != nil && (errors.Is(err, webhook.ErrPrivate) || w.Tries+1 >= webhookTries):
		why, result = err.Error(), "failed"
		r.Log.ErrorContext(ctx, "a webhook is given up", "webhook", w.ID, "tries", w.Tries+1, "error", err)
	case err != nil:
		why, wait, result = err.Error(), webhookFirst<<w.Tries, "tried_again"
	}
	r.metrics.webhooks.WithLabelValues(result).Inc()
	return r.Ledger.EndWebhook(ctx, w.ID, why, wait)
}

// every works at once and at each tick until ctx ends. Failures are told once.
func (r *Router) every(ctx context.Context, what string, work func(context.Context) error) error {
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
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
