package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every reason and origin that a message can have is explained where people look for it.
func TestReasonsAndOriginsAreExplained(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "internal", "message", "message.go"), nil, 0)
	require.NoError(t, err)
	words := map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type == nil {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			text, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			words[types.ExprString(spec.Type)] = append(words[types.ExprString(spec.Type)], text)
		}
		return true
	})
	require.Greater(t, len(words["Reason"]), 15)
	require.Greater(t, len(words["Origin"]), 4)
	for kind, page := range map[string]string{"Reason": "architecture.md", "Origin": "conversations.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, word := range words[kind] {
			require.True(t, word == "" || strings.Contains(string(text), "`"+word+"`"), "%s does not explain %s", page, word)
		}
	}
}
