package consent_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	words := consent.DefaultWords()
	for want, bodies := range map[consent.Keyword][]string{
		consent.Stop: {
			"STOP", "stop", "Stop.", " STOP! ", "stop\n", "\tStop\r\n", "“Stop”", "'stop'", "(STOP)", "STOP 🛑", "❤️stop❤️", "Stop!!!",
			"ＳＴＯＰ", "\u200eSTOP\u200b", "ST\u200bOP", "STOP…", "stop\u00a0", "*STOP*", "stöp", "stop\u0301", "S T O P", "STOOOP",
			"UNSUBSCRIBE", "Unsubscribe", "END", "end.", "QUIT", "STOPALL", "stop all", "Stop  All.", "stop-all", "REVOKE", "OPTOUT",
			"opt out", "Opt-Out", "OPT\nOUT", "CANCEL", "cancel!", "stop please", "Please, stop. Thank you!", "стоп", "ЅТОР", "ARRRÊT",
			strings.Repeat("stop ", 1000), "stop\xffstop", "Stop\n\nSent from my iPhone", "STOP\r\n> Your visit is on Monday.\r\n> Are you coming?", "> STOP",
		},
		consent.Review: {
			"stop it", "1. STOP", "START STOP", "who is this? stop", "sotp", "please cancel", "can you stop texting me", "🛑", " ⛔️ 🚫!",
			"STTOP", "Stoop!", "pls unsubscribbe", "I said “stop texting me”, ok?",
		},
		consent.Start: {"START", "start", " Start. ", "UNSTOP", "unstop!", "¡start!"},
		consent.Help:  {"HELP", "help?", "Info", "INFO.", "help, please"},
		consent.None: {
			"", " ", "...", "👍", "😡😡", "YES", "yes", "Y", "no", "oui", "sí", "ja", "tak", "I stopped by", "don't stop", "Don’t stop", "stopped",
			"nonstop", "non-stop", "the end", "weekend", "endless", "help me", "information", "restart", "start now", "please start", "yes start",
			"cancelled", "cancel my appointment", "cancel my order", "end of May", "opt", "out", "opt in", "\xff",
			"Liked “We stop texting you after the visit. Reply STOP to opt out.”", "👍 to “ Text STOP to end ” ", "Emphasized \"Reply STOP\" 🙂",
			"Gefällt „Ihr Termin ist am Montag. Mit STOP keine Nachrichten mehr.“", "see you then\n\n> Reply STOP to opt out", "stooped", "Otto",
			strings.Repeat(" ", 5000) + "x", "I quit my job", "can you stop by at 5?", "no more questions, thanks", "send me no. 3",
		},
	} {
		for _, body := range bodies {
			v := words.Classify(body)
			require.Equalf(t, want, v.Keyword, "%q: %+v", body, v)
			require.Equal(t, want != consent.None, v.Rule != "" && v.Language != "", "%q: %+v", body, v)
		}
	}
	require.Equal(t, consent.Stop, words.Classify(strings.Repeat(" ", 5000)+"stop").Keyword, "white space has no limit")
	long := strings.Repeat("b ", 2040) // WhatsApp's longest text, of the shortest words
	require.Equal(t, consent.Stop, words.Classify(long+"stop texting me").Keyword, "what stands at the end of a long text counts")
}

func TestPressed(t *testing.T) {
	t.Parallel()
	words := consent.DefaultWords()
	for _, text := range []string{"STOP", "stop", "opt_out", "OPT-OUT", "unsubscribe", "STOP_ALL", "BAJA"} {
		v, ok := words.Pressed("news", text)
		require.True(t, ok, text)
		require.Equal(t, consent.Stop, v.Keyword, text)
		require.NotEmpty(t, v.Rule)
		require.NotEmpty(t, v.Language)
	}
	for _, text := range []string{
		"", "YES", "yes", "1", "confirm", "cancel", "END", "cancel_visit", "start", "help", "don't stop", "stop texting me", "please stop", "sotp", "🛑",
	} {
		_, ok := words.Pressed(text)
		require.False(t, ok, text)
	}
}

// The words that the law, Twilio and CTIA name, each by itself.
func TestNamedWords(t *testing.T) {
	t.Parallel()
	words := consent.DefaultWords()
	for _, word := range []string{"stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe", "stopall", "optout"} {
		v := words.Classify(word)
		require.Equal(t, consent.Verdict{Keyword: consent.Stop, Language: "en", Normal: word, Rule: word}, v)
	}
}

func TestVerdictSaysWhy(t *testing.T) {
	t.Parallel()
	v := consent.DefaultWords().Classify("¡Por favor, NO más mensajes!")
	require.Equal(t, consent.Verdict{Keyword: consent.Stop, Language: "es", Normal: "por favor no mas mensajes", Rule: "no mas mensajes"}, v)
	v = consent.DefaultWords().Classify("Never text me again, you people")
	require.Equal(t, consent.Verdict{
		Keyword: consent.Stop, Language: "en", Normal: "never text me again you people",
		Rule: "don't|dont|never text|txt|message|contact|msg|write me|us|this again|anymore|ever|number",
	}, v)
}

func TestFromOptOutType(t *testing.T) {
	t.Parallel()
	require.Equal(t, consent.Stop, consent.FromOptOutType("STOP"))
	require.Equal(t, consent.Start, consent.FromOptOutType("START"))
	require.Equal(t, consent.Help, consent.FromOptOutType("help"))
	require.Equal(t, consent.None, consent.FromOptOutType(""))
	require.Equal(t, consent.None, consent.FromOptOutType("STOPALL"))
}

