package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// The actors beside the people's phones.
const (
	salesforceName = "Salesforce"
	beckon         = "Beckon"
	twilioName     = "Twilio"
	operator       = "you"
	server         = "Your server"
)

// The rules of the story.
const (
	welcome   = "closed-won-welcome"
	escalated = "case-escalated"
	closed    = "case-closed"
	reminder  = "payment-overdue"
	offer     = "payment-plan-offer"
)

// person is a customer.
type person struct {
	name     string
	number   address.Address
	contact  string // Salesforce id
	language string
	deal     string
}

func ana() person {
	return person{"Ana", "+14155550101", "003000000000001AAA", "en", "Espresso machine"}
}

func ben() person {
	return person{"Ben", "+14155550102", "003000000000002AAA", "en", "Bike fleet"}
}

func carla() person {
	return person{"Carla", "+14155550103", "003000000000003AAA", "es-MX", "Horno de pan"}
}

func dana() person {
	return person{"Dana", "+14155550104", "003000000000004AAA", "en", ""}
}

// fay is not content.
func fay() person {
	return person{"Fay", "+14155550106", "003000000000006AAA", "en", ""}
}

// story is what has happened so far.
type story struct {
	*world
	*transcript

	told    map[string]bool
	saved   []saved   // every notification, for the account at the end
	written []written // every reply
	anas    salesforcesim.Saved
	night   night
}

type saved struct {
	what string
	who  person
	id   notification.ID
}

type written struct {
	who       person
	text, sid string
}

func (s *story) tell(ctx context.Context) error {
	s.told = map[string]bool{}
	for _, part := range []func(context.Context) error{
		s.dealWon, s.noWhatsApp, s.repeated, s.answered, s.stopped, s.stoppedInSpanish, s.offered, s.asleep, s.surveyed, s.helped, s.account,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	s.plain("\n  The story took %.1f s.", s.since().Seconds())
	if s.opts.KeepRunning {
		return s.keepRunning(ctx)
	}
	s.hints()
	return nil
}

// save changes a record in Salesforce and tells it.
func (s *story) save(who person, object, what string, record salesforcesim.Record) (salesforcesim.Saved, error) {
	result, err := s.salesforce.Save(object, record)
	if err != nil {
		return result, err
	}
	s.saved = append(s.saved, saved{what, who, result.Notifications[0]})
	s.say(salesforceName, "%s: notification %s.", what, result.Notifications[0])
	return result, nil
}

func opportunity(who person, stage string) salesforcesim.Record {
	return salesforcesim.Record{
		"Name": who.deal, "StageName": stage, "ContactId": who.contact, "Contact_Mobile__c": string(who.number),
		"Contact_First_Name__c": who.name, "Language__c": who.language,
	}
}

// dealWon is the story itself: an Opportunity moves to Closed Won, and the customer is welcomed on WhatsApp.
func (s *story) dealWon(ctx context.Context) error {
	s.step("A deal is won: the customer is welcomed on WhatsApp")
	who := ana()
	record := opportunity(who, "Negotiation/Review")
	first, err := s.save(who, "Opportunity", fmt.Sprintf("Opportunity %q of %s moves to Negotiation/Review", who.deal, who.name), record)
	if err != nil {
		return err
	}
	if err := s.acknowledged(ctx, first.Notifications[0]); err != nil {
		return err
	}
	err = s.follow(ctx, who, first.Notifications[0], "no rule matched", func(t *store.Trace) bool {
		return t.Notifications[0].Outcome == notification.NoMatch
	})
	if err != nil {
		return err
	}
	record["Id"], record["StageName"] = string(first.Record), "Closed Won"
	if s.anas, err = s.save(who, "Opportunity", "the same Opportunity moves to Closed Won", record); err != nil {
		return err
	}
	if err := s.acknowledged(ctx, s.anas.Notifications[0]); err != nil {
		return err
	}
	return s.follow(ctx, who, s.anas.Notifications[0], "Ana read her welcome", func(t *store.Trace) bool {
		return reached(t, map[string]message.State{welcome: message.Read})
	})
}

// noWhatsApp lets WhatsApp fail for a person, so that an SMS is sent.
func (s *story) noWhatsApp(ctx context.Context) error {
	s.step("A customer without WhatsApp gets an SMS")
	who := ben()
	const notOnWhatsApp = 63003
	s.twilio.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: notOnWhatsApp, To: whatsAppMark + string(who.number), Count: 100})
	won, err := s.save(who, "Opportunity", fmt.Sprintf("Opportunity %q of %s moves to Closed Won", who.deal, who.name), opportunity(who, "Closed Won"))
	if err != nil {
		return err
	}
	if err := s.acknowledged(ctx, won.Notifications[0]); err != nil {
		return err
	}
	return s.follow(ctx, who, won.Notifications[0], "Ben got an SMS", func(t *store.Trace) bool {
		return reached(t, map[string]message.State{welcome: message.Delivered}) && t.Messages[0].Channel == message.SMS
	})
}

