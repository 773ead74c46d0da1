package store_test

import (
	"fmt"
	"slices"
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
	_, added, err := l.ImportConsent(t.Context(), slices.Values(entries), true)
	require.NoError(t, err)
	require.Equal(t, 1200, added, "what stands twice counts once")
	require.Zero(t, get[int](l, `select count(*) from consent`), "it was a rehearsal")
	_, _, err = l.ImportConsent(t.Context(), slices.Values(entries[:700]), false)
	require.NoError(t, err)
	rows, added, err := l.ImportConsent(t.Context(), slices.Values(entries), false)
	require.NoError(t, err)
	require.Equal(t, 1201, rows)
	require.Equal(t, 500, added, "it goes on where it was")
	_, added, err = l.ImportConsent(t.Context(), slices.Values(entries), false)
	require.NoError(t, err)
	require.Zero(t, added, "a second run adds nothing")
	require.Equal(t, 1200, get[int](l, `select count(*) from consent where disclosure_hash = encode(sha256('news'), 'hex')`))
	states, err := l.Consent(t.Context(), []addr{"+14155550007"})
	require.NoError(t, err)
	require.True(t, states["+14155550007"].Granted(message.SMS, "news", false))
}

// The hash is that of the words as they are kept, whatever was given.
func TestDisclosureHashIsOfWhatIsKept(t *testing.T) {
	t.Parallel()
	l := open(t)
	e := optIn("form", "news")
	e.Proof.Disclosure, e.Evidence = "News\x00, S\xed", "form\x00 7"
	l.add(e)
	require.Equal(t, 1, get[int](l, `select count(*) from consent where disclosure <> '' and disclosure_hash = encode(sha256(convert_to(disclosure, 'UTF8')), 'hex')`))
}
