package cli

import (
	"strings"

	"github.com/beckonhq/beckon/internal/webhook"
)

// replyWebhooks looks whether the webhooks of reply rules can be signed: without a secret they wait, and nobody hears of it.
func (d *doctor) replyWebhooks(p *policy) []finding {
	var rules []string
	for _, one := range p.rules.ReplyRules() {
		if one.Webhook != "" {
			rules = append(rules, one.Name)
		}
	}
	secrets := make([]string, len(d.cfg.Replies.WebhookSecrets))
	for i, secret := range d.cfg.Replies.WebhookSecrets {
		secrets[i] = secret.Reveal()
	}
	if len(secrets) == 0 {
		if len(rules) == 0 {
			return nil
		}
		return say(bad, "the webhooks of "+strings.Join(rules, ", ")+" wait: there is no secret to sign them by",
			"set BECKON_WEBHOOK_SECRET to whsec_ and the base64 of 24 to 64 random bytes")
	}
	client, err := webhook.New(secrets, d.cfg.Replies.WebhookPrivate == "yes")
	if err != nil {
		return say(bad, "BECKON_WEBHOOK_SECRET: "+err.Error(), "correct it, serve does not start with it")
	}
	client.Close()
	return nil
}
