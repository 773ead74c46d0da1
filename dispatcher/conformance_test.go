package dispatcher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/dispatcher/protocol"
	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// far is a wait that does not end within the test: what is due is made so by hand.
const far = time.Hour

// slot names an attempt of the model.
type slot struct{ message, attempt uint8 }

// twin takes the steps of the model on the real ledger.
type twin struct {
	*world

	t        *rapid.T
	d        *lane
	to       address.Address
	messages []string
	claimed  map[slot]store.Claimed
}

// The real ledger, with the dispatcher's own gates, goes every way that the model goes: after each step both are in the same
// state.
func TestConformance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	taken := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 2).Draw(t, "messages")
		to := address.Address(fmt.Sprintf("+1415%07d", w.next.Add(1)))
		twin := &twin{world: w, t: t, d: bare(everySender()), to: to, claimed: map[slot]store.Claimed{}}
		for range n {
			twin.messages = append(twin.messages, w.store(sms(to, "hello"))...)
		}
		config := protocol.Config{Messages: n, Dispatchers: 2, Stop: rapid.IntRange(0, 3).Draw(t, "stop") == 0, Times: protocol.DefaultTimes()}
		left := rapid.IntRange(40, 120).Draw(t, "steps")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		waits := true // the older message: the ledger, unlike the model, lets no younger one pass it
		pick := func(actions []protocol.Action) int {
			return pick(random, actions, func(a protocol.Action) bool { return a.What == "claims" && a.Message > 0 && waits })
		}
		protocol.Walk(config, pick, func(a protocol.Action, after protocol.World) bool {
			twin.take(a, after)
			twin.compare(a, after)
			waits = after.Messages[0].State == protocol.Queued
			taken[a.What]++
			left--
			return left > 0
		})
	})
	t.Log(taken)
	for _, what := range []string{
		"claims", "the lease is over", "lists Twilio's messages", "notes that it saw nothing", "notes the attempt absent", "adopts what it found",
		"a callback reports the delivery", "records accepted", "records refused", "records unknown", "records canceled",
	} {
		require.Positive(t, taken[what], "no walk took the step: %s", what)
	}
}

// pick draws a step that is not barred. Those that end a way early, or lead nowhere new, are drawn less often, so that walks go far.
func pick(random *rand.Rand, actions []protocol.Action, barred func(protocol.Action) bool) int {
	var likely []int
	for i, a := range actions {
		n := 8
		if barred(a) {
			continue
		}
		switch a.What {
		case "crashes", "gives the claim back", "the belt loses it", "the door stores a STOP", "can't connect", "a callback reports the delivery":
			n = 1
		case "time passes", "lists Twilio's messages":
			n = 2
		case "writes the request", "Twilio takes the message", "Twilio's listing shows the message":
			n = 24
		}
		for range n {
			likely = append(likely, i)
		}
	}
	return likely[random.IntN(len(likely))]
}

// take does on the ledger what the model has done. Steps that touch no ledger are none.
func (w *twin) take(a protocol.Action, after protocol.World) {
	ctx, at := context.Background(), slot{a.Message, a.Attempt}
	c := w.claimed[at]
	var err error
	switch a.What {
	case "claims", "claims, and the gates find an opt-out":
		w.claim(at, a.What == "claims")
	case "the STOP is applied":
		err = w.AddConsent(ctx, consent.Entry{Org: testOrg, Address: w.to, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromOperator, Evidence: "x"})
	case "the lease is over":
		w.sql(`update live_attempt set lease_until = now() - interval '1 second' where attempt_id = $1::uuid`, c.AttemptID)
		_, err = w.ExpireLeases(ctx, far)
	case "lists Twilio's messages":
		w.due(at, after)
	case "notes that it saw nothing":
		err = w.NoteAbsence(ctx, c.AttemptID, far)
	case "notes the attempt absent":
		err = w.Record(ctx, []store.Outcome{{MessageID: c.Message.ID, AttemptID: c.AttemptID, State: message.Absent, MessageState: message.Queued}})
	case "adopts what it found", "records accepted":
		err = w.Record(ctx, []store.Outcome{{
			MessageID: c.Message.ID, AttemptID: c.AttemptID, State: message.Accepted, SID: "SM" + c.AttemptID, MessageState: message.Accepted,
		}})
	case "a callback reports the delivery":
		_, err = w.ApplyStatus(ctx, []store.StatusEvent{{
			SID: "SM" + c.AttemptID, Status: "delivered", State: message.Delivered, MessageID: c.Message.ID, AttemptID: c.AttemptID, Received: time.Now(),
		}})
	default:
		if outcome, ok := strings.CutPrefix(a.What, "records "); ok {
			err = w.Record(ctx, []store.Outcome{w.outcome(c, message.State(outcome), after.Messages[a.Message].State.Real())})
		}
	}
	require.NoError(w.t, err, a.String())
}

