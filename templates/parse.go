package templates

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fileParser reads one file and collects its problems.
type fileParser struct {
	file     string
	problems []Problem
}

// parseFile reads one template file. The entry is usable only without problems.
func parseFile(file string, data []byte) (*entry, []Problem) {
	p := &fileParser{file: file}
	out := &entry{name: strings.TrimSuffix(file, ".yaml"), file: file}
	if !isName(out.name) {
		p.problems = append(p.problems, Problem{File: file, Message: "a template's name is kebab-case: a-z, 0-9 and single hyphens"})
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		p.syntax(err)
		return out, p.problems
	}
	if len(doc.Content) != 1 {
		p.problems = append(p.problems, Problem{File: file, Line: 1, Column: 1, Message: "the file is empty"})
		return out, p.problems
	}
	root := doc.Content[0]
	var files *yaml.Node
	for _, f := range p.fields(root, "a template has the keys sms, whatsapp and media") {
		switch f.key.Value {
		case "sms":
			p.texts(f.value, &out.sms)
		case "whatsapp":
			out.whatsapp.present = true
			p.whatsapp(f, &out.whatsapp)
		case "media":
			files = f.value
		default:
			p.at(f.key, "unknown key %q: a template has sms, whatsapp and media", f.key.Value)
		}
	}
	if files != nil { // last: it belongs to the texts
		p.media(files, out)
	}
	if root.Kind == yaml.MappingNode && len(root.Content) == 0 {
		p.at(root, "a template has sms, whatsapp or both")
	}
	return out, p.problems
}

func (p *fileParser) at(n *yaml.Node, format string, args ...any) {
	p.problems = append(p.problems, Problem{File: p.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

// syntax turns an error of the YAML library into a problem.
func (p *fileParser) syntax(err error) {
	problem := Problem{File: p.file, Line: 1, Column: 1, Message: err.Error()}
	if where, ok := errors.AsType[*yaml.LoadError](err); ok {
		if where.Mark.Line > 0 { // an empty file or a second document has no place
			problem.Line, problem.Column = where.Mark.Line, where.Mark.Column
		}
		problem.Message = strings.TrimPrefix(where.Message, "yaml: ")
	}
	p.problems = append(p.problems, problem)
}

// field is one key of a map with its value.
type field struct {
	key, value *yaml.Node
}

// fields gives the keys of a map and reports what is no map, and keys that are no text or come twice.
func (p *fileParser) fields(n *yaml.Node, want string) []field {
	if n.Kind != yaml.MappingNode {
		p.at(n, "must be a map: %s", want)
		return nil
	}
	var out []field
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		f := field{key: n.Content[i], value: n.Content[i+1]}
		switch {
		case f.key.Kind != yaml.ScalarNode:
			p.at(f.key, "a key must be text")
			continue
		case seen[f.key.Value]:
			p.at(f.key, "key %q comes twice", f.key.Value)
			continue
		}
		seen[f.key.Value] = true
		out = append(out, f)
	}
	return out
}

// scalar is the text of a value; anchors and numbers are no text.
func (p *fileParser) scalar(n *yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode, n.ShortTag() != "!!str":
		p.at(n, "must be text: put it in quotes")
	case strings.TrimSpace(n.Value) == "":
		p.at(n, "the text is empty")
	default:
		return n.Value, true
	}
	return "", false
}

// languages gives the entries of a map by language with their canonical tags.
func (p *fileParser) languages(n *yaml.Node, each func(tag string, value *yaml.Node)) {
	var seen []string
	fields := p.fields(n, "language: text")
	if n.Kind == yaml.MappingNode && len(fields) == 0 {
		p.at(n, "at least one language is needed")
	}
	for _, f := range fields {
		tag, ok := parseTag(f.key.Value)
		switch {
		case !ok:
			p.at(f.key, "%q is no language tag, such as en or es-MX", f.key.Value)
			continue
		case slices.Contains(seen, tag.String()):
			p.at(f.key, "language %s comes twice", tag)
			continue
		}
		seen = append(seen, tag.String())
		each(tag.String(), f.value)
	}
}

func (p *fileParser) texts(n *yaml.Node, into *localized[*text]) {
	p.languages(n, func(tag string, value *yaml.Node) {
		source, ok := p.scalar(value)
		if !ok {
			return
		}
		if t := p.compile(value, source, tag); t != nil {
			into.add(tag, t)
		}
	})
}

// compile compiles a text and reports its mistakes at the lines of the file.
func (p *fileParser) compile(n *yaml.Node, source, tag string) *text {
	t, wrong := compile("text", source, tag)
	for _, w := range wrong {
		line := n.Line
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			line++ // the text begins below its key
		}
		if n.Style&yaml.FoldedStyle == 0 {
			line += w.line
		}
		p.problems = append(p.problems, Problem{File: p.file, Line: line, Column: n.Column, Message: w.message})
	}
	if len(wrong) > 0 {
		return nil
	}
	t.line, t.column = n.Line, n.Column
	return t
}

