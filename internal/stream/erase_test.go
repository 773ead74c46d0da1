package stream

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

func TestErase(t *testing.T) {
	t.Parallel()
	c := start(t)
	const person = address.Address("+14155550123")
	fits := regexp.MustCompile(person.Pattern()).MatchString
	for i, phone := range []string{"+14155550123", "(415) 555-0123", "+14155550124", "415.555.0123"} {
		require.NoError(t, c.PublishNotification(t.Context(), envelope(strconv.Itoa(i)), []byte("<Phone>"+phone+"</Phone><Id>006</Id>")))
	}
	c.finish(t, 3, 3)
	require.NoError(t, c.PublishCallback(t.Context(), KindInbound, "IN1", nil, []byte("From=%2B14155550123&Body=hi")))
	require.NoError(t, c.DeadLetter(t.Context(), DeadLetter{Stream: Notifications, Seq: 1, Data: []byte("415 555 0123")}))

	done, err := c.Erase(t.Context(), Notifications, 2, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 2, Waiting: 1, Bounded: true}, done, "the newest two: somebody else's, and one that waits")
	done, err = c.Erase(t.Context(), Notifications, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 4, Removed: 2, Waiting: 1}, done)
	done, err = c.Erase(t.Context(), Callbacks, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 1, Waiting: 1}, done)
	done, err = c.Erase(t.Context(), DeadLetters, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 1, Removed: 1}, done)
	c.finish(t, 1, 4)
	done, err = c.Erase(t.Context(), Notifications, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 2, Removed: 1}, done, "worked on by now")
}

// What was erased is in no file of the server any more, as text or compressed.
func TestErasedIsNotOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := streamtest.StartServer(t, dir, 8<<20)
	c := open(t, server.Connect(t), Options{})
	const person = address.Address("+14155550123")
	var noise strings.Builder // so that compression leaves a large part as it is
	for seed := uint64(1); noise.Len() < 40_000; seed = seed*6364136223846793005 + 1442695040888963407 {
		noise.WriteString(strconv.FormatUint(seed, 36))
	}
	large := "<Phone>+14155550123</Phone><Note>" + noise.String() + "</Note>" + strings.Repeat("<Name>Ana</Name>", 2000)
	for i, body := range []string{"<Phone>+14155550123</Phone>", large, "<Phone>+14155550124</Phone>"} {
		require.NoError(t, c.PublishNotification(t.Context(), envelope(strconv.Itoa(i)), []byte(body)))
	}
	require.NoError(t, c.PublishCallback(t.Context(), KindInbound, "IN1", nil, []byte("From=%2B14155550123&Body=hi")))
	require.NoError(t, c.DeadLetter(t.Context(), DeadLetter{Stream: Notifications, Seq: 1, Data: []byte("415 555 0123")}))
	stream, err := c.js.Stream(t.Context(), string(Notifications))
	require.NoError(t, err)
	raw, err := stream.GetMsg(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, "zstd", raw.Header.Get(HeaderEncoding))
	traces := [][]byte{[]byte("4155550123"), []byte("415 555 0123"), raw.Data[10_000:10_064]}
	c.finish(t, 3, 3)
	inbound := c.Consumer(Inbound)
	deliveries, err := inbound.Fetch(t.Context(), 10)
	require.NoError(t, err)
	for _, d := range deliveries {
		require.NoError(t, d.Ack())
	}
	require.Eventually(t, func() bool {
		floor, err := inbound.AckFloor(t.Context())
		return err == nil && floor == 1
	}, 20*time.Second, 10*time.Millisecond)

	for _, trace := range traces {
		require.NotZero(t, onDisk(t, dir, trace), "the test finds it while it is there: %q", trace)
	}
	fits := regexp.MustCompile(person.Pattern()).MatchString
	var found []Found
	for _, name := range []Name{Notifications, Callbacks, DeadLetters} {
		bounded, err := c.Find(t.Context(), name, 100, fits, func(one Found) error { found = append(found, one); return nil })
		require.NoError(t, err)
		require.False(t, bounded)
	}
	require.Len(t, found, 4)
	require.Equal(t, large, string(found[1].Data))
	require.Equal(t, Callbacks, found[2].Stream)
	for name, n := range map[Name]int{Notifications: 2, Callbacks: 1, DeadLetters: 1} {
		done, err := c.Erase(t.Context(), name, 100, fits)
		require.NoError(t, err)
		require.Equal(t, n, done.Removed, name)
		require.Zero(t, done.Waiting, name)
		done, err = c.Erase(t.Context(), name, 100, fits)
		require.NoError(t, err)
		require.False(t, done.Bounded, "an empty stream is looked at whole")
	}
	c.Close()
	server.Stop()
	for _, trace := range traces {
		require.Zero(t, onDisk(t, dir, trace), "%q", trace)
	}
	require.NotZero(t, onDisk(t, dir, []byte("4155550124")), "others stay")
}

// onDisk is how many files of a folder have a text in them.
func onDisk(t *testing.T, dir string, text []byte) int {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, text) {
			n++
		}
		return err
	}))
	return n
}
