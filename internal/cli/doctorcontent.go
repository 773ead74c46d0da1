package cli

import (
	"context"
	"fmt"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/media"
	"github.com/beckonhq/beckon/internal/mediaprobe"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

// rulesByTemplate are the rules that use each template; without readable rules a finding says so.
func rulesByTemplate(p *policy) (map[string][]*rule.Rule, []finding) {
	if err := p.loadRules(); err != nil || p.rules == nil {
		return nil, []finding{{
			Check: "rules", Status: skipped, Text: "they can't be read, so categories are not compared with purposes", Advice: "see beckon rules check",
		}}
	}
	rules := map[string][]*rule.Rule{}
	for _, r := range p.rules.Rules() {
		rules[r.Template] = append(rules[r.Template], r)
	}
	return rules, nil
}

// marketingCategory is Meta's for templates that sell.
const marketingCategory = "MARKETING"

// categoryDiffers tells of a rule whose purpose is not what Meta takes its template for.
//
// Source: Twilio, error 63049, and Meta's template categories: by its category a template is delivered (not at all to the United States),
// limited and billed, whatever we call it.
func categoryDiffers(category string, rules []*rule.Rule) (words, advice string) {
	for _, r := range rules {
		switch marketing := r.Purpose == message.Marketing; {
		case category == "" || marketing == (category == marketingCategory):
		case marketing:
			return fmt.Sprintf("is of the category %s, and the rule %s is marketing", category, r.Name),
				"Meta may change or refuse it: submit it as " + marketingCategory
		default:
			return fmt.Sprintf("is of the category %s, and the rule %s is transactional", category, r.Name),
				"Meta limits and bills it as marketing, and does not deliver it to the United States: have it reviewed, or use another one"
		}
	}
	return "", ""
}

// fixedFiles asks the servers of pictures and files that are the same for everybody.
func (d *doctor) fixedFiles(ctx context.Context, set *templates.Set) []finding {
	if d.cfg.Dispatch.MediaCheck == config.MediaCheckNo {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	prober := mediaprobe.New(d.cfg.Dispatch.MediaCheck == config.MediaCheckPrivate)
	defer prober.Close()
	table := media.Shipped()
	var all []finding
	for _, file := range set.FixedFiles() {
		f := finding{Check: "files", Status: good, Text: fmt.Sprintf("%s (%s) %s", file.Template, file.Channel, file.URL)}
		facts, err := prober.Probe(ctx, file.URL)
		switch why := table.CheckType(file.Channel, facts.ContentType, facts.Size); {
		case err != nil:
			f.Status, f.Text, f.Advice = warning, f.Text+": "+err.Error(), "Twilio must be able to fetch it; messages are sent all the same"
		case why != "":
			f.Status, f.Text, f.Advice = bad, f.Text+" "+why, "such messages are not sent on that channel: correct it in "+file.File
		default:
			f.Text += " is " + facts.ContentType
		}
		all = append(all, f)
	}
	return all
}