func (p *fileParser) whatsapp(parent field, w *whatsapp) {
	var variables *yaml.Node
	fields := p.fields(parent.value, "whatsapp has content_sid, content_variables and text")
	seen := make(map[string]bool)
	for _, f := range fields {
		seen[f.key.Value] = true
		switch f.key.Value {
		case "content_sid":
			p.contentSIDs(f.value, w)
		case "content_variables":
			variables = f.value
		case "text":
			p.texts(f.value, &w.text)
		default:
			p.at(f.key, "unknown key %q: whatsapp has content_sid, content_variables and text", f.key.Value)
		}
	}
	switch {
	case parent.value.Kind != yaml.MappingNode:
		return
	case !seen["content_sid"] && !seen["text"]:
		p.at(parent.key, "whatsapp needs content_sid, text or both")
	case variables != nil && !seen["content_sid"]:
		p.at(variables, "content_variables belong to a content_sid, which is not here")
	}
	w.languages = slices.Clone(w.sids.tags)
	for _, tag := range w.text.tags {
		if !slices.Contains(w.languages, tag) {
			w.languages = append(w.languages, tag)
		}
	}
	if variables != nil {
		p.contentVariables(variables, w)
	}
}

func (p *fileParser) contentSIDs(n *yaml.Node, w *whatsapp) {
	if n.Kind == yaml.ScalarNode {
		w.anySID = p.contentSID(n)
		return
	}
	p.languages(n, func(tag string, value *yaml.Node) { w.sids.add(tag, p.contentSID(value)) })
}

// contentSID checks the form of a Content SID (Twilio, Content API: HX and 32 hexadecimal digits).
func (p *fileParser) contentSID(n *yaml.Node) string {
	sid, ok := p.scalar(n)
	if ok && !regexp.MustCompile(`^HX[0-9a-fA-F]{32}$`).MatchString(sid) {
		p.at(n, "a content_sid is HX and 32 hexadecimal digits")
	}
	return sid
}

// contentVariables compiles the values: a variable's name, or a text with actions. Keys count up from 1 (Twilio error
// 21656 otherwise).
func (p *fileParser) contentVariables(n *yaml.Node, w *whatsapp) {
	fields := p.fields(n, `"1": name of a variable`)
	present := make(map[string]bool)
	for _, f := range fields {
		present[f.key.Value] = true
	}
	for _, f := range fields {
		number, err := strconv.Atoi(f.key.Value)
		if err != nil || number < 1 || number > len(fields) || strconv.Itoa(number) != f.key.Value {
			p.at(f.key, `keys of content_variables count up from "1" without a gap`)
			continue
		}
		source, ok := p.scalar(f.value)
		if !ok {
			continue
		}
		v := variable{key: f.key.Value, name: f.key.Value, text: make(map[string]*text)}
		switch {
		case regexp.MustCompile(`^[\pL_][\pL\pN_]*$`).MatchString(source):
			v.name, source = source, "{{."+source+"}}"
		case !strings.Contains(source, "{{"):
			p.at(f.value, "a value of content_variables is the name of a variable, or a text with {{ }}")
			continue
		}
		p.contentVariable(f.value, source, &v, w.languages)
		w.variables = append(w.variables, v)
	}
}

// contentVariable compiles one value for each language; a mistake is reported once.
func (p *fileParser) contentVariable(n *yaml.Node, source string, v *variable, languages []string) {
	if len(languages) == 0 {
		languages = []string{fallbackLanguage}
	}
	for _, tag := range languages {
		t := p.compile(n, source, tag)
		if t == nil {
			return
		}
		v.text[tag] = t
	}
}
