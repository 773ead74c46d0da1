package consent_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

func at(minute int) time.Time { return time.Date(2026, 5, 1, 12, minute, 0, 0, time.UTC) }

func mark(minute int, action consent.Action, scope ...string) consent.Mark {
	m := consent.Mark{Channel: consent.AllChannels, Action: action, At: at(minute)}
	if len(scope) > 0 {
		m.Scope = consent.Scope{Kind: consent.ScopeKind(scope[0]), Name: scope[1]}
	}
	return m
}

func TestState(t *testing.T) {
	t.Parallel()
	const news, offers, other = "acme/news", "acme/offers", "other/news"
	in, confirm, out, again, erase := consent.OptIn, consent.Confirm, consent.OptOut, consent.ReOptIn, consent.Erase
	for name, c := range map[string]struct {
		state           consent.State
		program         string
		stopped         bool
		granted, double bool
	}{
		"nothing":                           {nil, news, false, false, false},
		"opted in":                          {consent.State{mark(1, in)}, news, false, true, false},
		"opted in to this program":          {consent.State{mark(1, in, "program", news)}, news, false, true, false},
		"opted in to another one":           {consent.State{mark(1, in, "program", offers)}, news, false, false, false},
		"opted in to its brand":             {consent.State{mark(1, in, "brand", "acme")}, news, false, true, false},
		"opted in to another brand":         {consent.State{mark(1, in, "brand", "acme")}, other, false, false, false},
		"a program without a brand":         {consent.State{mark(1, in, "brand", "default")}, "news", false, true, false},
		"confirmed":                         {consent.State{mark(1, in), mark(2, confirm)}, news, false, true, true},
		"confirmed, asked again":            {consent.State{mark(3, in), mark(2, confirm)}, news, false, true, true},
		"START":                             {consent.State{mark(1, again)}, news, false, false, false},
		"STOP, START":                       {consent.State{mark(1, out), mark(2, again)}, news, false, false, false},
		"opted in, STOP":                    {consent.State{mark(1, in), mark(2, out)}, news, true, false, false},
		"opted in, STOP, START":             {consent.State{mark(1, in), mark(2, out), mark(3, again)}, news, false, true, false},
		"confirmed, STOP, START":            {consent.State{mark(1, confirm), mark(2, out), mark(3, again)}, news, false, true, true},
		"confirmed, STOP, opted in":         {consent.State{mark(1, confirm), mark(2, out), mark(3, in)}, news, false, true, false},
		"opted in, START, STOP":             {consent.State{mark(1, in), mark(3, out), mark(2, again)}, news, true, false, false},
		"STOP, opted in to this":            {consent.State{mark(1, out), mark(2, in, "program", news)}, news, false, true, false},
		"STOP, opted in to another one":     {consent.State{mark(1, out), mark(2, in, "program", offers)}, news, true, false, false},
		"STOP of this program":              {consent.State{mark(1, in), mark(2, out, "program", news)}, news, true, false, false},
		"STOP of another one":               {consent.State{mark(1, in), mark(2, out, "program", offers)}, news, false, true, false},
		"STOP and opt-in at once":           {consent.State{mark(1, out), mark(1, in)}, news, true, false, false},
		"confirmed, erased":                 {consent.State{mark(1, confirm), mark(2, erase)}, news, true, false, false},
		"confirmed, erased, START":          {consent.State{mark(1, confirm), mark(2, erase), mark(3, again)}, news, false, false, false},
		"confirmed, erased, confirmed":      {consent.State{mark(3, confirm), mark(2, erase)}, news, false, true, true},
		"confirmed, STOP, erased, START":    {consent.State{mark(1, confirm), mark(2, out), mark(3, erase), mark(4, again)}, news, false, false, false},
		"opted in on WhatsApp":              {consent.State{{Channel: message.WhatsApp, Action: in, At: at(1)}}, news, false, false, false},
		"opted in, STOP on WhatsApp":        {consent.State{mark(1, in), {Channel: message.WhatsApp, Action: out, At: at(2)}}, news, false, true, false},
		"opted in on SMS, STOP of all":      {consent.State{{Channel: message.SMS, Action: in, At: at(1)}, mark(2, out)}, news, true, false, false},
		"a later word of the same moment":   {consent.State{{Channel: message.SMS, Action: out, At: at(1), Seq: 1}, {Channel: message.SMS, Action: in, At: at(1), Seq: 2}}, news, false, true, false},
		"a reply under review stops nobody": {consent.State{{Channel: consent.ReviewChannel, At: at(9)}, mark(1, in)}, news, false, true, false},
	} {
		require.Equal(t, c.stopped, c.state.Stopped(message.SMS, c.program), name)
		require.Equal(t, c.granted, c.state.Granted(message.SMS, c.program, false), name)
		require.Equal(t, c.double, c.state.Granted(message.SMS, c.program, true), "%s, double opt-in", name)
	}
}

