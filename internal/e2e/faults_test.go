package e2e_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
)

// tmpfs mounts a file system of its own, of a size that it is full soon. resize gives it another size while it is in use.
func tmpfs(t *testing.T, dir, size string) (resize func(size string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root may mount a small file system to fill it; run the tests as root to see what a full disk does")
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+size); err != nil {
		t.Skipf("SKIPPED: no file system can be mounted here (%v); what a full disk does is not tested", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return func(size string) {
		require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size))
	}
}

// ballast is a won deal in an envelope of some size that does not shrink much when it is compressed.
func ballast(i, size int) []byte {
	noise := make([]byte, size/2)
	_, _ = rand.Read(noise)
	e := &notification.Envelope{Org: org, Action: id("04k", 1), Object: object, Notifications: []notification.Notification{{
		ID: id("04l", i), RecordID: id("006", i), Fields: []notification.Field{
			{Name: "Id", Value: string(id("006", i))}, {Name: "StageName", Value: "Closed Won"}, {Name: "ContactId", Value: string(id("003", i))},
			{Name: "Contact_Mobile__c", Value: person(i)}, {Name: "Contact_First_Name__c", Value: "Ada"},
			{Name: "Description", Value: fmt.Sprintf("%x", noise)},
		},
	}}}
	var out bytes.Buffer
	if err := salesforce.Encode(&out, salesforce.EnvelopeSpec{Envelope: e}); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// offer posts an envelope, and tells whether it was acknowledged. Anything else must be an answer upon which Salesforce tries
// again.
func (h *house) offer(t *testing.T, body []byte) bool {
	t.Helper()
	status, text := h.post(t, door, body)
	if status == http.StatusOK {
		require.Contains(t, text, "<Ack>true</Ack>")
		return true
	}
	require.NotContains(t, text, "<Ack>true")
	require.GreaterOrEqual(t, status, 500, text)
	return false
}

// The disk of the belt is full: nothing is acknowledged that is not stored, and it goes on by itself when there is room.
func TestDiskOfTheBeltIsFull(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.extra = []string{"BECKON_CONFIRM_TIMEOUT=2s"}
	resize := tmpfs(t, filepath.Join(h.dir, "data", "nats"), "12m")
	s := h.serve(t, "", "ready")
	n := 0
	for h.offer(t, ballast(n+1, 1<<20)) {
		n++
		require.Less(t, n, 100, "the disk does not get full")
	}
	require.Positive(t, n)
	for range 3 {
		require.False(t, h.offer(t, ballast(n+1, 1<<20)))
	}
	s.await(t, "unavailable")
	t.Logf("%d envelopes fit", n)
	resize("256m")
	require.Eventually(t, func() bool { return h.offer(t, ballast(n+1, 1<<20)) }, patience, 10*tick, "it must go on when there is room")
	s.await(t, "ready")
	h.awaitAllTaken(t, n+1)
	s.terminate(t)
	require.NotContains(t, strings.ToLower(s.log.String()), "panic")
}
