package cli

import "github.com/beckonhq/beckon/internal/view"

// comesOf is what a message comes of.
func comesOf(m view.TracedMessage) string {
	switch m.Origin {
	case "reply_rule":
		return "answer of reply rule " + m.Rule
	case "compliance":
		return "answer to a STOP or HELP"
	case "human":
		return "answer of a human"
	case "console":
		return "written by hand"
	}
	return "rule " + m.Rule
}

func templateOf(m view.TracedMessage) string {
	if m.Template == "" {
		return "free text"
	}
	return "template " + m.Template
}
