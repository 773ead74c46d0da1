package address_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, region, want string }{
		{"+1 415 555 2671", "US", "+14155552671"},
		{"(415) 555-2671", "US", "+14155552671"},
		{" 0171 1234567 ", "DE", "+491711234567"},
		{"+44 7911 123456", "US", "+447911123456"},
	} {
		got, err := address.Parse(test.text, test.region)
		require.NoError(t, err, test.text)
		require.Equal(t, test.want, string(got))
	}
	for _, text := range []string{"", "n/a", "12", "+1 415", "+0000000000", strings.Repeat("9", 40), "call Ana"} {
		_, err := address.Parse(text, "US")
		require.ErrorIs(t, err, address.ErrInvalid, text)
	}
}

func TestAddressesMaskThemselves(t *testing.T) {
	t.Parallel()
	const person = address.Address("+14155552671")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("sent", "to", person)
	for _, text := range []string{log.String(), fmt.Sprint(person), fmt.Sprintf("%s %v %q", person, person, person), fmt.Errorf("to %s", person).Error()} {
		require.NotContains(t, text, "4155552671")
		require.Contains(t, text, "***71")
	}
	require.Equal(t, "**", address.Address("ab").Masked())
}

func TestAsWritten(t *testing.T) {
	t.Parallel()
	require.Equal(t, "n/a", string(address.AsWritten("n/a")))
	long := address.AsWritten("a" + strings.Repeat("é", 5000))
	require.LessOrEqual(t, len(long), address.MaxLength)
	require.True(t, utf8.ValidString(string(long)))
	require.Equal(t, "a\uFFFDb", string(address.AsWritten("a\xff\x00b")))
}
