package rule

import (
	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v4"
)

// comparison tells whether a CEL operator compares its two sides.
func comparison(operator string) bool {
	return operator == "_==_" || operator == "_!=_" || ordering(operator)
}

func ordering(operator string) bool {
	return operator == "_<_" || operator == "_<=_" || operator == "_>_" || operator == "_>=_"
}

// checkLiterals reports a field that is compared with a literal of another type. CEL lets it pass, since a field may
// hold anything, and `record.Won == true` would then be false for ever where the field is the text "true". Of a field
// without a WSDL only equality is refused: an ordering such as `record.Amount > 5` is a warning, as it does not pass in
// silence but is a rule error each time.
func (p *ruleParser) checkLiterals(e *expression, node *yaml.Node, use fieldUse, checked *cel.Ast) {
	field := use.expr
	call, ok := field.Parent()
	if !ok || call.Kind() != celast.CallKind || len(call.AsCall().Args()) != 2 || !isValue(field) {
		return
	}
	args, operator := call.AsCall().Args(), call.AsCall().FunctionName()
	var literals []celast.Expr
	switch {
	case comparison(operator) && args[0].ID() == field.ID():
		literals = args[1:]
	case comparison(operator):
		literals = args[:1]
	case operator == inOperator && args[0].ID() == field.ID() && args[1].Kind() == celast.ListKind:
		literals = args[1].AsList().Elements()
	}
	t, known := textField, true
	if e.schema != nil {
		t, known = e.schema.types[use.field]
	}
	report := p.problems
	if e.schema == nil && ordering(operator) {
		report = &p.loader.warnings // it fails at run time, where it is counted
	}
	for _, literal := range literals {
		if !known || literal.Kind() != celast.LiteralKind || t.fits(literal.AsLiteral().Type()) {
			continue
		}
		location := checked.NativeRep().SourceInfo().GetStartLocation(literal.ID())
		n := runeOffset(node.Value, location.Line(), location.Column())
		report.add(p.name, p.inScalar(node, n), "%s: field %s is %s, so it never compares with this %s%s",
			e.key, use.field, t, literal.AsLiteral().Type().TypeName(), e.hint())
	}
}

func (e *expression) hint() string {
	if e.schema == nil {
		return `; without the object's WSDL every field is text: write "true" in quotes, or double(record.X) for a number`
	}
	return ""
}

// fits tells whether a literal of a CEL type can be compared with a field.
func (t fieldType) fits(literal interface{ TypeName() string }) bool {
	switch name := literal.TypeName(); name {
	case types.NullType.TypeName():
		return true
	case types.StringType.TypeName():
		return t == textField
	case types.BoolType.TypeName():
		return t == boolField
	case types.IntType.TypeName(), types.UintType.TypeName(), types.DoubleType.TypeName():
		return t == doubleField || t == intField
	}
	return false
}

// String names the type as a rule's author sees it.
func (t fieldType) String() string {
	switch t {
	case textField:
		return "text (string)"
	case doubleField:
		return "a number (double)"
	case intField:
		return "a whole number (int)"
	case boolField:
		return "a checkbox (bool)"
	case dateField, timeField:
		return "a time (timestamp)"
	}
	return "of unknown type"
}
