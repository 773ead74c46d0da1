package app

import (
	"context"
	"slices"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/router/rule"
)

// warnOfPlaceholders tells of rules whose WhatsApp template has a placeholder for its SID, which Twilio itself refuses; a simulator
// takes it.
func (a *App) warnOfPlaceholders(ctx context.Context) {
	onWhatsApp := slices.ContainsFunc(a.cfg.Senders, func(s config.Sender) bool { return s.WhatsAppFrom != "" })
	if !onWhatsApp || a.cfg.Twilio.APIURL != twilio.DefaultBaseURL {
		return
	}
	rules, texts := a.policies.both()
	for _, use := range texts.Contents() {
		used := slices.ContainsFunc(rules.Rules(), func(r *rule.Rule) bool {
			return r.Template == use.Template && slices.Contains(r.Channels, message.WhatsApp)
		})
		if used && use.Placeholder() {
			a.log.WarnContext(ctx, "a WhatsApp template has a placeholder for its content_sid, which Twilio refuses: see beckon doctor twilio",
				"template", use.Template, "language", use.Language)
		}
	}
}
