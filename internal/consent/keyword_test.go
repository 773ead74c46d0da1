package consent_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for want, bodies := range map[consent.Keyword][]string{
		consent.Stop: {
			"STOP", "stop", "Stop.", " STOP! ", "stop\n", "\tStop\r\n", "“Stop”", "'stop'", "(STOP)", "STOP 🛑", "❤️stop❤️", "Stop!!!",
			"ＳＴＯＰ", "\u200eSTOP\u200b", "ST\u200bOP", "STOP…", "stop\u00a0", "*STOP*",
			"UNSUBSCRIBE", "Unsubscribe", "END", "end.", "QUIT", "STOPALL", "stop all", "Stop  All.", "stop-all", "REVOKE", "OPTOUT",
			"opt out", "Opt-Out", "OPT\nOUT", "CANCEL", "cancel!",
		},
		consent.Start: {"START", "start", " Start. ", "UNSTOP", "unstop!", "¡start!"},
		consent.Help:  {"HELP", "help?", "Info", "INFO."},
		consent.None: {
			"", " ", "...", "🛑", "YES", "yes", "Y", "no", "I stopped by", "don't stop", "Don’t stop", "stop please", "STOP1", "1 STOP", "stopped",
			"stop it", "nonstop", "non-stop", "the end", "weekend", "endless", "help me", "information", "restart", "start now", "START STOP",
			"S T O P", "cancelled", "cancel my appointment", "opt", "out", "opt in", "stöp", "stop\u0301", "\xff", "stop\xffstop",
			strings.Repeat("stop ", 1000), strings.Repeat(" ", 5000) + "x",
		},
	} {
		for _, body := range bodies {
			require.Equalf(t, want, consent.Classify(body), "%q", body)
		}
	}
	require.Equal(t, consent.Stop, consent.Classify(strings.Repeat(" ", 5000)+"stop"), "white space has no limit")
}

func TestFromOptOutType(t *testing.T) {
	t.Parallel()
	require.Equal(t, consent.Stop, consent.FromOptOutType("STOP"))
	require.Equal(t, consent.Start, consent.FromOptOutType("START"))
	require.Equal(t, consent.Help, consent.FromOptOutType("help"))
	require.Equal(t, consent.None, consent.FromOptOutType(""))
	require.Equal(t, consent.None, consent.FromOptOutType("STOPALL"))
}

func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"", "STOP", "Stop.", "opt-out", "I stopped by", "\xff", "ＳＴＯＰ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got := consent.Classify(body)
		require.Contains(t, []consent.Keyword{consent.None, consent.Stop, consent.Start, consent.Help}, got)
		require.Equal(t, got, consent.Classify(" \n"+body+" !"), "what stands around the words does not matter")
		if got != consent.None {
			require.Equal(t, consent.None, consent.Classify(body+" x"), "more words are another message")
			require.Equal(t, consent.None, consent.Classify("un"+"x "+body))
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for name, body := range map[string]string{"stop": "Stop.", "chat": "Thanks, see you on Tuesday! I stopped by yesterday but nobody was in."} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_ = consent.Classify(body)
			}
		})
	}
}