// repeated lets Salesforce send Ana's notification again, in one envelope with something new.
func (s *story) repeated(ctx context.Context) error {
	s.step("Salesforce repeats itself, and Carla speaks Spanish")
	who, old := carla(), s.anas.Notifications[0]
	before := s.twilio.Count(whatsAppMark + string(ana().number))
	s.pause() // so that both go into one envelope
	if err := s.salesforce.Repeat(old); err != nil {
		return err
	}
	s.say(salesforceName, "repeats notification %s of %s, although it was acknowledged, in one envelope with this:", old, ana().name)
	won, err := s.save(who, "Opportunity", fmt.Sprintf("Opportunity %q of %s moves to Closed Won", who.deal, who.name), opportunity(who, "Closed Won"))
	if err != nil {
		return err
	}
	s.deliver(ctx)
	if err := s.acknowledged(ctx, won.Notifications[0]); err != nil {
		return err
	}
	if d := s.salesforce.Deliveries(); len(d[len(d)-1].Notifications) != 2 {
		return fmt.Errorf("%w: the repeated notification was not in the same envelope", ErrDidNotHappen)
	}
	err = s.follow(ctx, ana(), old, "the repetition was noticed", func(t *store.Trace) bool { return t.Notifications[0].Duplicates == 1 })
	if err != nil {
		return err
	}
	s.say(beckon, "knows %s: a duplicate, not decided again.", old)
	err = s.follow(ctx, who, won.Notifications[0], "Carla read her welcome", func(t *store.Trace) bool {
		return reached(t, map[string]message.State{welcome: message.Read})
	})
	if err != nil {
		return err
	}
	if after := s.twilio.Count(whatsAppMark + string(ana().number)); after != before {
		return fmt.Errorf("%w: Ana has %d messages now instead of %d", ErrDidNotHappen, after, before)
	}
	s.say(ana().name+"'s phone", "stays silent: still %d message from us.", before)
	return nil
}

// write lets a person write to us.
func (s *story) write(ctx context.Context, who person, channel message.Channel, text string) (twiliosim.InboundResult, error) {
	in := twiliosim.InboundMessage{From: string(who.number), To: smsFrom, Body: text}
	if channel == message.WhatsApp {
		in.From, in.To, in.ProfileName = whatsAppMark+in.From, whatsAppMark+whatsAppFrom, who.name
	}
	s.say(who.name+"'s phone", "%s writes back:", who.name)
	s.bubble(channelName(channel), text)
	result, err := s.twilio.Inbound(ctx, in)
	if err != nil {
		return result, err
	}
	if result.HTTPStatus/100 != 2 {
		return result, fmt.Errorf("%w: the reply was answered with HTTP %d", ErrDidNotHappen, result.HTTPStatus)
	}
	s.say(twilioName, "calls the signed webhook: %d, the reply is stored on disk.", result.HTTPStatus)
	s.written = append(s.written, written{who, text, result.SID})
	return result, nil
}

