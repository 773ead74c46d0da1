package message_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
)

func TestVariablesProblem(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 600)
	for name, c := range map[string]struct {
		variables    map[string]string
		key, problem string
	}{
		"none":              {nil, "", ""},
		"good":              {map[string]string{"1": "Ana", "2": "four    spaces"}, "", ""},
		"the longest":       {map[string]string{"1": strings.Repeat("é", 1024)}, "", ""},
		"a gap":             {map[string]string{"1": "Ana", "3": "x"}, "2", "is missing"},
		"a name":            {map[string]string{"first_name": "Ana"}, "1", "is missing"},
		"empty":             {map[string]string{"1": "Ana", "2": ""}, "2", "is empty"},
		"blank":             {map[string]string{"1": " "}, "1", "is empty"},
		"a line break":      {map[string]string{"1": "a\nb"}, "1", "line break"},
		"a line separator":  {map[string]string{"1": "a\u2028b"}, "1", "line break"},
		"a tab":             {map[string]string{"1": "a\tb"}, "1", "tab"},
		"five spaces":       {map[string]string{"1": "a     b"}, "1", "four spaces"},
		"too long":          {map[string]string{"1": strings.Repeat("x", 1025)}, "1", "longer than 1024"},
		"too long together": {map[string]string{"1": long, "2": long}, "", "together"},
	} {
		key, problem := message.VariablesProblem(c.variables)
		require.Equal(t, c.key, key, name)
		require.Equal(t, c.problem == "", problem == "", name)
		require.Contains(t, problem, c.problem, name)
	}
}