func TestTwilioTakes(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"STOP", " stop\n", "Stop.", "StopAll", "HELP", "info", "start", "“STOP”", "OPTOUT"} {
		require.True(t, consent.TwilioTakes(body), body)
	}
	for _, body := range []string{"", "BAJA", "ARRÊT", "please stop", "stop texting me", "opt out", "STOOOP", "AYUDA", "yes", "START NOW"} {
		require.False(t, consent.TwilioTakes(body), body)
	}
}

func TestLoadWords(t *testing.T) {
	t.Parallel()
	words, err := consent.LoadWords(consent.File{Name: "ours.yaml", Data: []byte(`
languages:
  en:
    stop: [Halt das]
    says: ["cut {noise}"]
    sets: {noise: "the racket|the? noise"}
`)})
	require.ErrorContains(t, err, `ours.yaml:5: pattern "cut {noise}": part "{noise}": set "noise": "the racket" is not one word`)
	require.Nil(t, words)

	words, err = consent.LoadWords(consent.File{Name: "ours.yaml", Data: []byte(`
languages:
  en:
    stop: [Halt das]
    says: ["cut the? {noise}"]
    sets: {noise: racket|noise}
    drop: [info, st0p, leave me|us alone]
  sv: {stop: [sluta], start: [börja]}
`)})
	require.NoError(t, err)
	for body, want := range map[string]consent.Keyword{
		"halt das!": consent.Stop, "cut the noise": consent.Stop, "Sluta": consent.Stop, "BÖRJA": consent.Start, "INFO": consent.None,
		"leave me alone": consent.None, "stop": consent.Stop,
	} {
		require.Equal(t, want, words.Classify(body).Keyword, body)
	}

	_, err = consent.LoadWords(consent.File{Name: "bad.yaml", Data: []byte(`
named_by_law: [x]
languages:
  en:
    drop: [Opt-Out, nothing of the kind]
    may_mean: ["... x", "x ...", "{nowhere}", "two-words", "^ $"]
    stop: ["?!"]
    courtesy: [aa b c d e]
`)})
	for _, want := range []string{
		"bad.yaml:2: named_by_law can't be changed", `bad.yaml:5: "Opt-Out" can't be dropped: the law names it`,
		`bad.yaml:5: there is no "nothing of the kind" to drop in this language`, `bad.yaml:6: pattern "... x": the first part must be a word`,
		`bad.yaml:6: pattern "x ...": the first part`, `there is no set "nowhere"`, `"two-words" is not one word`, "a pattern has 1 to 16 parts",
		`bad.yaml:7: "?!": want 1 to 6 words`, `bad.yaml:8: "aa b c d e": want 1 to 4 words`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, 1, strings.Count(err.Error(), "bad.yaml:7"), "each mistake is told once")

	for data, want := range map[string]string{
		"languages:\n  en:\n    stopp: [x]": "ours.yaml:3: ", "languages: {en: {stop: [[x]]}}": "ours.yaml:1: ", "\nlanguages: [": "ours.yaml:", "\n\nx: 1": "ours.yaml:3: ",
	} {
		_, err := consent.LoadWords(consent.File{Name: "ours.yaml", Data: []byte(data)})
		require.ErrorContains(t, err, want, data)
	}
	_, err = consent.LoadWords(consent.File{Name: "empty.yaml"}, consent.File{Name: "comment.yaml", Data: []byte("# later\n\n")})
	require.NoError(t, err, "nothing to add")
}

func FuzzClassify(f *testing.F) {
	words := consent.DefaultWords()
	for _, seed := range []string{
		"", "STOP", "Stop.", "opt-out", "I stopped by", "\xff", "ＳＴＯＰ", "ЅТОР", "s.t.o.p", "aaa bbb ccc", "n'arrêtez pas", "İı", "don't send me any more messages",
		"Liked “Reply STOP to opt out.” 🙂", "stop\n> Reply STOP", "> stop", "to \"stop\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		v := words.Classify(body)
		require.Contains(t, []consent.Keyword{consent.None, consent.Stop, consent.Review, consent.Start, consent.Help}, v.Keyword)
		require.True(t, utf8.ValidString(v.Normal))
		again := words.Classify(v.Normal)
		require.Equal(t, v.Normal, again.Normal, "normalising twice changes nothing")
		around := words.Classify(" \n" + body + " 🙂")
		require.Equal(t, v.Normal, around.Normal, "what stands around the words does not matter")
		if v.Keyword == consent.Start {
			require.Equal(t, consent.Start, again.Keyword)
			require.NotEqual(t, consent.Start, words.Classify(body+" x").Keyword, "an opt-in is the whole reply")
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	words := consent.DefaultWords()
	chat := "Thanks, see you on Tuesday! I stopped by yesterday but nobody was in. "
	for name, body := range map[string]string{
		"stop": "Stop.", "courtesy": "Please stop texting me, thanks", "chat": chat, "long": strings.Repeat(chat, 20), "longer": strings.Repeat(chat, 40),
		"hostile": strings.Repeat("not want to ", 340), "more hostile": strings.Repeat("not want to ", 680),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_ = words.Classify(body)
			}
		})
	}
}
