package rule

import (
	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v4"
)

// fieldsOf notes which fields an expression reads, and checks them against the WSDL. Fields must be written out, so
// that what a rule reads is known before it runs.
func (p *ruleParser) fieldsOf(e *expression, node *yaml.Node, checked *cel.Ast) {
	ast := checked.NativeRep()
	root := celast.NavigateAST(ast)
	uses := celast.MatchDescendants(root, func(n celast.NavigableExpr) bool {
		return n.Kind() == celast.IdentKind && isFieldMap(n.AsIdent())
	})
	for _, use := range uses {
		variable := use.AsIdent()
		used := fieldUsed(use)
		field, expr := used.field, used.expr
		if expr == nil {
			location := ast.SourceInfo().GetStartLocation(use.ID())
			n := runeOffset(node.Value, location.Line(), location.Column())
			p.problems.add(p.name, p.inScalar(node, n),
				`%s: name a field of %s, as in %s.Name or %s["Name"]`, e.key, variable, variable, variable)
			continue
		}
		p.checkField(e, node, field, ast.SourceInfo().GetStartLocation(used.place))
		if variable != changedName {
			p.checkLiterals(e, node, used, checked)
		}
		if variable != previousName {
			e.recordFields = append(e.recordFields, field)
		}
		if variable != recordName {
			e.previousFields = append(e.previousFields, field)
		}
		if expr.ID() == root.ID() && variable != changedName && isValue(expr) {
			e.bareField, e.barePrevious = field, variable == previousName
		}
	}
}

// bounded tells whether an expression only reads and compares, so that its length is the limit of its cost. Most are
// like this, and counting the cost of each step would take a third of their time.
func bounded(checked *cel.Ast) bool {
	costly := celast.MatchDescendants(celast.NavigateAST(checked.NativeRep()), func(n celast.NavigableExpr) bool {
		switch n.Kind() {
		case celast.CallKind:
			return !cheap(n.AsCall().FunctionName())
		case celast.IdentKind, celast.LiteralKind, celast.SelectKind, celast.ListKind:
			return false
		case celast.ComprehensionKind, celast.MapKind, celast.StructKind, celast.UnspecifiedExprKind:
		}
		return true
	})
	return len(costly) == 0
}

func cheap(operator string) bool {
	switch operator {
	case "_&&_", "_||_", "!_", "_?_:_", inOperator, indexOperator:
		return true
	}
	return comparison(operator)
}

func isFieldMap(name string) bool {
	return name == recordName || name == previousName || name == changedName
}

// isValue is false for has(record.X) and "X" in record, which ask and do not give the field.
func isValue(expr celast.NavigableExpr) bool {
	if expr.Kind() == celast.SelectKind {
		return !expr.AsSelect().IsTestOnly()
	}
	return expr.AsCall().FunctionName() == indexOperator
}

// fieldUse is one mention of a field. Its expr is nil when an expression takes the record as a whole.
type fieldUse struct {
	field string
	expr  celast.NavigableExpr // record.X, record["X"] or "X" in record
	place int64                // id of the node that stands one before the name: a dot or a quote
}

// fieldUsed gives the field that the expression around a variable names.
func fieldUsed(variable celast.NavigableExpr) fieldUse {
	parent, ok := variable.Parent()
	if !ok {
		return fieldUse{}
	}
	if parent.Kind() == celast.SelectKind {
		return fieldUse{parent.AsSelect().FieldName(), parent, parent.ID()}
	}
	if parent.Kind() != celast.CallKind || len(parent.AsCall().Args()) != 2 {
		return fieldUse{}
	}
	args := parent.AsCall().Args()
	var name celast.Expr
	switch {
	case parent.AsCall().FunctionName() == indexOperator && args[0].ID() == variable.ID():
		name = args[1]
	case parent.AsCall().FunctionName() == inOperator && args[1].ID() == variable.ID():
		name = args[0]
	default:
		return fieldUse{}
	}
	if name.Kind() == celast.LiteralKind {
		if text, isText := name.AsLiteral().(types.String); isText {
			return fieldUse{string(text), parent, name.ID()}
		}
	}
	return fieldUse{}
}

// checkField reports a field that the object's WSDL does not have; its name begins one after place.
func (p *ruleParser) checkField(e *expression, node *yaml.Node, field string, place interface {
	Line() int
	Column() int
},
) {
	if e.schema == nil {
		return
	}
	if _, ok := e.schema.types[field]; ok {
		return
	}
	n := runeOffset(node.Value, place.Line(), place.Column()) + 1
	p.problems.add(p.name, p.inScalar(node, n), "%s: the WSDL of the object has no field %q%s",
		e.key, field, didYouMean(field, e.schema.names()))
}