// An opt-in waits to be confirmed until it is, or more than it, or an opt-out from all of it ends it.
func TestWaits(t *testing.T) {
	t.Parallel()
	in, confirm, out, again := consent.OptIn, consent.Confirm, consent.OptOut, consent.ReOptIn
	everything, acme, news := mark(5, in), mark(5, in, "brand", "acme"), mark(5, in, "program", "acme/news")
	byWhatsApp := news
	byWhatsApp.Channel = message.WhatsApp
	for name, c := range map[string]struct {
		optIn                   consent.Mark
		said                    consent.State
		waits, confirmed, ended bool
	}{
		"asked":                                 {news, nil, true, false, false},
		"confirmed":                             {news, consent.State{mark(6, confirm, "program", "acme/news")}, false, true, false},
		"its brand is confirmed":                {news, consent.State{mark(6, confirm, "brand", "acme")}, false, true, false},
		"everything is confirmed":               {news, consent.State{mark(6, confirm)}, false, true, false},
		"confirmed before":                      {news, consent.State{mark(4, confirm)}, false, true, false},
		"confirmed before, stopped":             {news, consent.State{mark(3, confirm), mark(4, out)}, true, false, false},
		"another program is confirmed":          {news, consent.State{mark(6, confirm, "program", "acme/offers")}, true, false, false},
		"another brand is confirmed":            {news, consent.State{mark(6, confirm, "brand", "default")}, true, false, false},
		"one program of the brand is confirmed": {acme, consent.State{mark(6, confirm, "program", "acme/news")}, true, false, false},
		"the brand is confirmed":                {acme, consent.State{mark(6, confirm, "brand", "acme")}, false, true, false},
		"the brand alone is confirmed":          {everything, consent.State{mark(6, confirm, "brand", "acme")}, true, false, false},
		"stopped since":                         {news, consent.State{mark(6, out)}, false, false, true},
		"stopped since, and START":              {news, consent.State{mark(6, out), mark(7, again)}, false, false, true},
		"stopped at that moment":                {news, consent.State{mark(5, out)}, false, false, true},
		"stopped before":                        {news, consent.State{mark(4, out)}, true, false, false},
		"its brand stopped":                     {news, consent.State{mark(6, out, "brand", "acme")}, false, false, true},
		"the brand stopped":                     {acme, consent.State{mark(6, out, "brand", "acme")}, false, false, true},
		"a program of the brand's name stopped": {acme, consent.State{mark(6, out, "program", "acme")}, true, false, false},
		"the default brand stopped":             {everything, consent.State{mark(6, out, "brand", "default")}, true, false, false},
		"one program stopped":                   {everything, consent.State{mark(6, out, "program", "acme/news")}, true, false, false},
		"erased":                                {everything, consent.State{mark(6, consent.Erase)}, false, false, true},
		"the other channel stopped":             {byWhatsApp, consent.State{{Channel: message.SMS, Action: out, At: at(6)}}, true, false, false},
		"one channel of all is confirmed":       {news, consent.State{{Channel: message.SMS, Action: confirm, At: at(6)}}, true, false, false},
		"all channels are confirmed":            {byWhatsApp, consent.State{mark(6, confirm)}, false, true, false},
	} {
		state := append(consent.State{c.optIn}, c.said...)
		require.Equal(t, c.waits, state.Waits(c.optIn), name)
		require.Equal(t, c.confirmed, state.Confirmed(c.optIn), name)
		require.Equal(t, c.ended, state.Ended(c.optIn), name)
	}
	require.True(t, consent.State{everything, mark(6, out)}.SilentSince(everything, at(6)))
	require.False(t, consent.State{everything, mark(6, out)}.SilentSince(everything, at(5)))
	require.Equal(t, []string{"default", "acme/default", "default", "acme/news"}, []string{
		consent.Scope{}.Program(), acme.Scope.Program(), consent.Scope{Kind: consent.ScopeBrand, Name: "default"}.Program(), news.Scope.Program(),
	})
}

func TestYes(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"YES", "yes", "Yes!", " y ", "Sí", "OUI", "ja"} {
		require.True(t, consent.Yes(body), body)
	}
	for _, body := range []string{"", "yes please stop", "yes, see you", "no", "START", "yess sir"} {
		require.False(t, consent.Yes(body), body)
	}
}

// The state is the same whatever the order of its marks.
func TestStateHasNoOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		state := consent.State(rapid.SliceOfN(rapid.Custom(drawMark), 0, 12).Draw(t, "marks"))
		shuffled := append(consent.State{}, state...)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		require.Equal(t, verdicts(state), verdicts(shuffled))
	})
}

func drawMark(t *rapid.T) consent.Mark {
	m := mark(rapid.IntRange(0, 3).Draw(t, "minute"),
		rapid.SampledFrom([]consent.Action{consent.OptIn, consent.Confirm, consent.OptOut, consent.ReOptIn, consent.Erase}).Draw(t, "action"))
	m.Channel = rapid.SampledFrom([]message.Channel{consent.AllChannels, message.SMS, message.WhatsApp}).Draw(t, "channel")
	m.Seq = rapid.Uint64Range(0, 1).Draw(t, "seq")
	m.Scope = rapid.SampledFrom([]consent.Scope{
		{}, {Kind: consent.ScopeBrand, Name: "acme"}, consent.ProgramScope("acme/news"), consent.ProgramScope("news"),
	}).Draw(t, "scope")
	return m
}

// verdicts is all that a state says.
func verdicts(s consent.State) []string {
	var all []string
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		for _, program := range []string{"news", "acme/news", "default"} {
			all = append(all, fmt.Sprint(channel, program, s.In(channel, program), s.Stopped(channel, program),
				s.Granted(channel, program, false), s.Granted(channel, program, true)))
		}
	}
	return all
}

func TestNamesOfPrograms(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "news", "news-2", "n2", "a-2-b", "acme/news", strings.Repeat("a", 200)} {
		require.True(t, consent.IsProgram(name), name)
	}
	for _, name := range []string{"", "-", "News", "2news", "-news", "news-", "a--b", "a b", "acme/", "/news", "a/b/c", "né", strings.Repeat("a", 201)} {
		require.False(t, consent.IsProgram(name), name)
	}
}
