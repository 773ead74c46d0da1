package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
)

// The reply rules of the story.
const (
	badRating    = "case-rated-low"
	reason       = "rating-reason-given"
	anythingElse = "anything-else"
)

// supportCase is a Case that gets to a status, which ticks a box.
func supportCase(who person, number, status string) salesforcesim.Record {
	return salesforcesim.Record{
		"CaseNumber": number, "Status": status, "Is" + status: true, "ContactId": who.contact, "Contact_Mobile__c": string(who.number),
		"Contact_First_Name__c": who.name, "Language__c": who.language,
	}
}

// surveyed shows a question, an answer, and that a server of the operator hears of it.
func (s *story) surveyed(ctx context.Context) error {
	s.step("A case is closed: a survey of two questions")
	webhook := "\n    webhook: " + s.receiver.url
	err := s.editRules(ctx, "replies.yaml", "your server shall hear of bad ratings and their reasons.",
		"  - name: "+badRating, "  - name: "+badRating+webhook, "  - name: "+reason, "  - name: "+reason+webhook)
	if err != nil {
		return err
	}
	who := fay()
	change, err := s.save(who, "Case", "Case 00016494 of "+who.name+" is closed", supportCase(who, "00016494", "Closed"))
	if err != nil {
		return err
	}
	if err := s.acknowledged(ctx, change.Notifications[0]); err != nil {
		return err
	}
	err = s.follow(ctx, who, change.Notifications[0], who.name+" read the question", func(t *store.Trace) bool {
		return reached(t, map[string]message.State{closed: message.Read})
	})
	if err != nil {
		return err
	}
	result, err := s.write(ctx, who, message.WhatsApp, "2")
	if err != nil {
		return err
	}
	return s.reacted(ctx, who, result.SID, badRating, "asks for the reason")
}

// reacted waits for what a reply rule does: the answer on the phone, and the webhook.
func (s *story) reacted(ctx context.Context, who person, sid, rule, what string) error {
	answer, err := s.spoken(ctx, who, sid, "")
	if err != nil {
		return err
	}
	if answer.Rule != rule {
		return fmt.Errorf("%w: the rule %s answered instead of %s", ErrDidNotHappen, answer.Rule, rule)
	}
	s.say(beckon, "rule %s takes it and %s, with template %s.", rule, what, answer.Template)
	err = until(ctx, "the webhook was posted", func(context.Context) (bool, error) {
		n, ok, err := s.receiver.told(sid)
		if ok {
			s.say(server, "gets a webhook, its signature is right: rule %s, reply %q.", n.Data.Rule, n.Data.Text)
		}
		return ok, err
	})
	if err != nil {
		return err
	}
	return s.rings(ctx, who, sid)
}

// helped shows the second answer, and that a human takes over.
func (s *story) helped(ctx context.Context) error {
	s.step("The reason is known: a human takes over")
	who := fay()
	result, err := s.write(ctx, who, message.WhatsApp, "Price")
	if err != nil {
		return err
	}
	if err := s.reacted(ctx, who, result.SID, reason, "says thanks"); err != nil {
		return err
	}
	c, err := s.waits(ctx, who, reason)
	if err != nil {
		return err
	}
	s.say(operator, "answer by the API, as Lee; beckon conversations reply does the same.")
	var made struct {
		ID string `json:"message_id"`
	}
	err = s.post(ctx, "/api/v1/conversations/"+c.ID+"/reply", map[string]string{
		"text": "I am sorry, Fay. I have taken 20 % off your next invoice. Lee, customer care", "by": "lee",
	}, &made)
	if err != nil {
		return err
	}
	if err := s.rings(ctx, who, made.ID); err != nil {
		return err
	}
	return s.showConversation(ctx, who)
}

// waits waits until a reply rule has marked a person's conversation for a human.
func (s *story) waits(ctx context.Context, who person, rule string) (c store.Conversation, err error) {
	err = until(ctx, who.name+"'s conversation waits for a human", func(ctx context.Context) (bool, error) {
		c, err = s.conversation(ctx, who.number)
		return err == nil && c.MarkedBy == rule, err
	})
	if err == nil {
		s.say(beckon, "marks the conversation: it waits for a human, says rule %s.", rule)
	}
	return c, err
}

func (s *story) conversation(ctx context.Context, with address.Address) (store.Conversation, error) {
	var found store.Conversation
	err := s.ledger.Conversations(ctx, store.ConversationFilter{With: with}, func(c store.Conversation) error {
		found = c
		return nil
	})
	if err == nil && found.ID == "" {
		err = fmt.Errorf("%w: there is no conversation", ErrDidNotHappen)
	}
	return found, err
}

// showConversation shows a whole conversation as the API gives it.
func (s *story) showConversation(ctx context.Context, who person) error {
	c, err := s.conversation(ctx, who.number)
	if err != nil {
		return err
	}
	s.say(beckon, "keeps it with Case %s: assigned to %s, no rule answers for %.0f hours.", c.RecordID, c.AssignedTo,
		time.Until(c.PausedUntil).Hours())
	const most, longest = 20, 68
	text, err := s.get(ctx, fmt.Sprintf("/api/v1/conversations/%s?limit=%d", c.ID, most))
	if err != nil {
		return err
	}
	var whole view.WholeConversation
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return fmt.Errorf("read a conversation: %w", err)
	}
	rows := [][]string{{"who", "said"}}
	for _, t := range whole.Turns {
		speaker := cmp.Or(t.By, t.Rule)
		if t.Direction == "inbound" {
			speaker = who.name
		}
		rows = append(rows, []string{speaker, shorten(cmp.Or(t.Text, "(template "+t.Template+")"), longest)})
	}
	s.line("")
	s.table(rows)
	return nil
}
