package dispatcher

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// between lets something happen in the middle of a send: when a claim is committed, or when consent has been read for the second look.
type between struct {
	Ledger

	claimed func([]store.Claimed)
	looked  func([]address.Address)
}

func (b between) Claim(ctx context.Context, request store.ClaimRequest) (*store.ClaimResult, error) {
	result, err := b.Ledger.Claim(ctx, request)
	if err == nil && b.claimed != nil {
		b.claimed(result.Claimed)
	}
	return result, err
}

func (b between) Consent(ctx context.Context, all []address.Address) (map[address.Address]consent.State, error) {
	states, err := b.Ledger.Consent(ctx, all)
	if err == nil && b.looked != nil {
		b.looked(all)
	}
	return states, err
}

// deeds are what may come in the middle of a send to a person, with what becomes of the message. Those that are durable in Postgres alone
// count until consent has been read; those in the stream until the call.
func (w *world) deeds() map[string]func(to address.Address) {
	ctx := context.Background()
	return map[string]func(address.Address){
		"STOP":             func(to address.Address) { w.reply(url.Values{"Body": {"STOP"}, "From": {string(to)}}) },
		"STOP on WhatsApp": func(to address.Address) { w.reply(url.Values{"Body": {"baja"}, "From": {"whatsapp:" + string(to)}}) },
		"doubtful":         func(to address.Address) { w.reply(url.Values{"Body": {"leave me alone"}, "From": {string(to)}}) },
		"error code": func(to address.Address) {
			form := url.Values{"MessageSid": {"SM" + strings.Repeat("7", 21) + string(to)[1:]}, "MessageStatus": {"failed"}, "ErrorCode": {"21610"}, "To": {string(to)}}
			require.NoError(w.t, w.publish(ctx, stream.KindOptOut, "", []byte(form.Encode())))
		},
		"who stopped as another": func(to address.Address) { // by the reply that tells that it is the same person
			w.reply(url.Values{"Body": {"hi"}, "From": {"whatsapp:" + string(to)}, "ExternalUserId": {idOf(to)}})
		},
		"operator": func(to address.Address) {
			require.NoError(w.t, w.AddConsent(ctx, consent.Entry{
				Org: testOrg, Address: to, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromOperator, Evidence: "ana",
			}))
		},
		"alias by an operator": func(to address.Address) {
			require.NoError(w.t, w.AddAlias(ctx, to, address.Address(idOf(to)), consent.FromOperator, "ana"))
		},
	}
}

func idOf(to address.Address) string { return "US.1A" + string(to)[1:] }

// A message of every origin, and everything that may stop it, at each step of the send, with two dispatchers: nobody hears of us.
func TestStopInTheMiddleOfASend(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"claimed", "looked"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
			deeds := w.deeds()
			if step == "looked" { // what an operator enters after the last look comes after the call, as far as anybody can tell
				delete(deeds, "operator")
				delete(deeds, "alias by an operator")
			}
			victims, ids := w.victims(deeds)
			var mu sync.Mutex
			strike := func(all []address.Address) {
				mu.Lock()
				defer mu.Unlock()
				for _, to := range all {
					if deed := victims[to]; deed != nil {
						delete(victims, to)
						deed(to)
					}
				}
			}
			for range 2 {
				config := w.config()
				b := between{Ledger: w.Store, looked: strike}
				if step == "claimed" {
					b = between{Ledger: w.Store, claimed: func(all []store.Claimed) { strike(addresses(all)) }}
				}
				config.Ledger, config.Metrics = b, prometheus.NewRegistry()
				w.run(config)
			}
			for id, deed := range ids {
				if deed == "doubtful" {
					w.waitsForReview(id)
					continue
				}
				require.Equal(t, message.ReasonOptedOut, w.becomes(id, message.Suppressed).Reason, deed)
			}
			require.Empty(t, victims, "each was struck")
			require.Empty(t, w.outbound())
			require.GreaterOrEqual(t, w.number(`select count(*) from attempt where state = 'canceled'`), len(ids), "each was claimed before")
		})
	}
}

// victims are queued messages of every origin, one for each deed, to people of their own.
func (w *world) victims(deeds map[string]func(address.Address)) (victims map[address.Address]func(address.Address), ids map[string]string) {
	victims, ids = map[address.Address]func(address.Address){}, map[string]string{}
	for name, deed := range deeds {
		for _, origin := range message.Origins() {
			if origin == message.OriginCompliance {
				continue
			}
			to := address.Address(fmt.Sprintf("+1415555%04d", len(victims)))
			victims[to] = deed
			require.NoError(w.t, w.AddConsent(w.t.Context(), consent.Entry{
				Org: testOrg, Address: address.Address(idOf(to)), Channel: consent.AllChannels, Action: consent.OptOut,
				Source: consent.FromOperator, Evidence: "long ago, under another address",
			}))
			m := sms(to, name)
			if origin == message.OriginRule {
				ids[w.queue(m)[0]] = name
				continue
			}
			m.ID, m.Origin, m.OriginKey = uuid.Must(uuid.NewV7()).String(), origin, string(to)
			made, err := w.AddMessage(w.t.Context(), m)
			require.NoError(w.t, err)
			require.True(w.t, made)
			ids[m.ID] = name
		}
	}
	return victims, ids
}

// A person is not erased while a call to them is open; the erasure that comes before it stops it.
func TestErasureInTheMiddleOfASend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.UseErasureKeys([]string{strings.Repeat("k", 32)})
	id := w.queue(sms(person, "x"))[0]
	erased := make(chan error, 2)
	config := w.config()
	config.Ledger = between{Ledger: w.Store, claimed: func(all []store.Claimed) {
		if len(all) > 0 {
			_, err := w.ErasePerson(context.Background(), person, "ana", "")
			erased <- err
		}
	}}
	w.run(config)
	require.ErrorIs(t, <-erased, store.ErrInFlight)
	w.becomes(id, message.Delivered)
	_, err := w.ErasePerson(t.Context(), person, "ana", "")
	require.NoError(t, err)
	require.Equal(t, message.ReasonOptedOut, w.becomes(w.queue(sms(person, "y"))[0], message.Suppressed).Reason)
	require.Len(t, w.outbound(), 1)
}
