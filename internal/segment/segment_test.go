package segment_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/segment"
)

// defaultAlphabet is the table of 3GPP TS 23.038, 6.2.1, column by column, written out by hand: position is the septet.
// Septet 0x1B is the escape to the extension table, no character of its own.
const defaultAlphabet = "@£$¥èéùìòÇ\nØø\rÅå" + // 0x00
	"Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ" + // 0x10
	" !\"#¤%&'()*+,-./" + // 0x20
	"0123456789:;<=>?" + // 0x30
	"¡ABCDEFGHIJKLMNO" + // 0x40
	"PQRSTUVWXYZÄÖÑÜ§" + // 0x50
	"¿abcdefghijklmno" + // 0x60
	"pqrstuvwxyzäöñüà" // 0x70

// extensionTable is the table of 3GPP TS 23.038, 6.2.1.1.
const extensionTable = "\f^{}\\[~]|€"

const escape = 0x1b

func TestEveryCharacterOfTheBasicPlane(t *testing.T) {
	t.Parallel()
	require.Equal(t, 128, utf8.RuneCountInString(defaultAlphabet), "the table itself")
	for r := rune(1); r < 0x20000; r++ {
		if 0xD800 <= r && r <= 0xDFFF {
			continue // surrogates are no characters
		}
		want := segment.Info{Encoding: segment.UCS2, Segments: 1, Units: len(utf16.Encode([]rune{r}))}
		switch {
		case r != escape && strings.ContainsRune(defaultAlphabet, r):
			want = segment.Info{Encoding: segment.GSM7, Segments: 1, Units: 1}
		case strings.ContainsRune(extensionTable, r):
			want = segment.Info{Encoding: segment.GSM7, Segments: 1, Units: 2}
		}
		if got := segment.Count(string(r)); got != want {
			require.Equalf(t, want, got, "U+%04X", r)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	emoji := func(n int) string { return strings.Repeat("😀", n) }
	for name, tc := range map[string]struct {
		text string
		want segment.Info
	}{
		"empty":                              {"", segment.Info{Encoding: segment.GSM7}},
		"one":                                {"a", segment.Info{segment.GSM7, 1, 1}},
		"160":                                {a(160), segment.Info{segment.GSM7, 1, 160}},
		"161":                                {a(161), segment.Info{segment.GSM7, 2, 161}},
		"306":                                {a(306), segment.Info{segment.GSM7, 2, 306}},
		"307":                                {a(307), segment.Info{segment.GSM7, 3, 307}},
		"459":                                {a(459), segment.Info{segment.GSM7, 3, 459}},
		"460":                                {a(460), segment.Info{segment.GSM7, 4, 460}},
		"escape pair fits":                   {a(158) + "€", segment.Info{segment.GSM7, 1, 160}},
		"escape pair does not fit":           {a(159) + "€", segment.Info{segment.GSM7, 2, 161}},
		"escape pair is not split":           {a(152) + "€" + a(152), segment.Info{segment.GSM7, 3, 306}},
		"escape pair ends a part":            {a(151) + "€" + a(153), segment.Info{segment.GSM7, 2, 306}},
		"ucs 70":                             {strings.Repeat("ł", 70), segment.Info{segment.UCS2, 1, 70}},
		"ucs 71":                             {strings.Repeat("ł", 71), segment.Info{segment.UCS2, 2, 71}},
		"ucs 134":                            {strings.Repeat("ł", 134), segment.Info{segment.UCS2, 2, 134}},
		"ucs 135":                            {strings.Repeat("ł", 135), segment.Info{segment.UCS2, 3, 135}},
		"35 emoji":                           {emoji(35), segment.Info{segment.UCS2, 1, 70}},
		"36 emoji":                           {emoji(36), segment.Info{segment.UCS2, 2, 72}},
		"surrogate pair is not split":        {emoji(67), segment.Info{segment.UCS2, 3, 134}},
		"one character turns all":            {a(159) + "ç", segment.Info{segment.UCS2, 3, 160}},
		"euro takes one code unit":           {"€ł", segment.Info{segment.UCS2, 1, 2}},
		"backtick":                           {"`", segment.Info{segment.UCS2, 1, 1}},
		"tab":                                {"\t", segment.Info{segment.UCS2, 1, 1}},
		"no-break space":                     {"\u00a0", segment.Info{segment.UCS2, 1, 1}},
		"zero byte":                          {"\x00", segment.Info{segment.UCS2, 1, 1}},
		"each invalid byte is a replacement": {"a\xff\xfe", segment.Info{segment.UCS2, 1, 3}},
		"a combining accent is a unit":       {"e\u0301", segment.Info{segment.UCS2, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, segment.Count(tc.text))
			checkSplit(t, tc.text)
		})
	}
}

func TestNonGSM(t *testing.T) {
	t.Parallel()
	require.Equal(t, []rune{escape}, segment.NonGSM(defaultAlphabet+extensionTable))
	require.Equal(t, []rune("ç“😀”"), segment.NonGSM("garçon “ça va 😀” 😀"))
	require.Equal(t, []rune{utf8.RuneError}, segment.NonGSM("a\xff\xfe"))
}

// checkSplit holds Split and Count to the standard's limits, computing sizes from the tables above.
func checkSplit(t *testing.T, text string) {
	t.Helper()
	info, parts := segment.Count(text), segment.Split(text)
	require.Equal(t, text, strings.Join(parts, ""))
	require.Len(t, parts, info.Segments)
	size, single, part := gsmSize, 160, 153
	if info.Encoding == segment.UCS2 {
		size, single, part = ucsSize, 70, 67
	}
	require.Equal(t, info.Units, size(text))
	require.Equal(t, info.Encoding == segment.GSM7, len(segment.NonGSM(text)) == 0)
	if len(parts) == 1 {
		require.LessOrEqual(t, size(parts[0]), single)
		return
	}
	for i, p := range parts {
		require.LessOrEqual(t, size(p), part)
		if i+1 < len(parts) {
			first, _ := utf8.DecodeRuneInString(parts[i+1])
			require.Greater(t, size(p)+size(string(first)), part, "a part is left only when it is full")
		}
	}
	if info.Segments > 0 {
		require.Greater(t, info.Units, single, "several parts only when one doesn't do")
	}
}

func gsmSize(text string) int {
	n := 0
	for _, r := range text {
		n++
		if strings.ContainsRune(extensionTable, r) {
			n++
		}
	}
	return n
}

func ucsSize(text string) int { return len(utf16.Encode([]rune(text))) }

// randomText draws from alphabets that together meet every rule; a seed gives the same texts each time. It holds no
// sequence of code points that Unicode calls one grapheme, which Twilio's calculator keeps together and we do not.
func randomText(rnd *rand.Rand) string {
	alphabets := [][]rune{
		[]rune(strings.NewReplacer("\r", "", "\x1b", "").Replace(defaultAlphabet)),
		[]rune(extensionTable),
		[]rune("abc xyz"),
		[]rune("łçęążźćń“”’…—°`"),
		[]rune("漢字かなカナ"),
		[]rune("😀🎉🚀💡𝒳"),
	}
	weights := make([]int, len(alphabets))
	for i := range weights {
		weights[i] = rnd.IntN(3) * rnd.IntN(20)
	}
	if rnd.IntN(2) == 0 {
		weights[3], weights[4], weights[5] = 0, 0, 0
	}
	weights[2]++
	var bag [][]rune
	for i, w := range weights {
		for range w {
			bag = append(bag, alphabets[i])
		}
	}
	var b strings.Builder
	for range 1 + rnd.IntN(500) {
		from := bag[rnd.IntN(len(bag))]
		b.WriteRune(from[rnd.IntN(len(from))])
	}
	return b.String()
}

func TestSplitOfRandomTexts(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(23, 38))
	for range 2000 {
		checkSplit(t, randomText(rnd))
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{
		"", "Hi", defaultAlphabet, extensionTable, "\xff", strings.Repeat("😀", 67),
		strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { checkSplit(t, text) })
}

func BenchmarkCount(b *testing.B) {
	for name, text := range map[string]string{
		"gsm-1":  "Hi Maria, welcome aboard. Start here: https://example.com/start/006. Reply STOP to opt out.",
		"gsm-4":  strings.Repeat("Your balance is 12 € today. ", 20),
		"ucs2-2": strings.Repeat("Zażółć gęślą jaźń 😀 ", 5),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_ = segment.Count(text)
			}
		})
	}
}
