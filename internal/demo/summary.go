package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/store"
)

// account shows how everything ended and checks that the counts add up.
func (s *story) account(ctx context.Context) error {
	s.step("How everything ended")
	rows := [][]string{{"notification", "for", "ended as", "messages"}}
	decided, duplicates, attempts := 0, 0, 0
	states := map[message.State]int{}
	for _, n := range s.saved {
		trace, err := s.ledger.Trace(ctx, string(n.id))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDidNotHappen, err)
		}
		one := trace.Notifications[0]
		decided, duplicates = decided+1, duplicates+one.Duplicates
		for _, m := range trace.Messages {
			attempts += m.Attempts
			states[m.State]++
		}
		row := []string{string(n.id), n.who.name, ending(one)}
		for _, how := range endings(trace) {
			rows = append(rows, append(row, how))
			row = make([]string, len(row)) // a second message goes below the first
		}
	}
	s.table(rows)
	s.line("")
	stats := s.salesforce.Stats()
	s.plain("  Salesforce got an acknowledgement for %d notifications = %d decided + %d duplicate.", stats.AckedTries, decided, duplicates)
	messages := 0
	var parts []string
	for _, state := range message.States() {
		if n := states[state]; n > 0 {
			messages += n
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	s.plain("  The rules made %d messages = %s.", messages, strings.Join(parts, " + "))
	calls := s.twilio.Stats().Creates
	s.plain("  Twilio was asked to send %d times = %d attempts in the ledger.", calls, attempts)
	switch {
	case stats.AckedTries != decided+duplicates:
		return fmt.Errorf("%w: the notifications do not add up", ErrDidNotHappen)
	case int(calls) != attempts:
		return fmt.Errorf("%w: the calls to Twilio do not add up", ErrDidNotHappen)
	}
	return s.countMessages(ctx, messages)
}

// countMessages compares with a count of the whole ledger: no message belongs to nothing.
func (s *story) countMessages(ctx context.Context, want int) error {
	counts, err := s.ledger.CountMessages(ctx)
	if err != nil {
		return err
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	if total != want {
		return fmt.Errorf("%w: the ledger has %d messages, the notifications made %d", ErrDidNotHappen, total, want)
	}
	return nil
}

func ending(n store.NotificationTrace) string {
	text := strings.ReplaceAll(string(n.Outcome), "_", " ")
	if n.Duplicates > 0 {
		text += ", " + strconv.Itoa(n.Duplicates) + " duplicate"
	}
	return text
}

// endings has a text for each message, and one when there is none.
func endings(trace *store.Trace) []string {
	parts := make([]string, 0, len(trace.Messages))
	for _, m := range trace.Messages {
		how := m.Rule + ": " + string(m.State)
		if m.State == message.Suppressed || m.Channel == "" {
			how += ", " + string(m.Reason)
		} else {
			how += " by " + channelName(m.Channel)
		}
		parts = append(parts, how)
	}
	if len(parts) == 0 {
		return []string{"-"}
	}
	return parts
}

// hints say how to go on.
func (s *story) hints() {
	s.plain("  Go on yourself:  make run  (or: beckon demo --keep-running)  leaves all of this running.")
}

// keepRunning tells where everything is and waits for the end of ctx.
func (s *story) keepRunning(ctx context.Context) error {
	envelope, err := s.sampleEnvelope()
	if err != nil {
		return err
	}
	inbound, err := json.Marshal(map[string]string{
		"from": whatsAppMark + string(ana().number), "to": whatsAppMark + whatsAppFrom, "body": "Can I call you?",
	})
	if err != nil {
		return fmt.Errorf("write an example: %w", err)
	}
	config := "--config " + s.configFile()
	s.step("It keeps running until Ctrl-C: try it yourself")
	for _, part := range [][2]string{
		{"Beckon, for Salesforce and Twilio", s.publicURL()},
		{"Beckon, private", s.app.AdminURL() + "   (/readyz /metrics /api/v1/messages)"},
		{"Twilio's simulator", s.twilioURL + "   (/_sim/messages /_sim/stats)"},
		{"Rules, read again when you save them", s.rulesDir()},
		{"Log", filepath.Join(s.dir, logName)},
	} {
		s.plain("  %s  %s", pad(part[0], 37), part[1])
	}
	for _, example := range [][2]string{
		{"Win another deal, as Salesforce does (do it twice: it is sent once)", "curl -s --data-binary @" + envelope +
			" -H 'Content-Type: text/xml' \\\n      " + s.publicURL() + soapPath},
		{"Let Ana write", "curl -s " + s.twilioURL + "/_sim/inbound -d '" + string(inbound) + "'"},
		{"See what became of it", "beckon " + config + " messages list"},
		{"Follow Ana's deal through everything", "beckon " + config + " trace " + string(s.anas.Record)},
	} {
		s.plain("\n  %s:\n    %s", example[0], example[1])
	}
	<-ctx.Done()
	return nil
}

// sampleEnvelope writes an outbound message to a file: another deal is won.
func (s *story) sampleEnvelope() (string, error) {
	who := person{name: "Eva", number: "+14155550105", contact: "003000000000005AAA"}
	fields := []notification.Field{
		{Name: "Id", Value: "006000000000005AAA"},
		{Name: "StageName", Value: "Closed Won"},
		{Name: "ContactId", Value: who.contact},
		{Name: "Contact_Mobile__c", Value: string(who.number)},
		{Name: "Contact_First_Name__c", Value: who.name},
	}
	var body bytes.Buffer
	err := salesforce.Encode(&body, salesforce.EnvelopeSpec{Envelope: &notification.Envelope{
		Org: orgID, Object: "Opportunity",
		Notifications: []notification.Notification{{ID: "04l000000000005AAA", RecordID: "006000000000005AAA", Fields: fields}},
	}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "closed-won.xml")
	if err := os.WriteFile(path, body.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("write an example: %w", err)
	}
	return path, nil
}
