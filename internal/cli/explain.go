package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/router/rule"
)

const (
	maxEnvelope   = 64 << 20 // bytes
	madeUpOrg     = "00D000000000001"
	madeUpID      = "04l000000000001AAA"
	defaultObject = "Opportunity"
)

// explainFlags are the flags of rules explain.
type explainFlags struct {
	policyFlags

	previous, record, object string
	reply, conversation      string
	at                       string
	asJSON                   bool
}

func (r *root) rulesExplain() *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use:   "explain [envelope.xml | -]",
		Short: "Show what the rules would do with a notification or a reply, and why",
		Long: "Decide each notification of a captured SOAP envelope (a file, or - for the standard input), or of one record\n" +
			"given as JSON, with the rules on disk. Nothing is stored or sent, and no server is needed.\n\n" +
			"What was known of the record before comes from --previous, a JSON file with field values; it is taken for every\n" +
			"notification of the envelope. Without it the record is seen for the first time. A field that another notification\n" +
			"of the envelope carries, or --previous knows, counts as null where it is absent.\n\n" +
			"Each message is shown with what it needs to be sent: consent, the hours where the person is (now, or --at a time), caps,\n" +
			"and how long it may wait. What the ledger knows of the person is in beckon consent show and beckon messages list.\n\n" +
			"--reply explains what somebody writes back instead: a text, or a JSON object with the keys of a test (text, button,\n" +
			"channel, received_at, question, answers, asked, timed_out, conversation, record). --conversation has the message that it answers, and\n" +
			"--record the last-known fields of its record. It shows first whether the reply says something about consent.",
		Example: "  beckon rules explain envelope.xml --previous before.json\n" +
			`  beckon rules explain --object Opportunity --record '{"Id": "006000000000001AAA", "StageName": "Closed Won"}' --at 2026-07-04T20:30:00-05:00` + "\n" +
			`  beckon rules explain --reply 'Yes!' --conversation '{"rule": "appointment-reminder", "object": "Appointment__c"}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case cmd.Flags().Changed("reply"):
				if len(args) > 0 || flags.previous != "" || flags.at != "" {
					return usagef("--reply goes with --conversation and --record, and with no envelope, --previous or --at")
				}
			case flags.conversation != "":
				return usagef("--conversation goes with --reply")
			case (len(args) == 1) == (flags.record != "") || len(args) > 1:
				return usagef("%s takes one file with an envelope (- for the standard input), or --record, or --reply", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("reply") {
				return r.runExplainReply(flags)
			}
			return r.runExplain(flags, args)
		},
	}
	flags.addRules(cmd)
	cmd.Flags().StringVar(&flags.previous, "previous", "", "a JSON file with the fields that were known before")
	cmd.Flags().StringVar(&flags.record, "record", "", "the fields of one record as a JSON object, instead of an envelope")
	cmd.Flags().StringVar(&flags.object, "object", defaultObject, "the object that --record is one of")
	cmd.Flags().StringVar(&flags.at, "at", "", "the moment at which the messages are made, such as 2026-07-04T20:30:00-05:00 (default: now)")
	cmd.Flags().StringVar(&flags.reply, "reply", "", "a reply, as text or as a JSON object, instead of a notification")
	cmd.Flags().StringVar(&flags.conversation, "conversation", "", "the conversation of --reply as a JSON object")
	jsonFlag(cmd, &flags.asJSON, "one JSON object a line for each notification")
	return cmd
}

func (r *root) runExplain(flags explainFlags, args []string) error {
	at, err := momentFlag(flags.at)
	if err != nil {
		return err
	}
	envelope, err := r.explained(flags, args)
	if err != nil {
		return err
	}
	previous, err := readPrevious(flags.previous)
	if err != nil {
		return err
	}
	p, err := r.loadPolicy(flags.policyFlags)
	if err != nil {
		return err
	}
	return r.explainAll(p, envelope, previous, at, flags.asJSON)
}

func (r *root) runExplainReply(flags explainFlags) error {
	in, err := flags.replyInput()
	if err != nil {
		return err
	}
	p, err := r.loadPolicy(flags.policyFlags)
	if err != nil {
		return err
	}
	return r.explainReply(p, in, flags.asJSON)
}

// momentFlag reads --at; empty is now.
func momentFlag(text string) (time.Time, error) {
	if text == "" {
		return time.Now(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usagef("--at must be a time such as 2026-07-04T20:30:00-05:00")
	}
	return at, nil
}

// explained is the envelope to explain.
func (r *root) explained(flags explainFlags, args []string) (*notification.Envelope, error) {
	if flags.record != "" {
		record, err := parseFields("--record", []byte(flags.record))
		if err != nil {
			return nil, err
		}
		one := notification.Notification{ID: madeUpID, Fields: record}
		for _, f := range record {
			if f.Name == "Id" && !f.Null {
				if one.RecordID, err = notification.ParseID(f.Value); err != nil {
					return nil, usagef("--record: the Id is %w", err)
				}
			}
		}
		return &notification.Envelope{Org: madeUpOrg, Object: flags.object, Notifications: []notification.Notification{one}}, nil
	}
	body, err := r.readEnvelope(args[0])
	if err != nil {
		return nil, err
	}
	envelope, err := salesforce.Decode(body, salesforce.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("%s is not an outbound message: %w", args[0], err)
	}
	return envelope, nil
}

func (r *root) readEnvelope(name string) ([]byte, error) {
	source := r.streams.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, usagef("read the envelope: %w", err)
		}
		defer func() { _ = file.Close() }()
		source = file
	}
	body, err := io.ReadAll(io.LimitReader(source, maxEnvelope+1))
	if err != nil {
		return nil, fmt.Errorf("read the envelope: %w", err)
	}
	if len(body) > maxEnvelope {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxEnvelope)
	}
	return body, nil
}

// parseFields reads a JSON object as a record's fields, sorted by name. Numbers and booleans become the text that
// Salesforce would send.
func parseFields(what string, text []byte) ([]notification.Field, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil || decoder.More() {
		return nil, usagef(`%s is not a JSON object such as {"StageName": "Closed Won"}`, what)
	}
	fields := make([]notification.Field, 0, len(values))
	for name, value := range values {
		f := notification.Field{Name: name}
		switch v := value.(type) {
		case nil:
			f.Null = true
		case string:
			f.Value, f.Null = v, v == ""
		case bool:
			f.Value = strconv.FormatBool(v)
		case json.Number:
			f.Value = v.String()
		default:
			return nil, usagef("%s: field %s is neither text, number, true, false nor null", what, name)
		}
		fields = append(fields, f)
	}
	slices.SortFunc(fields, func(a, b notification.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields, nil
}

// readPrevious reads the last-known copy of a record; without a file the record was never seen.
func readPrevious(file string) (rule.Snapshot, error) {
	if file == "" {
		return rule.Snapshot{}, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return rule.Snapshot{}, usagef("read --previous: %w", err)
	}
	fields, err := parseFields(file, text)
	if err != nil {
		return rule.Snapshot{}, err
	}
	return snapshotOf(fields), nil
}

func snapshotOf(fields []notification.Field) rule.Snapshot {
	snapshot := rule.Snapshot{Fields: map[string]string{}, Seen: true}
	for _, f := range fields {
		if !f.Null {
			snapshot.Fields[f.Name] = f.Value
		}
	}
	return snapshot
}

// explanation is what the rules say about one notification.
type explanation struct {
	Notification string           `json:"notification_id"`
	Org          string           `json:"org"`
	Object       string           `json:"object"`
	Record       string           `json:"record_id"`
	Decision     rule.Decision    `json:"decision"`
	Rules        []ruleReasons    `json:"rules,omitempty"`
	Messages     []wouldBeMessage `json:"messages,omitempty"`
}

// ruleReasons is one rule's verdict with the fields that it reads; a nil value is null.
type ruleReasons struct {
	Rule     string             `json:"rule"`
	Verdict  rule.Verdict       `json:"verdict"`
	Error    string             `json:"error,omitempty"`
	When     string             `json:"when"`
	Fields   map[string]*string `json:"fields"`
	Previous map[string]*string `json:"previous"`
	Consent  *rule.Word         `json:"consent,omitempty"` // of an item of consent: that says something
}

// wouldBeMessage is a message that would be made.
type wouldBeMessage struct {
	Rule     string            `json:"rule"`
	To       string            `json:"to"`
	Valid    bool              `json:"valid"` // whether To is a number that can exist
	Channels []message.Channel `json:"channels"`
	Template string            `json:"template"`
	Purpose  message.Purpose   `json:"purpose"`
	Program  string            `json:"program"`
	Language string            `json:"language"`
	Contact  string            `json:"contact_id,omitempty"`
	Delay    string            `json:"delay,omitempty"`
	Expires  string            `json:"expires_after"`
	Once     rule.Once         `json:"once,omitempty"`
	Content  message.Content   `json:"content"`
	Error    string            `json:"error,omitempty"` // of the template
	Sends    *sendView         `json:"sends,omitempty"` // what it needs to be sent; absent when its address is no number
}

func (r *root) explainAll(p *policy, envelope *notification.Envelope, previous rule.Snapshot, at time.Time, asJSON bool) error {
	known := map[string]struct{}{}
	for name := range previous.Fields {
		known[name] = struct{}{}
	}
	for _, n := range envelope.Notifications {
		for _, f := range n.Fields {
			known[f.Name] = struct{}{}
		}
	}
	for i := range envelope.Notifications {
		in := rule.Input{
			Notification: envelope.Notifications[i], Org: envelope.Org, Object: envelope.Object, Received: at,
			Known: known, Previous: previous,
		}
		e, err := explain(p, in)
		if err != nil {
			return err
		}
		if asJSON {
			if err := r.printJSON(e); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			r.printf("\n")
		}
		r.writeExplanation(p, &e)
	}
	return nil
}

func explain(p *policy, in rule.Input) (explanation, error) {
	decision := rule.Decide(p.rules, in)
	e := explanation{
		Notification: string(in.Notification.ID), Org: string(in.Org), Object: in.Object,
		Record: string(in.Notification.RecordID), Decision: decision,
	}
	fields := map[string]string{}
	for _, f := range in.Notification.Fields {
		if !f.Null {
			fields[f.Name] = f.Value
		}
	}
	byName := map[string]*rule.Rule{}
	for _, one := range p.rules.ForObject(in.Object) {
		byName[one.Name] = one
	}
	for _, result := range decision.Results {
		reasons := ruleReasons{Rule: result.Rule, Verdict: result.Verdict, Error: result.Error, Consent: result.Consent}
		if one := byName[result.Rule]; one != nil {
			reasons.When = strings.TrimSpace(one.When)
			reasons.Fields, reasons.Previous = pick(fields, one.RecordFields), pick(in.Previous.Fields, one.PreviousFields)
		}
		e.Rules = append(e.Rules, reasons)
		for i := range result.Messages {
			made, err := wouldBe(p, &result.Messages[i], in.Received)
			if err != nil {
				return e, err
			}
			e.Messages = append(e.Messages, made...)
		}
	}
	return e, nil
}

// pick takes the named fields; what is not there is nil.
func pick(fields map[string]string, names []string) map[string]*string {
	picked := make(map[string]*string, len(names))
	for _, name := range names {
		picked[name] = nil
		if value, ok := fields[name]; ok {
			picked[name] = &value
		}
	}
	return picked
}

// wouldBe renders the messages of a draft as the router would.
func wouldBe(p *policy, draft *rule.Draft, at time.Time) ([]wouldBeMessage, error) {
	content, err := p.templates.Render(draft.Template, draft.Language, draft.Vars)
	var made []wouldBeMessage
	seen := map[string]bool{}
	for _, to := range draft.To {
		m := wouldBeMessage{
			Rule: draft.Rule, To: to, Channels: draft.Channels, Template: draft.Template, Purpose: draft.Purpose, Program: draft.Program,
			Language: draft.Language, Contact: draft.Contact, Once: draft.Once, Content: content,
			Expires: draft.ExpiresAfter.String(),
		}
		if number, err := address.Parse(to, p.cfg.DefaultRegion); !errors.Is(err, address.ErrInvalid) {
			m.To, m.Valid = string(number), true
			sends, err := sends(p, draft, number, at)
			if err != nil {
				return nil, err
			}
			m.Sends = sends
		}
		if draft.Delay > 0 {
			m.Delay = draft.Delay.String()
		}
		if err != nil {
			m.Error = err.Error()
		}
		if !seen[m.To] {
			seen[m.To] = true
			made = append(made, m)
		}
	}
	return made, nil
}
