package notification

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The long forms are computed by hand: in each group of five characters the first one counts 1, the second 2, then 4, 8 and
// 16 when it is an upper-case letter; the sum is a place in A to Z, 0 to 5.
//
// Source: Salesforce Help, "What are Salesforce record IDs composed of".
func TestParseID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]ID{
		"001000000000000":    "001000000000000AAA",
		"00aaaaaaaaaaaaa":    "00aaaaaaaaaaaaaAAA",
		"AAAAAAAAAAAAAAA":    "AAAAAAAAAAAAAAA555", // 31 each
		"Abbbbbbbbbbbbbb":    "AbbbbbbbbbbbbbbBAA", // the first one: 1
		"bAbbbbbbbbbbbbb":    "bAbbbbbbbbbbbbbCAA", // the second one: 2
		"bbAbbbbbbbbbbbb":    "bbAbbbbbbbbbbbbEAA",
		"bbbAbbbbbbbbbbb":    "bbbAbbbbbbbbbbbIAA",
		"bbbbAbbbbbbbbbb":    "bbbbAbbbbbbbbbbQAA",
		"bbbbbAbbbbbbbbb":    "bbbbbAbbbbbbbbbABA",
		"bbbbbbbbbbbbbbA":    "bbbbbbbbbbbbbbAAAQ",
		"bAAbAbbbbbbbbbb":    "bAAbAbbbbbbbbbbWAA", // 2 + 4 + 16 = 22
		"00D5g000004QxYz":    "00D5g000004QxYzEAK", // D: 4; nothing; Q and Y: 2 + 8 = 10
		"001000000000000AAB": "001000000000000AAB", // a long one is taken as it stands
		"00D5g000004QxYzEAK": "00D5g000004QxYzEAK",
	} {
		got, err := ParseID(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
		require.Equal(t, in[:ShortIDLength], got.Short())
		again, err := ParseID(string(got))
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
}

func TestParseOrgID(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"00D5g000004QxYz", "00D5g000004QxYzEAK"} {
		got, err := ParseOrgID(in)
		require.NoError(t, err)
		require.Equal(t, OrgID("00D5g000004QxYz"), got)
	}
	for _, in := range []string{"00d5g000004QxYz", "001000000000000", "001000000000000AAA", "D005g000004QxYz"} {
		_, err := ParseOrgID(in)
		require.ErrorIs(t, err, ErrBadID, in)
	}
}

func TestNoID(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"empty": "", "short": "00D5g000004QxY", "16": "00D5g000004QxYzE", "17": "00D5g000004QxYzEA", "long": "00D5g000004QxYzEAKx",
		"space": "00D5g000004QxY ", "hyphen": "00D5g000004Q-Yz", "markup": "00D5g00000<QxYz", "line": "00D5g000004QxY\n",
		"letters that are not ASCII": "00D5g000004Qxé", "NUL": "00D5g000004QxY\x00", "below 0": "00D5g000004QxY/", "above 9": "00D5g000004QxY:",
		"below A": "00D5g000004QxY@", "above Z": "00D5g000004QxY[", "below a": "00D5g000004QxY`", "above z": "00D5g000004QxY{",
	} {
		_, err := ParseID(in)
		require.ErrorIs(t, err, ErrBadID, name)
		_, orgErr := ParseOrgID(in)
		require.ErrorIs(t, orgErr, ErrBadID, name)
		if len(in) > 3 {
			require.NotContains(t, err.Error(), in, "an error shows no value")
		}
	}
	require.Equal(t, "x", ID("x").Short())
}

func FuzzParseID(f *testing.F) {
	f.Add("00D5g000004QxYz")
	f.Add("00D5g000004QxYzEAK")
	f.Fuzz(func(t *testing.T, in string) {
		id, err := ParseID(in)
		if err != nil {
			require.ErrorIs(t, err, ErrBadID)
			require.Empty(t, id)
			return
		}
		require.Len(t, string(id), LongIDLength)
		require.True(t, strings.HasPrefix(string(id), in))
	})
}
