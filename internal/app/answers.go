package app

import (
	"fmt"

	"github.com/beckonhq/beckon/dispatcher"
	"github.com/beckonhq/beckon/templates"
)

// answers are the ones to STOP and HELP, with the texts of the templates folder as they are now.
func (a *App) answers() (dispatcher.Answers, error) {
	own, err := a.texts()
	if err != nil {
		return dispatcher.Answers{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	texts, err := templates.NewReplies(own, a.cfg.Replies.Business, a.cfg.Replies.HelpContact)
	if err != nil {
		return dispatcher.Answers{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return dispatcher.Answers{Render: texts.Render, Twilio: a.cfg.TwilioAnswers, PerHour: a.cfg.Replies.AnswersPerHour}, nil
}
