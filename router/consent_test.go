package router

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

const contactConsent = `
consent:
  - name: contact-opt-out
    object: Contact
    address: record.Phone
    opt_out: record.HasOptedOutOfSms__c == "true" && changed("HasOptedOutOfSms__c")
    opt_in_again: record.HasOptedOutOfSms__c == "false" && previous.HasOptedOutOfSms__c == "true"
    evidence: '"HasOptedOutOfSms__c"'
`

// A field of a record goes into the consent ledger with its decision; of two words the newer event counts, whatever came first.
func TestConsentOfARecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, contactConsent)
	w.run(w.config())
	const person = address.Address("+14155550100")
	field := func(value, at string, record string, phone string) notification.Notification {
		return w.note(record, "HasOptedOutOfSms__c", value, "SystemModstamp", at, "Phone", phone)
	}
	on := func() consent.Action {
		states, err := w.Consent(t.Context(), []address.Address{person})
		require.NoError(t, err)
		return states[person].On(message.SMS)
	}
	w.send(actionA, field("true", "2026-05-01T12:00:00.000Z", "1", "(415) 555-0100"))
	w.settled()
	require.Equal(t, consent.OptOut, on())
	require.NoError(t, w.AddConsent(t.Context(), consent.Entry{
		Org: testOrg, Address: person, Channel: consent.AllChannels, Action: consent.ReOptIn, Source: consent.FromKeyword, Evidence: "IN1",
		OccurredAt: time.Date(2026, 5, 1, 12, 5, 0, 0, time.UTC),
	}))
	require.Equal(t, consent.ReOptIn, on())
	w.send(actionA, field("true", "2026-05-01T12:10:00.000Z", "1", "(415) 555-0100"))
	w.settled()
	require.Equal(t, consent.ReOptIn, on(), "the field did not change: it says nothing new")
	w.send(actionA, field("true", "2026-05-01T12:04:00.000Z", "2", "(415) 555-0100"))
	w.settled()
	require.Equal(t, consent.ReOptIn, on(), "it came later, and was said before")
	w.send(actionA, field("true", "2026-05-01T12:06:00.000Z", "3", "nobody"), field("true", "2026-05-01T12:06:00.000Z", "4", "+14155550100"))
	w.settled()
	require.Equal(t, consent.OptOut, on())
	require.Equal(t, 1, w.number(`select count(*) from decision where outcome = 'rule_error'`), "no number")
	require.Equal(t, 3, w.number(`select count(*) from consent where source = 'salesforce' and note = 'HasOptedOutOfSms__c'`))
	require.Equal(t, 4, w.number(`select count(*) from decision where outcome <> 'rule_error'`))
	w.again("r1", notification.ReplayRedecide)
	require.Equal(t, 3, w.number(`select count(*) from consent where source = 'salesforce'`), "decided again, it says the same")
}

// A box that was ticked long ago is no new consent when its record is seen for the first time, after a STOP or an erasure: nor when
// something else of it changes.
func TestAnOldOptInLiftsNoStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
consent:
  - name: newsletter
    object: Contact
    address: record.Phone
    opt_in: record.Newsletter__c == "true" && changed("Newsletter__c")
    opt_in_again: record.Newsletter__c == "false" && record.Back__c == "true"
`)
	w.UseErasureKeys([]string{strings.Repeat("k", 32)})
	w.run(w.config())
	const person, other = address.Address("+14155550100"), address.Address("+14155550101")
	stopped := func(a address.Address) bool {
		states, err := w.Consent(t.Context(), []address.Address{a})
		require.NoError(t, err)
		return states[a].Stopped(message.SMS, message.DefaultProgram)
	}
	touch := func(record string, phone address.Address, fields ...string) {
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		w.send(actionA, w.note(record, append(fields, "Phone", string(phone), "SystemModstamp", now)...))
		w.settled()
	}
	require.NoError(t, w.AddConsent(t.Context(), consent.Entry{
		Org: testOrg, Address: person, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromKeyword, Evidence: "IN1",
	}))
	_, err := w.ErasePerson(t.Context(), other, "ana", "asked for it")
	require.NoError(t, err)
	for record, phone := range map[string]address.Address{"1": person, "2": other} {
		touch(record, phone, "Newsletter__c", "true")
		require.True(t, stopped(phone), "at the first sight")
		touch(record, phone, "Newsletter__c", "false", "Back__c", "true")
		require.True(t, stopped(phone), "without a change that was seen")
	}
	require.Equal(t, 4, w.number(`select count(*) from consent where source = 'salesforce'`), "all is on record")
	touch("1", person, "Newsletter__c", "true")
	require.False(t, stopped(person), "the person ticked the box again, after the STOP")
}

// The proof of an opt-in comes from fields too, and with double opt-in the person is asked; decided again, it asks nobody again.
func TestOptInOfARecordIsAskedAbout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
consent:
  - name: consent-log
    object: Contact
    address: record.Phone
    program: acme/news
    opt_in: record.Status__c == "in"
    at: record.At__c
    disclosure: record.Words__c
    source_url: record.Url__c
    ip: record.Ip__c
    language: record.Language__c
`)
	config := w.config()
	config.DoubleOptIn = true
	w.run(config)
	w.send(actionA, w.note("1", "Phone", "(415) 555-0100", "Status__c", "in", "At__c", "2026-05-01T12:00:00Z", "Words__c", "News, twice a week",
		"Url__c", "https://example.com/join", "Ip__c", "192.0.2.1", "Language__c", "es_MX"))
	w.settled()
	w.again("r1", notification.ReplayRedecide)
	require.Equal(t, 1, w.number(`select count(*) from consent join opt_in_question on consent_id = id where disclosure = 'News, twice a week'
		and disclosure_hash <> '' and source_url = 'https://example.com/join' and ip = '192.0.2.1' and program = 'acme/news' and state = 'due' and language = 'es_MX'`))
	require.Equal(t, 1, w.number(`select count(*) from consent`))
}
