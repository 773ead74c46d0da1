package suggest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/suggest"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"template", "to", "when", "BECKON_DATA_DIR", "StageName"}
	for got, want := range map[string]string{
		"templatte": "template", "whem": "when", "BECKON_DATADIR": "BECKON_DATA_DIR", "stagename": "StageName",
		"too": "to", "colour": "", "": "",
	} {
		require.Equal(t, want, suggest.Nearest(got, names), got)
	}
	require.Empty(t, suggest.Nearest("x", nil))
}
