package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/ingest"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

// accountTimeout bounds all questions about one account.
const accountTimeout = time.Minute

func (r *root) doctorTwilio() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "twilio",
		Short: "Compare senders, webhooks and WhatsApp templates with the Twilio account",
		Long: "Ask Twilio whether the account is active, whether the senders exist and post their replies here, and whether each\n" +
			"content_sid in the template files is an approved template with the same variables, of a category that fits the rules which\n" +
			"use it. Ask the servers of pictures and files with fixed URLs whether these are what their channels take. Nothing is changed\n" +
			"and nothing is sent.\n\n" +
			"Exit code 1: there is a FAIL.",
		Example: "  beckon doctor twilio\n  beckon doctor twilio --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := r.loadTemplates(policyFlags{})
			if err != nil {
				return err
			}
			d := &doctor{cfg: p.cfg}
			rules, found := rulesByTemplate(p)
			found = append(found, d.compare(cmd.Context(), p.templates, rules)...)
			return r.report(append(found, d.fixedFiles(cmd.Context(), p.templates)...), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

// compare asks the account of each sender. Accounts are told apart by their SIDs.
func (d *doctor) compare(ctx context.Context, set *templates.Set, rules map[string][]*rule.Rule) []finding {
	if len(d.cfg.Senders) == 0 {
		return []finding{{Check: "sender", Status: bad, Text: "no sender", Advice: "set TWILIO_MESSAGING_SERVICE_SID or TWILIO_FROM, or TWILIO_WHATSAPP_FROM"}}
	}
	var all []finding
	var seen []string
	for _, sender := range d.cfg.Senders {
		sid := sender.Account.AccountSID
		if slices.Contains(seen, sid) {
			continue
		}
		seen = append(seen, sid)
		limited, cancel := context.WithTimeout(ctx, accountTimeout)
		all = append(all, d.compareAccount(limited, sender.Account, set, rules)...)
		cancel()
	}
	return all
}

func (d *doctor) compareAccount(ctx context.Context, account config.Account, set *templates.Set, rules map[string][]*rule.Rule) []finding {
	settings := d.twilioConfig(account)
	if err := settings.Validate(); err != nil {
		return []finding{{Check: "account", Status: bad, Text: err.Error(), Advice: "correct the Twilio settings"}}
	}
	client := twilio.New(settings)
	defer client.Close()
	status, err := client.AccountStatus(ctx)
	switch {
	case err != nil:
		return []finding{{Check: "account", Status: bad, Text: err.Error(), Advice: "check the credentials and the way to " + d.cfg.Twilio.APIURL}}
	case status != "active":
		return []finding{{Check: "account", Status: bad, Text: account.AccountSID + " is " + status, Advice: "see the Twilio Console"}}
	}
	all := []finding{{Check: "account", Status: good, Text: account.AccountSID + " is active, and takes the credentials"}}
	hasWhatsApp := false
	for _, sender := range d.cfg.Senders {
		if sender.Account.AccountSID == account.AccountSID {
			all = append(all, d.compareSender(ctx, client, sender)...)
			hasWhatsApp = hasWhatsApp || sender.WhatsAppFrom != ""
		}
	}
	if !hasWhatsApp {
		return append(all, finding{Check: "templates", Status: skipped, Text: "no sender of WhatsApp in " + account.AccountSID})
	}
	theirs, err := client.Templates(ctx)
	if err != nil {
		return append(all, finding{Check: "templates", Status: bad, Text: err.Error(), Advice: "they could not be compared"})
	}
	return append(all, compareTemplates(set.Contents(), theirs, rules)...)
}

// compareSender looks at the ways in which a sender sends.
func (d *doctor) compareSender(ctx context.Context, client *twilio.Client, sender config.Sender) []finding {
	var all []finding
	look := func(what string, ask func(context.Context, string) (twilio.Endpoint, bool, error), id string) {
		found, there, err := ask(ctx, id)
		f := finding{Check: "sender", Status: bad, Text: sender.Name + ": " + what + " " + id}
		switch {
		case err != nil:
			f.Text += ": " + err.Error()
		case !there:
			f.Text += " is not in the account"
			f.Advice = "correct the setting, or the account"
		case found.Status != "" && !strings.HasPrefix(strings.ToUpper(found.Status), "ONLINE"):
			f.Text += " is " + found.Status
			f.Advice = "see the Twilio Console"
		default:
			f.Status, f.Text = good, f.Text+" exists"
			all = append(all, f, d.webhook(f.Text, found))
			return
		}
		all = append(all, f)
	}
	switch {
	case sender.MessagingServiceSID != "":
		look("Messaging Service", client.MessagingService, sender.MessagingServiceSID)
	case strings.HasPrefix(string(sender.SMSFrom), "+"):
		look("number", client.Number, string(sender.SMSFrom))
	case sender.SMSFrom != "":
		all = append(all, finding{Check: "sender", Status: skipped, Text: sender.Name + ": short codes are not looked up"})
	}
	if sender.WhatsAppFrom != "" {
		look("WhatsApp sender", client.WhatsAppSender, string(sender.WhatsAppFrom))
	}
	return all
}

// webhook compares where replies go with where they should.
func (d *doctor) webhook(of string, found twilio.Endpoint) finding {
	of = strings.TrimSuffix(of, " exists")
	f := finding{Check: "webhook", Status: good, Text: of + " posts replies here"}
	want := d.cfg.HTTP.PublicURL + ingest.PathMessages
	got, _, _ := strings.Cut(found.InboundURL, "#") // what follows tells Twilio how to repeat
	switch {
	case d.cfg.HTTP.PublicURL == "":
		f.Status, f.Text = skipped, of+": BECKON_PUBLIC_URL is not set"
	case found.OnNumbers:
		f.Status, f.Text = skipped, of+": each number of its pool says where replies go"
	case got == "":
		f.Status, f.Text, f.Advice = bad, of+" posts replies nowhere", "set its webhook for incoming messages to "+want
	case got != want:
		f.Status, f.Text, f.Advice = bad, of+" posts replies to another URL", "set its webhook for incoming messages to "+want
	}
	return f
}

// compareTemplates compares what the files name with what the account has.
func compareTemplates(ours []templates.ContentUse, theirs []twilio.Template, rules map[string][]*rule.Rule) []finding {
	bySID := map[string]twilio.Template{}
	for _, t := range theirs {
		bySID[t.SID] = t
	}
	var all []finding
	matched := 0
	for _, use := range ours {
		f := compareTemplate(use, bySID, rules[use.Template])
		if f.Status == good {
			matched++
			continue
		}
		all = append(all, f)
	}
	return append(all, finding{
		Check: "templates", Status: good, Text: fmt.Sprintf("%d of %s in the files are approved as they are used", matched, plural(len(ours), "content_sid")),
	})
}

func compareTemplate(use templates.ContentUse, bySID map[string]twilio.Template, rules []*rule.Rule) finding {
	f := finding{Check: "templates", Status: bad, Text: use.Template}
	if use.Language != "" {
		f.Text += " (" + use.Language + ")"
	}
	f.Text += " " + use.SID
	found, there := bySID[use.SID]
	switch problem := variablesDiffer(use.Keys, found.Variables); {
	case !there && use.Placeholder():
		f.Status, f.Text, f.Advice = warning, f.Text+" is a placeholder", "put in the SID of a template of your account: WhatsApp takes only free text until then"
	case !there:
		f.Text, f.Advice = f.Text+" is not in the account", "correct content_sid in "+use.File
	case found.Status != twilio.Approved:
		f.Text, f.Advice = f.Text+" is "+found.Status, "WhatsApp takes approved templates only"
	case problem != nil:
		f.Text, f.Advice = f.Text+": "+problem.Error(), "correct content_variables in "+use.File
	case use.Language != "" && !sameLanguage(use.Language, found.Language):
		f.Status, f.Text, f.Advice = warning, f.Text+" is in the language "+found.Language+" at Twilio", "look whether it is the right one"
	default:
		f.Status = good
		if words, advice := categoryDiffers(found.Category, rules); words != "" {
			f.Status, f.Text, f.Advice = warning, f.Text+" "+words, advice
		}
	}
	return f
}

// variablesDiffer tells which variables are on one side only.
func variablesDiffer(ours, theirs []string) error {
	only := func(of, other []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(of), func(key string) bool { return slices.Contains(other, key) }), ", ")
	}
	var problems []error
	if keys := only(ours, theirs); keys != "" {
		problems = append(problems, fmt.Errorf("the template has no variable %s", keys))
	}
	if keys := only(theirs, ours); keys != "" {
		problems = append(problems, fmt.Errorf("the file has no variable %s", keys))
	}
	return errors.Join(problems...)
}

// sameLanguage compares by the first part: en_US of Twilio serves en.
func sameLanguage(ours, theirs string) bool {
	first := func(tag string) string {
		head, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
		return head
	}
	return first(ours) == first(theirs)
}
