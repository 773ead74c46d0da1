package app

import (
	"context"
	"fmt"

	"github.com/beckonhq/beckon/dispatcher"
	"github.com/beckonhq/beckon/internal/webhook"
	"github.com/beckonhq/beckon/router"
	"github.com/beckonhq/beckon/templates"
)

// answers are the ones to STOP, HELP and START, with the texts of the templates folder: where the router runs too, as they are at each
// answer, else as they are now.
func (a *App) answers() (dispatcher.Answers, error) {
	own, err := a.texts()
	if err != nil {
		return dispatcher.Answers{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	current := func() *templates.Set { return own }
	if a.policies != nil {
		current = func() *templates.Set { return a.policies.running.Load().Templates }
	}
	texts, err := templates.NewReplies(current, a.cfg.Replies.Business, a.cfg.Replies.HelpContact)
	if err != nil {
		return dispatcher.Answers{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return dispatcher.Answers{
		Render: texts.Render, Twilio: a.cfg.TwilioAnswers, PerHour: a.cfg.Replies.AnswersPerHour,
		Question: texts.Question, AskBy: a.cfg.Consent.AskSender,
	}, nil
}

// webhooks posts the notices of reply rules; nil without a secret to sign them by.
func (a *App) webhooks() (router.Webhooks, error) {
	secrets := make([]string, len(a.cfg.Replies.WebhookSecrets))
	for i, secret := range a.cfg.Replies.WebhookSecrets {
		secrets[i] = secret.Reveal()
	}
	if len(secrets) == 0 {
		for _, r := range a.policies.rules().ReplyRules() {
			if r.Webhook != "" {
				a.log.Warn("BECKON_WEBHOOK_SECRET is not set: the webhooks of reply rules wait", "rule", r.Name)
			}
		}
		return nil, nil //nolint:nilnil // they wait
	}
	client, err := webhook.New(secrets, a.cfg.Replies.WebhookPrivate == "yes")
	if err != nil {
		return nil, fmt.Errorf("%w: BECKON_WEBHOOK_SECRET: %w", ErrSetup, err)
	}
	a.closers.add("connections of webhooks", func(context.Context) error { client.Close(); return nil })
	return client, nil
}
