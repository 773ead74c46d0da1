package quiet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decode reads a YAML text strictly. An error has a line file:line: mistake for each mistake.
func decode(file string, text []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err := decoder.Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	var problems []error
	line := regexp.MustCompile(`line (\d+): (.*)`)
	for part := range strings.SplitSeq(err.Error(), "\n") {
		if m := line.FindStringSubmatch(part); m != nil {
			problems = append(problems, fmt.Errorf("%s:%s: %s", file, m[1], m[2]))
		}
	}
	if len(problems) == 0 {
		return fmt.Errorf("%s: %w", file, err)
	}
	return errors.Join(problems...)
}

// source finds the lines of a YAML text.
type source struct {
	file string
	root *yaml.Node
}

func newSource(file string, text []byte) source {
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) == 0 {
		return source{file: file}
	}
	return source{file, root.Content[0]}
}

// at is a mistake with the line of the value that the keys lead to, or of the nearest one above it.
func (s source) at(mistake string, path ...string) error {
	if s.root == nil {
		return fmt.Errorf("%s: %s", s.file, mistake)
	}
	node := s.root
	line := node.Line
	for _, key := range path {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				line, node = node.Content[i].Line, node.Content[i+1]
				break
			}
		}
	}
	return fmt.Errorf("%s:%d: %s", s.file, line, mistake)
}
