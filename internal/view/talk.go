package view

import (
	"time"

	"github.com/beckonhq/beckon/internal/store"
)

// Talk is what the reply rules decided about a reply or about a question without an answer.
type Talk struct {
	Outcome   string    `json:"outcome"`
	Rule      string    `json:"rule,omitempty"`
	Held      string    `json:"held,omitempty"` // why its answer was not made
	MessageID string    `json:"message_id,omitempty"`
	Webhook   string    `json:"webhook,omitempty"` // queued, delivered or failed
	Tries     int       `json:"webhook_tries,omitempty"`
	Problem   string    `json:"webhook_error,omitempty"`
	DecidedAt time.Time `json:"decided_at"`
}

// Question is a question that a message asked.
type Question struct {
	Name      string    `json:"name"`
	Answers   []string  `json:"answers"`
	Asked     int       `json:"asked"`
	State     string    `json:"state"` // open, answered, replaced, timed_out, taken_over or closed
	Answer    string    `json:"answer,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
	TimeOut   *Talk     `json:"time_out,omitempty"`
}

func newTalk(t *store.TalkTrace) *Talk {
	if t == nil {
		return nil
	}
	return &Talk{
		Outcome: t.Outcome, Rule: t.Rule, Held: t.Held, MessageID: t.MadeID, Webhook: t.Webhook, Tries: t.Tries, Problem: t.Problem,
		DecidedAt: t.DecidedAt.UTC(),
	}
}

func newQuestion(q *store.QuestionTrace) *Question {
	if q == nil {
		return nil
	}
	return &Question{
		Name: q.Name, Answers: q.Answers, Asked: q.Asked, State: q.State, Answer: q.Answer, ExpiresAt: q.ExpiresAt.UTC(), TimeOut: newTalk(q.TimeOut),
	}
}
