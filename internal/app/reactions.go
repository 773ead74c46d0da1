package app

import (
	"context"
	"fmt"
	"os"

	"github.com/beckonhq/beckon/internal/twilio"
)

// LoadReactions is the shipped table of reactions, with the entries of the file in front when a path is given. Its errors name
// file and line.
func LoadReactions(path string) (*twilio.Reactions, error) {
	shipped := twilio.DefaultReactions()
	if path == "" {
		return shipped, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read BECKON_REACTIONS_FILE: %w", err)
	}
	own, err := twilio.LoadReactions(path, data)
	if err != nil {
		return nil, err
	}
	return shipped.With(own), nil
}

func (a *App) loadReactions(context.Context, context.Context) error {
	var err error
	if a.reactions, err = LoadReactions(a.cfg.Twilio.ReactionsFile); err != nil {
		return fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return nil
}
