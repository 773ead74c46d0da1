package templates

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"

	"github.com/beckonhq/beckon/internal/message"
)

// Names of the templates of the answers to a STOP, a HELP and a START, of the question of a double opt-in and of the answer to its YES.
const (
	OptOutConfirmation = "opt-out-confirmation"
	OptInAgain         = "opt-in-again"
	Help               = "help"
	DoubleOptIn        = "double-opt-in"
	OptInConfirmation  = "opt-in-confirmation"
)

//go:embed replies/*.yaml
var replies embed.FS

// Replies are the texts that Beckon says by itself: those of the set that have the names, else the shipped ones.
type Replies struct {
	own     func() *Set
	shipped *Set
	vars    map[string]any
}

// NewReplies takes what gives the set that goes before the shipped texts, asked for each answer (nil: there is none), and the variables
// business and contact.
func NewReplies(own func() *Set, business, contact string) (*Replies, error) {
	folder, err := fs.Sub(replies, "replies")
	if err != nil {
		return nil, fmt.Errorf("open the shipped answers: %w", err)
	}
	shipped, err := Load(folder)
	if err != nil {
		return nil, fmt.Errorf("load the shipped answers: %w", err)
	}
	if own == nil {
		own = func() *Set { return nil }
	}
	return &Replies{own: own, shipped: shipped, vars: map[string]any{"business": business, "contact": contact}}, nil
}

// lintOwn warns of a file that has the name of one of Beckon's own texts and would not be used, see Replies.
func (s *Set) lintOwn(t *entry) []Warning {
	vars := map[string]any{"business": "Example", "contact": "example.com", "program": "news"}
	switch t.name {
	case DoubleOptIn:
	case OptOutConfirmation, OptInAgain, Help, OptInConfirmation:
		delete(vars, "program")
	default:
		return nil
	}
	for _, language := range s.Languages(t.name) {
		content, err := s.Render(t.name, language, vars)
		var why string
		switch {
		case err != nil:
			why = err.Error()
		case content.SMS == nil:
			why = "it has nothing for sms"
		case content.WhatsApp == nil:
			why = "it has nothing for whatsapp"
		default:
			continue
		}
		return []Warning{{Template: t.name, Language: language, File: t.file, Message: "the shipped text goes in its place: " + why}}
	}
	return nil
}

// Render gives an answer in a language. What the own template cannot say, the shipped one does: an answer to STOP is never lost to
// a mistake in a file.
func (r *Replies) Render(name, language string) (message.Content, error) {
	return r.render(name, language, r.vars)
}

// Question asks for the confirmation of an opt-in to a program, empty for everything; it has the variable program besides.
func (r *Replies) Question(language, program string) (message.Content, error) {
	vars := maps.Clone(r.vars)
	vars["program"] = program
	return r.render(DoubleOptIn, language, vars)
}

func (r *Replies) render(name, language string, vars map[string]any) (message.Content, error) {
	if own := r.own(); own != nil && own.Has(name) {
		if content, err := own.Render(name, language, vars); err == nil && content.SMS != nil && content.WhatsApp != nil {
			return content, nil
		}
	}
	return r.shipped.Render(name, language, vars)
}
