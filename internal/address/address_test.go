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

func TestParsePerson(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" whatsapp:US.1A2B ": "US.1A2B", "US.ENT.1a2B": "US.ENT.1a2B", "US.ENT": "US.ENT", "DE." + strings.Repeat("9", 137): "DE." + strings.Repeat("9", 137),
		"whatsapp:+14155552671": "+14155552671", "(415) 555-2671": "+14155552671",
	} {
		got, err := address.ParsePerson(text, "US")
		require.NoError(t, err, text)
		require.Equal(t, want, string(got))
	}
	for _, text := range []string{"us.1A2B", "USA.1A2B", "U.1A", "US.", "US.ENT.", "US.1A-2B", "US.1A.2B", "US.é", "1A2B", "DE." + strings.Repeat("9", 138)} {
		_, err := address.ParsePerson(text, "US")
		require.ErrorIs(t, err, address.ErrInvalid, text)
	}
}
