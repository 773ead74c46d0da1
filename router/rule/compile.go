package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"go.yaml.in/yaml/v4"
)

// Limits of one expression. They keep a slip of the pen (a nested loop over a long text, a pasted document) from
// stopping the router: an ordinary rule costs some tens of CEL units, and 100,000 take a few milliseconds.
const (
	costLimit       = 100_000
	maxExpression   = 4096 // characters
	maxNesting      = 64
	maxLoopNesting  = 2
	maxRegexProgram = 1000
)

// Names of the variables in CEL. changedName cannot be written in an expression; the macro changed("X") expands to it.
const (
	recordName    = "record"
	previousName  = "previous"
	changedName   = "@changed"
	idName        = "notification.id"
	objectName    = "notification.object"
	orgName       = "notification.org"
	receivedName  = "notification.received_at"
	indexOperator = "_[_]"
	inOperator    = "@in"
)

// result says what an expression has to give.
type result int

const (
	wantBool   result = iota
	wantText          // text or null
	wantTexts         // text, list of text, or null
	wantScalar        // any single value, or null
)

// expression is one checked CEL expression.
type expression struct {
	source         string
	key            string
	program        cel.Program
	schema         *schema
	recordFields   []string
	previousFields []string
	bareField      string // X when the whole expression is record.X or previous.X
	barePrevious   bool
}

func (e *expression) text() string {
	if e == nil {
		return ""
	}
	return e.source
}

type compiler struct {
	env     *cel.Env
	replies *compiler // for the expressions of reply rules
}

func newCompiler() (*compiler, error) {
	env, err := newEnv(notificationVariables())
	if err != nil {
		return nil, err
	}
	replies, err := newEnv(replyVariables())
	if err != nil {
		return nil, err
	}
	return &compiler{env: env, replies: &compiler{env: replies}}, nil
}

// notificationVariables declares what a rule about notifications can see.
func notificationVariables() []cel.EnvOption {
	fields := cel.MapType(cel.StringType, cel.DynType)
	return []cel.EnvOption{
		cel.Variable(recordName, fields),
		cel.Variable(previousName, fields),
		cel.Variable(changedName, cel.MapType(cel.StringType, cel.BoolType)),
		cel.Variable(idName, cel.StringType),
		cel.Variable(objectName, cel.StringType),
		cel.Variable(orgName, cel.StringType),
		cel.Variable(receivedName, cel.TimestampType),
		cel.Macros(cel.GlobalVarArgMacro("changed", expandChanged)),
	}
}

func newEnv(variables []cel.EnvOption) (*cel.Env, error) {
	env, err := cel.NewEnv(append(
		variables,
		ext.Strings(),
		ext.Math(),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(maxNesting),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals(),
			cel.ValidateRegexProgramSizeLimit(maxRegexProgram),
			cel.ValidateComprehensionNestingLimit(maxLoopNesting),
		),
	)...)
	if err != nil {
		return nil, fmt.Errorf("set up the CEL environment: %w", err)
	}
	return env, nil
}

// expandChanged turns changed("X") into a look-up, which is faster than a function and knows its field at load.
func expandChanged(f cel.MacroExprFactory, _ celast.Expr, args []celast.Expr) (celast.Expr, *cel.Error) {
	if len(args) != 1 {
		var place int64
		if len(args) > 1 {
			place = args[1].ID()
		}
		return nil, f.NewError(place, `changed takes one field name, as in changed("StageName")`)
	}
	if args[0].Kind() == celast.LiteralKind {
		if _, isText := args[0].AsLiteral().(types.String); isText {
			return f.NewCall(indexOperator, f.NewIdent(changedName), args[0]), nil
		}
	}
	return nil, f.NewError(args[0].ID(), `changed takes a field name in quotes, as in changed("StageName")`)
}

// compile checks one expression; nil when the key is missing or the expression is wrong.
func (p *ruleParser) compile(node *yaml.Node, key string, want result, s *schema) *expression {
	if node == nil {
		return nil
	}
	if node.Kind != yaml.ScalarNode || isNull(node) {
		p.errorf(node, "%s must be a CEL expression, not %s", key, kindOf(node))
		return nil
	}
	e := &expression{source: strings.TrimSpace(node.Value), key: key, schema: s}
	if e.source == "" {
		p.errorf(node, "%s is an empty expression", key)
		return e
	}
	checked, issues := p.compiler.env.Compile(node.Value)
	if issues.Err() != nil {
		for _, issue := range issues.Errors() {
			n := runeOffset(node.Value, issue.Location.Line(), issue.Location.Column())
			p.problems.add(p.name, p.inScalar(node, n), "%s: %s", key, readable(issue.Message))
		}
		return e
	}
	if got := checked.OutputType(); !gives(got, want) {
		p.errorf(node, "%s gives %s, but must give %s", key, cel.FormatCELType(got), want)
		return e
	}
	p.fieldsOf(e, node, checked)
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if !bounded(checked) {
		options = append(options, cel.CostLimit(costLimit))
	}
	program, err := p.compiler.env.Program(checked, options...)
	if err != nil {
		p.errorf(node, "%s: %v", key, err)
		return e
	}
	e.program = program
	return e
}

// String says it in words for an error text.
func (r result) String() string {
	switch r {
	case wantBool:
		return "true or false (bool)"
	case wantText:
		return "text (string) or null"
	case wantTexts:
		return "text, a list of text, or null"
	case wantScalar:
		return "a single value: text, a number, true or false, a time, or null"
	}
	return "something else"
}

// gives tells whether a checked type can be what the key wants. A dyn type is seen at run time only.
func gives(t *cel.Type, want result) bool {
	kind := t.Kind()
	if kind == types.DynKind || kind == types.AnyKind {
		return true
	}
	if want == wantBool {
		return kind == types.BoolKind
	}
	if kind == types.StringKind || kind == types.NullTypeKind {
		return true
	}
	switch want {
	case wantTexts:
		return kind == types.ListKind && gives(t.Parameters()[0], wantText)
	case wantScalar:
		return kind == types.BoolKind || kind == types.IntKind || kind == types.UintKind || kind == types.DoubleKind ||
			kind == types.TimestampKind || kind == types.DurationKind
	case wantBool, wantText:
	}
	return false
}

// runeOffset is the index of the character at CEL's line (from 1) and column (from 0, in characters).
func runeOffset(text string, line, column int) int {
	n := 0
	for _, l := range strings.SplitAfter(text, "\n") {
		if line--; line <= 0 {
			break
		}
		n += len([]rune(l))
	}
	return n + max(column, 0)
}

// readable rewrites what the CEL checker says where a rule's author needs a hint.
func readable(message string) string {
	message = strings.TrimSuffix(message, " (in container '')")
	message = strings.ReplaceAll(message, changedName, "changed")
	undeclared := regexp.MustCompile(`^undeclared reference to '([^']*)'`).FindStringSubmatch(message)
	switch {
	case undeclared == nil:
		return message
	case slices.Contains([]string{"reply", "conversation"}, strings.SplitN(undeclared[1], ".", 2)[0]):
		return message + "; reply rules (on: reply) have the names that rules.md lists"
	case undeclared[1] == "notification" || strings.HasPrefix(undeclared[1], "notification."):
		return "notification has id, object, org and received_at only, as in notification.id"
	case strings.HasPrefix(undeclared[1], "_") || strings.HasPrefix(undeclared[1], "@"):
		return message
	default:
		return message + `; a field is record.` + undeclared[1] + `, a text is "` + undeclared[1] + `" in quotes`
	}
}