// outcome is what the dispatcher would record. becomes is the state of the message afterwards: a refusal may be final.
func (w *twin) outcome(c store.Claimed, state, becomes message.State) store.Outcome {
	o := store.Outcome{MessageID: c.Message.ID, AttemptID: c.AttemptID, State: state, MessageState: message.Queued}
	switch state { //nolint:exhaustive // the outcomes of calls and barriers
	case message.Canceled:
		o = canceled(c, message.Queued, message.ReasonRetry)
		o.RetryAfter = 0
	case message.Suppressed:
		o = canceled(c, message.Suppressed, message.ReasonOptedOut)
	case message.Unknown:
		o.MessageState, o.LookupAfter = message.Unknown, far
	case message.Refused:
		if becomes == message.Failed {
			o.MessageState = message.Failed
		}
	}
	return o
}

func (w *twin) claim(at slot, passes bool) {
	result, err := w.Claim(context.Background(), store.ClaimRequest{
		IDs: w.messages[at.message : at.message+1], Sender: "default", Lease: far, Judge: w.d.judge,
	})
	require.NoError(w.t, err)
	if !passes {
		require.Equal(w.t, []message.Reason{message.ReasonOptedOut}, result.Suppressed)
		return
	}
	require.Len(w.t, result.Claimed, 1)
	w.claimed[at] = result.Claimed[0]
}

// due makes a look-up due and takes it, and puts off the next one.
func (w *twin) due(at slot, after protocol.World) {
	id := w.claimed[at].AttemptID
	w.sql(`update live_attempt set lookup_at = now() where attempt_id = $1::uuid`, id)
	lookups, err := w.DueLookups(context.Background(), 1, far)
	require.NoError(w.t, err)
	require.Len(w.t, lookups, 1)
	require.Equal(w.t, id, lookups[0].AttemptID)
	require.EqualValues(w.t, after.Attempts[at.message][at.attempt].Absences, lookups[0].Absences)
}

// compare looks whether the ledger stands where the model does.
func (w *twin) compare(a protocol.Action, after protocol.World) {
	for m, id := range w.messages {
		var state string
		w.read(`select state from message where id = $1::uuid`, id, &state)
		require.Equal(w.t, after.Messages[m].State.Real(), message.State(state), "message %d after: %s", m+1, a)
		for i, at := range after.Attempts[m] {
			if at.State == protocol.None {
				continue
			}
			var absences int
			var phase string
			attempt := w.claimed[slot{uint8(m), uint8(i)}].AttemptID
			w.read(`select a.state, coalesce(l.phase, ''), coalesce(l.absences, 0) from attempt a left join live_attempt l on l.attempt_id = a.id
				where a.id = $1::uuid`, attempt, &state, &phase, &absences)
			require.Equal(w.t, at.State.Real(), message.State(state), "attempt %d of message %d after: %s", i+1, m+1, a)
			if at.State == protocol.Sending || at.State == protocol.Unknown {
				require.Equal(w.t, state, phase, "it is live after: %s", a)
				require.EqualValues(w.t, at.Absences, absences, "absences after: %s", a)
			} else {
				require.Empty(w.t, phase, "it is not live after: %s", a)
			}
		}
	}
}

func (w *twin) sql(statement string, args ...any) {
	_, err := w.db.Exec(context.Background(), statement, args...)
	require.NoError(w.t, err)
}

// read scans the one row of a query.
func (w *twin) read(query string, id string, targets ...any) {
	require.NoError(w.t, w.db.QueryRow(context.Background(), query, id).Scan(targets...))
}
