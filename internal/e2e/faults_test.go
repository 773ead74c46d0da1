package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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
			{Name: "Id", Value: string(id("006", i))},
			{Name: "StageName", Value: "Closed Won"},
			{Name: "ContactId", Value: string(id("003", i))},
			{Name: "Contact_Mobile__c", Value: person(i)},
			{Name: "Contact_First_Name__c", Value: "Ada"},
			{Name: "Description", Value: hex.EncodeToString(noise)},
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

// The disk of the ledger is full: the door goes on, the router waits, and nothing is lost when there is room.
func TestDiskOfTheLedgerIsFull(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	dir := filepath.Join(h.dir, "data", "postgres")
	resize := tmpfs(t, dir, "300m")
	s := h.serve(t, "", "ready")
	h.accept(t, won(deal{1, 1, 1}))
	h.awaitState(t, person(1), "delivered")
	fill(t, filepath.Join(dir, "ballast"))
	n := 1
	require.Eventually(t, func() bool {
		n++
		h.accept(t, ballast(n, 1<<20))
		return strings.Contains(s.log.String(), "the router waits for what it depends on")
	}, patience, tick, "the ledger must be full")
	h.accept(t, won(deal{n + 1, n + 1, n + 1}))
	resize("2g")
	h.awaitAllTaken(t, n+1)
	s.await(t, "ready")
	s.terminate(t)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 1<<16))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// Postgres has no connection left: the door goes on, and the roles behind it wait until there is one.
func TestConnectionsOfTheLedgerAreUsedUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	world := &servers{
		natsAddress: freeAddress(t), natsDir: filepath.Join(h.dir, "nats"), postgresDir: filepath.Join(h.dir, "postgres"),
	}
	nats := world.startNATS(t)
	world.startPostgres(t)
	h.extra = []string{
		"BECKON_NATS_URL=nats://" + natsUser + ":" + natsPassword + "@" + world.natsAddress, "BECKON_NATS_SYNC=always", "BECKON_DATABASE_URL=" + world.postgres.DSN(),
	}
	_, code := h.command(t, "migrate")
	require.Zero(t, code)
	dsn, err := url.Parse(world.postgres.DSN())
	require.NoError(t, err)
	var held []net.Conn
	for range 400 { // twice max_connections and some are the most that the server bears
		conn, err := net.Dial("unix", filepath.Join(dsn.Query().Get("host"), ".s.PGSQL.5432"))
		if err != nil {
			break
		}
		held = append(held, conn)
	}
	ingest := h.serve(t, "ingest", "ready")
	h.accept(t, won(deal{1, 1, 1}))
	behind := h.serve(t, "router,dispatcher", "unavailable")
	require.Eventually(t, func() bool { return strings.Contains(behind.log.String(), "53300") }, patience, tick,
		"the server must have no connection left")
	require.True(t, behind.running())
	for _, conn := range held {
		_ = conn.Close()
	}
	behind.await(t, "ready")
	h.awaitState(t, person(1), "delivered")
	for _, p := range []*process{ingest.process, behind.process, nats} {
		p.terminate(t)
	}
}

// The process has no file descriptor left: nothing is acknowledged that is not stored, and it goes on by itself.
func TestFileDescriptorsAreUsedUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	limited := *h
	limited.bin = filepath.Join(h.dir, "limited")
	require.NoError(t, os.WriteFile(limited.bin, []byte("#!/bin/sh\nulimit -n 160\nexec "+h.bin+" \"$@\"\n"), 0o700))
	s := limited.serve(t, "", "ready")
	h.accept(t, won(deal{1, 1, 1}))
	h.awaitState(t, person(1), "delivered")
	var held []net.Conn
	for range 200 {
		conn, err := net.Dial("tcp", h.public)
		require.NoError(t, err, "the kernel takes them")
		held = append(held, conn)
	}
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "too many open files") }, patience, tick)
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := 2; i < 6; i++ {
		response, err := client.Post("http://"+h.public+door, "text/xml; charset=UTF-8", bytes.NewReader(won(deal{i, i, i})))
		if err != nil {
			continue // no answer is no acknowledgement
		}
		require.GreaterOrEqual(t, response.StatusCode, 500)
		require.NoError(t, response.Body.Close())
	}
	for _, conn := range held {
		_ = conn.Close()
	}
	for i := 2; i < 6; i++ {
		require.Eventually(t, func() bool { return h.offer(t, won(deal{i, i, i})) }, patience, tick, "it must go on")
	}
	h.awaitAllTaken(t, 5)
	s.await(t, "ready")
	s.terminate(t)
}

// The belt's disk is so slow that its server stands still for most of the time: everything takes longer, and is right.
func TestSlowBelt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	world := &servers{
		natsAddress: freeAddress(t), natsDir: filepath.Join(h.dir, "nats"), postgresDir: filepath.Join(h.dir, "postgres"),
	}
	nats := world.startNATS(t)
	h.extra = []string{
		"BECKON_NATS_URL=nats://" + natsUser + ":" + natsPassword + "@" + world.natsAddress, "BECKON_NATS_SYNC=always", "BECKON_CONFIRM_TIMEOUT=1s",
	}
	s := h.serve(t, "", "ready")
	slow, end := context.WithCancel(t.Context())
	var slowed sync.WaitGroup
	slowed.Go(func() {
		for ctx := slow; ctx.Err() == nil; {
			_ = nats.cmd.Process.Signal(syscall.SIGSTOP)
			wait(ctx, 700*time.Millisecond)
			_ = nats.cmd.Process.Signal(syscall.SIGCONT)
			wait(ctx, 100*time.Millisecond)
		}
	})
	const people = 100
	salesforce := h.salesforce(t, 1, people)
	salesforce()
	end()
	slowed.Wait()
	h.awaitAllTaken(t, people)
	s.terminate(t)
	nats.terminate(t)
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
