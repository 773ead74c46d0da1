package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

func TestImportConsent(t *testing.T) {
	t.Parallel()
	l := open(t)
	var entries []consent.Entry
	for i := range 1200 { // three transactions
		entries = append(entries, consent.Entry{
			Org: consent.AnyOrg, Address: addr(fmt.Sprintf("+1415555%04d", i)), Channel: consent.AllChannels, Action: consent.OptIn,
			Scope: consent.ProgramScope("news"), Source: consent.FromImport, Evidence: fmt.Sprint("row ", i), OccurredAt: said(1),
			Proof: consent.Proof{Disclosure: "news"},
		})
	}
	entries = append(entries, entries[0])
	added, err := l.ImportConsent(t.Context(), entries, true)
	require.NoError(t, err)
	require.Equal(t, 1200, added, "what stands twice counts once")
	require.Zero(t, get[int](l, `select count(*) from consent`), "it was a rehearsal")
	_, err = l.ImportConsent(t.Context(), entries[:700], false)
	require.NoError(t, err)
	added, err = l.ImportConsent(t.Context(), entries, false)
	require.NoError(t, err)
	require.Equal(t, 500, added, "it goes on where it was")
	added, err = l.ImportConsent(t.Context(), entries, false)
	require.NoError(t, err)
	require.Zero(t, added, "a second run adds nothing")
	require.Equal(t, 1200, get[int](l, `select count(*) from consent where disclosure_hash = encode(sha256('news'), 'hex')`))
	states, err := l.Consent(t.Context(), []addr{"+14155550007"})
	require.NoError(t, err)
	require.True(t, states["+14155550007"].Granted(message.SMS, "news", false))
}
