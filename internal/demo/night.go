package demo

import (
	"context"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/store"
)

// morning is when a message that waits may go, by the clock of Nevada.
func morning(at time.Time) string {
	const form = "Monday, 15:04"
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		return at.UTC().Format(form) + " UTC"
	}
	return at.In(zone).Format(form) + " in Nevada"
}

// asleep shows that a message waits while it is night where the person is.
func (s *story) asleep(ctx context.Context) error {
	s.step("It is night in Nevada (say the hours of this demo): Eli's reminder waits")
	who, before := eli(), s.twilio.Stats().Creates
	change, err := s.save(who, "Invoice__c", "Invoice INV-0043 of "+who.name+" is overdue, 80.00 USD", salesforcesim.Record{
		"Name": "INV-0043", "Status__c": "Overdue", "Balance__c": 80.0, "Due_Date__c": salesforcesim.Date{Year: 2026, Month: 5, Day: 4},
		"Billing_Contact__c": who.contact, "Billing_Mobile__c": string(who.number), "Billing_First_Name__c": who.name,
		"Language__c": who.language,
	})
	if err != nil {
		return err
	}
	if err := s.acknowledged(ctx, change.Notifications[0]); err != nil {
		return err
	}
	err = s.follow(ctx, who, change.Notifications[0], "the reminder waits for the morning", func(t *store.Trace) bool {
		return len(t.Messages) == 1 && t.Messages[0].Reason == message.ReasonQuietHours
	})
	if err != nil {
		return err
	}
	return s.silent(before, 0)
}
