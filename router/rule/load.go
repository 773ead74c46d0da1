package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// Names in a folder of rules.
const (
	testSuffix = "_test"
	wsdlFolder = "wsdl"
)

// versionLength is the number of hex digits of a Set's version: short enough to read, long enough never to meet twice.
const versionLength = 16

// Templates is what Load asks about the templates, to find a rule that names none.
type Templates interface {
	Has(name string) bool
}

// TemplateChannels is what Templates may offer besides: the channels that a template has content for. A rule none of
// whose channels has content is then an error, one some of whose channels has none is a warning.
type TemplateChannels interface {
	Channels(name string) []message.Channel
}

// TemplateVariables is what Templates may offer besides: the variables that a template mentions. A rule that does not
// give one of them gets a warning, since its message would fail on the channel or in the language that needs it.
type TemplateVariables interface {
	Variables(name string) []string
}

// Options are what Load checks the rules against.
type Options struct {
	Templates Templates // nil: template names are not checked
	Senders   []string  // the senders that exist besides the default one; nil: their names are not checked
	Windows   []string  // the windows that quiet_hours may name; nil: its names are not checked
}

// Load reads every *.yaml and *.yml in the root of fsys except the tests (*_test.yaml), and every wsdl/*.wsdl, and
// checks all of it. The error is a *LoadError with every mistake, or one of fsys. A folder without rules is a Set
// without rules.
func Load(fsys fs.FS, opts Options) (*Set, error) {
	l := &loader{fsys: fsys, opts: opts, hash: sha256.New(), problems: &problems{}, schemas: map[string]*schema{}}
	if err := l.readSchemas(); err != nil {
		return nil, err
	}
	names, err := yamlFiles(fsys, false)
	if err != nil {
		return nil, err
	}
	compiler, err := newCompiler()
	if err != nil {
		return nil, err
	}
	set := &Set{objects: map[string]*object{}}
	for name, s := range l.schemas {
		set.objects[name] = &object{schema: s}
	}
	for _, name := range names {
		data, err := l.read(name)
		if err != nil {
			return nil, err
		}
		rules, replies := l.parse(compiler, name, data)
		for _, r := range rules {
			set.add(r)
		}
		set.replies = append(set.replies, replies...)
	}
	l.takeCaps(set)
	l.warnShadowed(set.replies)
	if err := l.problems.err(); err != nil {
		return nil, err
	}
	for _, m := range l.mappings {
		o := set.named(m.Object)
		o.mappings = append(o.mappings, m)
	}
	set.version = hex.EncodeToString(l.hash.Sum(nil))[:versionLength]
	set.warnings = l.warnings.sorted()
	return set, nil
}

// yamlFiles lists the rule files, or the test files, of a folder in name order.
func yamlFiles(fsys fs.FS, tests bool) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("read the folder of rules: %w", err)
	}
	var names []string
	for _, e := range entries {
		base, isYAML := strings.CutSuffix(e.Name(), ".yaml")
		if !isYAML {
			base, isYAML = strings.CutSuffix(e.Name(), ".yml")
		}
		if isYAML && !e.IsDir() && !strings.HasPrefix(base, ".") && strings.HasSuffix(base, testSuffix) == tests {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

type loader struct {
	fsys     fs.FS
	opts     Options
	hash     hash.Hash
	problems *problems
	warnings problems
	schemas  map[string]*schema
	mappings []*Mapping
	seen     map[string]Problem // where each rule name was first used
	caps     []placedCap
	words    *consent.Words // nil until they are needed
}

func (l *loader) readSchemas() error {
	names, err := fs.Glob(l.fsys, wsdlFolder+"/*.wsdl")
	if err != nil {
		return fmt.Errorf("list the WSDL files: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		data, err := l.read(name)
		if err != nil {
			return err
		}
		readWSDL(name, data, l.schemas, l.problems)
	}
	return nil
}

// read reads a file and adds it to the version.
func (l *loader) read(name string) ([]byte, error) {
	data, err := fs.ReadFile(l.fsys, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Base(name), err)
	}
	fmt.Fprintf(l.hash, "%s\x00%d\x00", name, len(data))
	l.hash.Write(data)
	return data, nil
}

// parse gives the rules of one file; those with mistakes are only good for finding more mistakes.
func (l *loader) parse(compiler *compiler, name string, data []byte) (rules []*Rule, replies []*ReplyRule) {
	p := &ruleParser{
		reader:   reader{file: newFile(name, data), problems: l.problems},
		compiler: compiler,
		loader:   l,
	}
	root := p.document(data)
	if root == nil {
		return nil, nil
	}
	keys := p.fields(root, "a rule file", []string{"rules", "caps", "consent"})
	if keys["rules"] == nil && keys["caps"] == nil && keys["consent"] == nil {
		p.errorf(root, `a rule file needs the key "rules" with a list of rules, or "consent", or "caps"`)
		return nil, nil
	}
	for _, node := range p.list(keys["rules"], "rules") {
		if onReply(node) {
			replies = append(replies, p.replyRule(node))
		} else if r := p.rule(node); r != nil {
			rules = append(rules, r)
		}
	}
	for _, node := range p.list(keys["caps"], "caps") {
		p.cap(node)
	}
	for _, node := range p.list(keys["consent"], "consent") {
		if m := p.mapping(node); m != nil {
			l.mappings = append(l.mappings, m)
		}
	}
	return rules, replies
}

// list is the items of a list that may be left out or empty.
func (p *ruleParser) list(node *yaml.Node, what string) []*yaml.Node {
	if node == nil || isNull(node) {
		return nil
	}
	return p.items(node, what)
}

// schemaOf is the WSDL of an object, nil without one.
func (l *loader) schemaOf(object string) *schema { return l.schemas[strings.ToLower(object)] }

func (s *Set) add(r *Rule) {
	s.rules = append(s.rules, r)
	o := s.named(r.Object)
	o.rules = append(o.rules, r)
}

// named gives an object, made when it is not there.
func (s *Set) named(name string) *object {
	key := strings.ToLower(name)
	o := s.objects[key]
	if o == nil {
		o = &object{}
		s.objects[key] = o
	}
	s.objects[name] = o // the usual spelling is found without lowering
	return o
}
