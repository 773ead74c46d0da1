package rule

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// reader decodes one YAML file by hand, since we want the place of every mistake and all mistakes at once.
type reader struct {
	*file
	problems *problems
}

func (r *reader) errorf(node *yaml.Node, format string, args ...any) {
	r.problems.add(r.name, at(node), format, args...)
}

// document parses the file and returns the root node, or nil when there is none (an empty file) or it is not YAML.
func (r *reader) document(data []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root, second yaml.Node
	if err := decoder.Decode(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			r.syntaxError(err)
		}
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		r.errorf(&second, "a second document begins here; use one file for each")
	} else if !errors.Is(err, io.EOF) {
		r.syntaxError(err)
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) == 0 || isNull(root.Content[0]) {
		return nil
	}
	return root.Content[0]
}

func (r *reader) syntaxError(err error) {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		r.problems.add(r.name, position{}, "not valid YAML: %v", err)
		return
	}
	r.problems.add(r.name, position{load.Mark.Line, load.Mark.Column}, "not valid YAML: %s", load.Message)
}

// fields returns the values of a mapping by key. Unknown and repeated keys, and anything but a mapping, are problems.
func (r *reader) fields(node *yaml.Node, what string, allowed []string) map[string]*yaml.Node {
	values := map[string]*yaml.Node{}
	r.each(node, what, func(key, value *yaml.Node) {
		if !slices.Contains(allowed, key.Value) {
			r.errorf(key, "unknown key %q in %s%s", key.Value, what, didYouMean(key.Value, allowed))
			return
		}
		values[key.Value] = value
	})
	return values
}

// each calls f for each pair of a mapping with text keys, in order; a repeated key is a problem and is left out.
func (r *reader) each(node *yaml.Node, what string, f func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		r.errorf(node, "%s must be a mapping of keys and values, not %s", what, kindOf(node))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			r.errorf(key, "a key of %s must be plain text; anchors, aliases and merge keys are not supported", what)
			continue
		}
		if seen[key.Value] {
			r.errorf(key, "key %q stands twice in %s", key.Value, what)
			continue
		}
		seen[key.Value] = true
		f(key, value)
	}
}

// items returns the elements of a list; anything else is a problem.
func (r *reader) items(node *yaml.Node, what string) []*yaml.Node {
	if node.Kind != yaml.SequenceNode {
		r.errorf(node, "%s must be a list, not %s", what, kindOf(node))
		return nil
	}
	return node.Content
}

// text returns a non-empty text; a number, a truth value or null without quotes is a problem.
func (r *reader) text(node *yaml.Node, what string) string {
	if node == nil {
		return ""
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!str" {
		r.errorf(node, "%s must be text, not %s", what, kindOf(node))
		return ""
	}
	if strings.TrimSpace(node.Value) == "" {
		r.errorf(node, "%s is empty", what)
	}
	return node.Value
}

// scalar returns the text of a value as it stands in the file, so that 120000.0 or 2026-05-04 stay what they are.
func (r *reader) scalar(node *yaml.Node, what string) string {
	if node.Kind != yaml.ScalarNode {
		r.errorf(node, "%s must be a single value, not %s", what, kindOf(node))
		return ""
	}
	return node.Value
}

// oneOf returns a text that must be one of some words.
func (r *reader) oneOf(node *yaml.Node, what string, words ...string) string {
	problemsBefore := len(r.problems.list)
	text := r.text(node, what)
	if node == nil || len(r.problems.list) > problemsBefore {
		return ""
	}
	if !slices.Contains(words, text) {
		r.errorf(node, "%s is %q, want one of: %s%s", what, text, strings.Join(words, ", "), didYouMean(text, words))
		return ""
	}
	return text
}

// boolean returns a truth value.
func (r *reader) boolean(node *yaml.Node, what string) bool {
	if node == nil {
		return false
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" {
		r.errorf(node, "%s must be true or false, not %s", what, kindOf(node))
		return false
	}
	return node.Value == "true"
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (anchors and aliases are not supported)"
	case yaml.ScalarNode:
		switch node.ShortTag() {
		case "!!null":
			return "nothing (null)"
		case "!!int", "!!float":
			return "a number"
		case "!!bool":
			return "true or false"
		case "!!str":
			return "text"
		}
	case yaml.DocumentNode, yaml.StreamNode:
	}
	return "a value of type " + node.Tag
}
