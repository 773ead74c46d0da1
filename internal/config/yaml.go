package config

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// yaml reads the file's text: one document of nested mappings whose leaves are settings.
func (l *loader) yaml(file string, body []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(body))
	var doc yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return // empty, or only comments
	}
	if err != nil {
		l.problem(Problem{File: file}, "not YAML: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		l.problem(Problem{File: file}, "want one document: remove what follows the second ---")
	}
	for _, root := range doc.Content {
		l.mapping(file, "", root)
	}
}

// mapping walks one level; prefix is its path with a dot at the end, empty for the top.
func (l *loader) mapping(file, prefix string, node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.MappingNode {
		l.problem(at(file, strings.TrimSuffix(prefix, "."), node), "want keys and values below it")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, content := node.Content[i], node.Content[i+1]
		path := prefix + key.Value
		s, known := l.byPath[path]
		switch {
		case seen[path]:
			l.problem(at(file, path, key), "stands twice")
		case path == sendersPath:
			l.senders(file, content)
		case known:
			l.leaf(file, s, content)
		case l.isSection(path):
			l.mapping(file, path+".", content)
		default:
			l.problem(at(file, path, key), "there is no such key%s", didYouMean(path, l.keys()))
		}
		seen[path] = true
	}
}

func (l *loader) isSection(path string) bool {
	for known := range l.byPath {
		if strings.HasPrefix(known, path+".") {
			return true
		}
	}
	return false
}

// keys lists all paths and the sections that they lie in.
func (l *loader) keys() []string {
	keys := append(slices.Sorted(maps.Keys(l.byPath)), sendersPath)
	for path := range l.byPath {
		if section, _, nested := strings.Cut(path, "."); nested && !slices.Contains(keys, section) {
			keys = append(keys, section)
		}
	}
	slices.Sort(keys)
	return keys
}

// leaf takes the value of a setting: a scalar, or for a list also a sequence of scalars. Null leaves the default.
func (l *loader) leaf(file string, s setting, node *yaml.Node) {
	where := at(file, s.Path, node)
	switch {
	case node.Kind == yaml.ScalarNode && (node.Tag == "!!null" || node.Value == ""):
	case node.Kind == yaml.ScalarNode:
		l.set(s, fromFile, splitList(s, node.Value), where)
	case node.Kind == yaml.SequenceNode && s.List:
		var texts []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" || item.Value == "" {
				l.problem(at(file, s.Path, item), "want a list of texts")
				return
			}
			texts = append(texts, item.Value)
		}
		l.set(s, fromFile, texts, where)
	case s.List:
		l.problem(where, "want a list of texts")
	default:
		l.problem(where, "want a single value")
	}
}

func at(file, name string, node *yaml.Node) Problem {
	return Problem{File: file, Line: node.Line, Column: node.Column, Name: name}
}
