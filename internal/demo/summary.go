package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/store"
)

// longestReply is how much of a reply the account shows.
const longestReply = 30

// tally counts what the tables of the account show.
type tally struct {
	decided, duplicates int
	ruled, answers      int // messages
	attempts            int
	states              map[message.State]int
}

func (t *tally) add(m *message.Message) {
	t.attempts += m.Attempts
	t.states[m.State]++
}

// account shows how everything ended and checks that the counts add up.
func (s *story) account(ctx context.Context) error {
	s.step("How everything ended")
	t := tally{states: map[message.State]int{}}
	if err := s.accountNotifications(ctx, &t); err != nil {
		return err
	}
	s.line("")
	if err := s.accountReplies(ctx, &t); err != nil {
		return err
	}
	s.line("")
	stats, calls := s.salesforce.Stats(), int(s.twilio.Stats().Creates)
	s.plain("  Salesforce got an acknowledgement for %d notifications = %d decided + %d duplicate.", stats.AckedTries, t.decided, t.duplicates)
	var parts []string
	for _, state := range message.States() {
		if n := t.states[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	s.plain("  %d messages of rules + %d answers = %s.", t.ruled, t.answers, strings.Join(parts, " + "))
	s.plain("  Twilio was asked to send %d times = %d attempts in the ledger.", calls, t.attempts)
	switch {
	case stats.AckedTries != t.decided+t.duplicates:
		return fmt.Errorf("%w: the notifications do not add up", ErrDidNotHappen)
	case calls != t.attempts:
		return fmt.Errorf("%w: the calls to Twilio do not add up", ErrDidNotHappen)
	}
	return s.countMessages(ctx, t.ruled+t.answers)
}

func (s *story) accountNotifications(ctx context.Context, t *tally) error {
	rows := [][]string{{"notification", "for", "ended as", "messages"}}
	for _, n := range s.saved {
		trace, err := s.ledger.Trace(ctx, string(n.id))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDidNotHappen, err)
		}
		one := trace.Notifications[0]
		t.decided, t.duplicates, t.ruled = t.decided+1, t.duplicates+one.Duplicates, t.ruled+len(trace.Messages)
		parts := []string{}
		for i := range trace.Messages {
			m := &trace.Messages[i].Message
			t.add(m)
			parts = append(parts, m.Rule+": "+outcome(m))
		}
		rows = appendRows(rows, []string{string(n.id), n.who.name, ending(one)}, parts)
	}
	s.table(rows)
	return nil
}

// accountReplies shows what became of each reply, and counts the messages that come of no notification.
func (s *story) accountReplies(ctx context.Context, t *tally) error {
	rows := [][]string{{"reply", "of", "taken by", "answer"}}
	for i, w := range s.written {
		last := !slices.ContainsFunc(s.written[i+1:], func(later written) bool { return later.who == w.who })
		by, answers, err := s.becameOf(ctx, w, last)
		if err != nil {
			return err
		}
		parts := []string{}
		for _, m := range answers {
			t.add(&m)
			t.answers++
			parts = append(parts, cmp.Or(m.Template, "by hand")+": "+outcome(&m))
		}
		rows = appendRows(rows, []string{shorten(w.text, longestReply), w.who.name, by}, parts)
	}
	s.table(rows)
	return nil
}

// becameOf finds what took a reply, and the answers to it. What a human wrote answers the last reply of a person.
func (s *story) becameOf(ctx context.Context, w written, last bool) (by string, answers []message.Message, err error) {
	entries, err := s.ledger.ConsentHistory(ctx, w.who.number)
	if err != nil {
		return "", nil, err
	}
	if slices.ContainsFunc(entries, func(e consent.Entry) bool { return e.Evidence == w.sid }) {
		by = "the consent ledger"
	}
	err = s.ledger.Messages(ctx, store.MessageFilter{To: w.who.number}, func(m message.Message) error {
		if m.OriginKey == w.sid || m.Origin == message.OriginHuman && last {
			answers = append(answers, m)
			by = cmp.Or(by, m.Rule)
		}
		return nil
	})
	if err != nil || by != "" {
		return by, answers, err
	}
	c, err := s.conversation(ctx, w.who.number)
	return c.MarkedBy, answers, err
}

// appendRows adds a row for each of the parts, and one when there is none. What goes before them is in the first one.
func appendRows(rows [][]string, row, parts []string) [][]string {
	if len(parts) == 0 {
		parts = []string{"-"}
	}
	for _, part := range parts {
		rows = append(rows, append(row, part))
		row = make([]string, len(row))
	}
	return rows
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
		return fmt.Errorf("%w: the ledger has %d messages, the story made %d", ErrDidNotHappen, total, want)
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

// outcome is the state of a message, and how it went or why not.
func outcome(m *message.Message) string {
	if m.State == message.Suppressed || m.Channel == "" {
		return string(m.State) + ", " + string(m.Reason)
	}
	return string(m.State) + " by " + channelName(m.Channel)
}

// hints say how to go on.
func (s *story) hints() {
	name := program()
	if filepath.IsAbs(name) {
		name = filepath.Base(name) // a long path would not fit
	}
	s.plain("  Go on yourself:  make run  (or: %s demo --keep-running)  leaves all of this running.", name)
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
	command := program() + " --config " + s.configFile()
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
		{"See who waits for a human, and answer her", command + " conversations list --marked\n    " +
			command + " conversations reply " + string(ana().number) + " --text 'Of course, until six.'"},
		{"See what became of it", command + " messages list"},
		{"Follow Ana's deal through everything", command + " trace " + string(s.anas.Record)},
	} {
		s.plain("\n  %s:\n    %s", example[0], example[1])
	}
	<-ctx.Done()
	return nil
}

// program is how to call the running program from where the caller is.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return "beckon"
	}
	if here, err := os.Getwd(); err == nil {
		if short, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(short) {
			return short
		}
	}
	return path
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
