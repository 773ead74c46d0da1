package protocol

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// whole is the largest world that is checked on every run: two messages to one person, two dispatchers, crashes at any step,
// a STOP at any moment.
func whole() Config { return Config{Messages: 2, Dispatchers: 2, Stop: true, Times: DefaultTimes()} }

// fine has the exact times, and one message.
func fine() Config { return Config{Messages: 1, Dispatchers: 2, Stop: true, Times: FineTimes()} }

func TestNoInterleavingBreaksARule(t *testing.T) {
	t.Parallel()
	both := whole()
	both.Times = FineTimes()
	configs := map[string]Config{"two messages": whole(), "exact times": fine(), "two messages, exact times": both}
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := Check(config)
			require.Equal(t, NoneBroken, result.Broken, result.String())
			t.Logf("%d states, %d steps", result.States, result.Steps)
			require.Greater(t, result.States, 10_000, "the model has lost its actions")
		})
	}
}

// The checker is worth something only if it finds what breaks: each guard is taken away once.
func TestEachGuardIsNeeded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		without Without
		broken  []Rule
	}{
		"the lease is not waited for":               {Without{LeaseCheck: true}, []Rule{WrongAbsence, SentTwice}},
		"look-ups do not wait":                      {Without{LookUpWait: true}, []Rule{WrongAbsence, SentTwice}},
		"one listing instead of two":                {Without{SecondListing: true}, []Rule{WrongAbsence, SentTwice}},
		"an unclear outcome is tried again":         {Without{UnknownState: true}, []Rule{SentTwice}},
		"a dead lease is tried again":               {Without{LookUps: true}, []Rule{WrongAbsence, SentTwice}},
		"a message is claimed in any state":         {Without{QueuedCheck: true}, []Rule{SentTwice, TwoLive}},
		"several live attempts to an address":       {Without{OneLive: true}, []Rule{TwoLive}},
		"no deadline":                               {Without{DeadlineCheck: true}, []Rule{WrongAbsence, SentTwice}},
		"no barrier":                                {Without{Barrier: true}, []Rule{SentAfterStop}},
		"no second look":                            {Without{SecondLook: true}, []Rule{SentAfterStop}},
		"SIDs that belong to others":                {Without{KnownSIDs: true}, []Rule{WrongSID}},
		"late outcomes count":                       {Without{RecordGuard: true}, []Rule{SentTwice, WrongAbsence, TwoLive}},
		"no sweeper":                                {Without{Sweeper: true}, []Rule{DeadEnd}},
		"frozen between the last check and writing": {Without{PromptWriting: true}, []Rule{WrongAbsence, SentTwice}},
		"a clock that sleeps with its host":         {Without{SuspendedClock: true}, []Rule{WrongAbsence, SentTwice}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := whole()
			config.Without = test.without
			result := Check(config)
			require.Contains(t, test.broken, result.Broken, result.String())
			require.NotEmpty(t, result.Trace)
			t.Log(result.String())
		})
	}
}

// Every guard has a test above, and all of them together are what the type has.
func TestEveryGuardIsTaken(t *testing.T) {
	t.Parallel()
	require.Equal(t, 15, reflect.TypeFor[Without]().NumField(), "a new guard needs its case in TestEachGuardIsNeeded")
}

// How long Twilio's listing may lag behind before two look-ups prove nothing.
func TestLagThatTheProofBears(t *testing.T) {
	t.Parallel()
	config := fine()
	config.Stop = false
	require.Equal(t, uint8(8), longestLag(config), "units of five seconds: 40 seconds")
	config.Jumps = 1
	require.Equal(t, uint8(1), longestLag(config), "with a jump of the database's clock: 5 seconds")
	config.Jumps = 2
	require.Equal(t, WrongAbsence, checkWithLag(config, 0), "with two jumps the waits prove nothing")
}

// longestLag is the longest one with which no rule breaks.
func longestLag(config Config) uint8 {
	lag := uint8(0)
	for checkWithLag(config, lag+1) == NoneBroken {
		lag++
	}
	return lag
}

func checkWithLag(config Config, lag uint8) Rule {
	config.Times.Lag = lag
	return Check(config).Broken
}

// The model's order of states is that of the product, and its fields are what raw takes them for.
func TestModelFitsTheCode(t *testing.T) {
	t.Parallel()
	require.True(t, Sending.Real().Before(Unknown.Real()))
	require.False(t, Delivered.Real().Before(Accepted.Real()))
	require.True(t, Delivered.settled() && Delivered.Real().Final())
	var size uintptr
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Dispatcher]()) {
		size += field.Type.Size()
	}
	require.Equal(t, unsafe.Sizeof(Dispatcher{}), size, "padding")
}
