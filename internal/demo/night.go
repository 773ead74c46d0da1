package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/store"
)

// night is a place where it is night, with the clock there and a mobile number of nobody's.
type night struct {
	place  string
	clock  *time.Location
	number address.Address
}

// nightAt finds where it is night. It always is in one of three places, and stays so for an hour.
func nightAt(now time.Time) (night, error) {
	for _, one := range []struct {
		place, zone string
		number      address.Address
	}{
		{"Nevada", "America/Los_Angeles", "+17025550105"},
		{"Guam", "Pacific/Guam", "+16715550105"},
		{"Sweden", "Europe/Stockholm", "+46701740605"},
	} {
		clock, err := time.LoadLocation(one.zone)
		if err != nil {
			return night{}, fmt.Errorf("find where it is night: %w", err)
		}
		if hour := now.In(clock).Hour(); hour < 7 || hour >= 20 {
			return night{one.place, clock, one.number}, nil
		}
	}
	return night{}, fmt.Errorf("it is night nowhere at %s", now)
}

// asleep shows that a message waits while it is night where the person is.
func (s *story) asleep(ctx context.Context) (err error) {
	if s.night, err = nightAt(time.Now()); err != nil {
		return err
	}
	s.step("It is night in " + s.night.place + ": Eli's reminder waits")
	who := person{"Eli", s.night.number, "003000000000005AAA", "en", ""}
	before := s.twilio.Stats().Creates
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