// answered shows that a reply finds its conversation and its record.
func (s *story) answered(ctx context.Context) error {
	s.step("Ana answers, and her question waits for a human")
	result, err := s.write(ctx, ana(), message.WhatsApp, "Thanks! Where do I start?")
	if err != nil {
		return err
	}
	err = until(ctx, "Ana's reply was joined to her message", func(ctx context.Context) (bool, error) {
		trace, err := s.ledger.Trace(ctx, string(s.anas.Record))
		if err != nil {
			return false, err
		}
		for _, m := range trace.Messages {
			for _, reply := range m.Replies {
				if reply.SID == result.SID {
					s.say(beckon, "keeps it with the conversation: it answers %s, contact %s, Opportunity %s.", m.Rule, m.ContactID, m.RecordID)
					return true, nil
				}
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	_, err = s.waits(ctx, ana(), anythingElse)
	return err
}

// silent checks that Twilio was called no more than expected since before, and tells it.
func (s *story) silent(before int64, expected int) error {
	if calls := s.twilio.Stats().Creates - before; calls != int64(expected) {
		return fmt.Errorf("%w: Twilio was called %d times instead of %d", ErrDidNotHappen, calls, expected)
	}
	s.say(twilioName, "was %s meanwhile.", times(expected))
	return nil
}

func times(n int) string {
	switch n {
	case 0:
		return "not called"
	case 1:
		return "called once"
	}
	return fmt.Sprintf("called %d times", n)
}

// offered shows the two purposes side by side, and that rules can be edited while Beckon runs.
func (s *story) offered(ctx context.Context) error {
	s.step("A reminder is allowed, an offer needs consent")
	const delay = "    delay: 48h"
	err := s.editRules(ctx, "invoice.yaml", "the offer of instalments shall not wait for 48 hours any more.", delay, "    #"+delay)
	if err != nil {
		return err
	}
	who, before := dana(), s.twilio.Stats().Creates
	change, err := s.save(who, "Invoice__c", "Invoice INV-0042 of "+who.name+" is overdue, 1200.50 USD", salesforcesim.Record{
		"Name": "INV-0042", "Status__c": "Overdue", "Balance__c": 1200.5, "Due_Date__c": salesforcesim.Date{Year: 2026, Month: time.May, Day: 4},
		"Billing_Contact__c": who.contact, "Billing_Mobile__c": string(who.number), "Billing_First_Name__c": who.name,
		"Language__c": who.language,
	})
	if err != nil {
		return err
	}
	if err := s.acknowledged(ctx, change.Notifications[0]); err != nil {
		return err
	}
	err = s.follow(ctx, who, change.Notifications[0], "the reminder was delivered and the offer suppressed", func(t *store.Trace) bool {
		return reached(t, map[string]message.State{reminder: message.Delivered, offer: message.Suppressed})
	})
	if err != nil {
		return err
	}
	return s.silent(before, 1)
}

// editRules replaces texts of a rule file, pairs of old and new, and waits until Beckon runs the new rules.
func (s *story) editRules(ctx context.Context, file, what string, oldNew ...string) error {
	path := filepath.Join(s.rulesDir(), file)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("edit the rules: %w", err)
	}
	for i := 0; i < len(oldNew); i += 2 {
		if strings.Count(string(text), oldNew[i]) != 1 {
			return fmt.Errorf("%w: rules/%s has no line %q to edit", ErrDidNotHappen, file, oldNew[i])
		}
	}
	before, err := s.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	// In one step, as an editor does: Beckon never sees half a file.
	edited := strings.NewReplacer(oldNew...).Replace(string(text))
	if err := os.WriteFile(path+".new", []byte(edited), 0o600); err != nil { //nolint:gosec // below our own directory
		return fmt.Errorf("edit the rules: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("edit the rules: %w", err)
	}
	s.say(operator, "edit rules/%s: %s", file, what)
	err = until(ctx, "the new rules run", func(ctx context.Context) (bool, error) {
		after, err := s.get(ctx, "/metrics")
		return reloads(after) != reloads(before), err
	})
	if err == nil {
		s.say(beckon, "has checked the new rules and runs them, without a restart.")
	}
	return err
}

// reloads finds the line of the metrics that counts them; empty before the first one.
func reloads(metrics string) string {
	return regexp.MustCompile(`beckon_rules_reloads_total\{result="ok"\} \S+`).FindString(metrics)
}

// get reads from Beckon's private listener.
func (s *story) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.app.AdminURL()+path, nil)
	if err != nil {
		return "", err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, largest))
	return string(body), err
}

// largest is the most that is read of an answer.
const largest = 1 << 20
