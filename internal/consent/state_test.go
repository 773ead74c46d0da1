package consent_test

import (
	"fmt"
	"math/rand/v2"
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

func TestAsked(t *testing.T) {
	t.Parallel()
	news, offers := consent.ProgramScope("news"), consent.ProgramScope("offers")
	for name, c := range map[string]struct {
		state consent.State
		want  *consent.Scope
	}{
		"nothing":                {nil, nil},
		"asked":                  {consent.State{mark(5, consent.OptIn, "program", "news")}, &news},
		"asked before":           {consent.State{mark(4, consent.OptIn, "program", "news")}, nil},
		"asked after":            {consent.State{mark(31, consent.OptIn, "program", "news")}, nil},
		"asked and confirmed":    {consent.State{mark(5, consent.OptIn, "program", "news"), mark(6, consent.Confirm, "program", "news")}, nil},
		"the other is confirmed": {consent.State{mark(5, consent.OptIn, "program", "news"), mark(6, consent.Confirm, "program", "offers")}, &news},
		"confirmed before":       {consent.State{mark(6, consent.OptIn, "program", "news"), mark(5, consent.Confirm, "program", "news")}, &news},
		"stopped since":          {consent.State{mark(5, consent.OptIn, "program", "news"), mark(6, consent.OptOut)}, nil},
		"the newest of two":      {consent.State{mark(5, consent.OptIn, "program", "news"), mark(6, consent.OptIn, "program", "offers")}, &offers},
		"on another channel":     {consent.State{{Channel: message.WhatsApp, Action: consent.OptIn, At: at(6)}}, nil},
	} {
		scope, open := c.state.Asked(message.SMS, at(5), at(30))
		require.Equal(t, c.want != nil, open, name)
		if c.want != nil {
			require.Equal(t, *c.want, scope, name)
		}
	}
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
