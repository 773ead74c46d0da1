package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
	"github.com/beckonhq/beckon/internal/embedded/natsd"
)

func TestClosersEndEveryPartInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, log := options(nil)
		c := closers{log: opts.Log}
		var ended []string
		add := func(name string, end func(context.Context) error) {
			c.add(name, func(ctx context.Context) error { ended = append(ended, name); return end(ctx) })
		}
		good := func(context.Context) error { return nil }
		add("one", good)
		add("two", good)
		add("failing", func(context.Context) error { return errors.New("it does not want to") })
		add("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		add("five", func(ctx context.Context) error { return ctx.Err() })
		c.first("two")
		c.first("not there")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c.close(ctx)
		want := []string{"two", "five", "slow", "failing", "one"}
		require.Equal(t, want, ended)
		require.Equal(t, []string{"two", "five", "one"}, log.parts(t, "stopped"))
		require.Equal(t, []string{"slow", "failing"}, log.parts(t, "stopped with an error"))
		c.close(ctx)
		require.Equal(t, want, ended, "each once")
	})
}

func TestStopEndsPartsInOrder(t *testing.T) {
	t.Parallel()
	h := start(t, withPostgres(t), config.Roles()...)
	h.healthy()
	a, err := embedded.ReadAddresses(h.cfg.DataDir)
	require.NoError(t, err)
	require.Equal(t, h.AdminURL(), a.AdminURL)
	require.NotEmpty(t, a.NATSToken)
	require.NoError(t, h.stop())
	require.Equal(t, []string{
		publicListener, "address file", "roles", "questions about files", "connections to Twilio", "life marks", "database connections", "streams", privateListener,
		"NATS connection", "NATS server", "data directory",
	}, h.log.parts(t, "stopped"))
	require.Empty(t, h.log.parts(t, "stopped with an error"))
	_, err = embedded.ReadAddresses(h.cfg.DataDir)
	require.ErrorIs(t, err, embedded.ErrNotRunning)
	unlocked(t, h.cfg.DataDir)
}

func unlocked(t *testing.T, dir string) {
	t.Helper()
	lock, err := embedded.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, lock.Release())
}

func socket(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A start that fails half-way leaves nothing behind: the same directory starts again.
func TestStartThatFailsClosesWhatItOpened(t *testing.T) {
	t.Parallel()
	busy := socket(t).Addr().String()
	for name, c := range map[string]struct{ setting, want string }{
		"the public port is taken":  {"BECKON_HTTP_ADDR=" + busy, "start the public listener: listen on " + busy},
		"the private port is taken": {"BECKON_ADMIN_ADDR=" + busy, "start the private listener: listen on " + busy},
		"there are no rules":        {"BECKON_RULES_DIR=" + t.TempDir() + "/none", "load the rules: "},
		"the database URL is wrong": {"BECKON_DATABASE_URL=postgres://h/d?pool_max_conns=x", "start the Postgres: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := "BECKON_DATA_DIR=" + t.TempDir()
			cfg := settings(t, dir, c.setting)
			opts, log := options(cfg, config.Roles()...)
			_, err := Start(t.Context(), opts)
			require.ErrorContains(t, err, c.want)
			require.Empty(t, log.parts(t, "stopped with an error"))
			unlocked(t, cfg.DataDir)
			require.NoFileExists(t, filepath.Join(cfg.DataDir, "beckon.addresses.json"))
			require.NoError(t, start(t, settings(t, dir), config.RoleIngest).stop())
		})
	}
}

func TestADataDirectoryIsOneProcesss(t *testing.T) {
	t.Parallel()
	h := start(t, settings(t), config.RoleIngest)
	opts, _ := options(settings(t, "BECKON_DATA_DIR="+h.cfg.DataDir), config.RoleIngest)
	_, err := Start(t.Context(), opts)
	require.ErrorIs(t, err, embedded.ErrInUse)
	require.Equal(t, 200, h.admin("/readyz", nil), "the first one does not notice")
}

// With servers of its operator's it needs no directory, and two processes share the work.
func TestTwoProcessesShareANATS(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	nats := "BECKON_NATS_URL=" + server.URL()
	door := start(t, settings(t, nats), config.RoleIngest)
	work := start(t, withPostgres(t, nats), config.RoleRouter, config.RoleDispatcher)
	door.healthy()
	work.healthy()
	require.NoFileExists(t, filepath.Join(door.cfg.DataDir, "beckon.lock"))
	_, err = embedded.ReadAddresses(work.cfg.DataDir)
	require.ErrorIs(t, err, embedded.ErrNotRunning)
}

// A NATS that is away at the start is waited for, until somebody ends the wait.
func TestStartWaitsForNATS(t *testing.T) {
	t.Parallel()
	cfg := settings(t, "BECKON_NATS_URL=nats://127.0.0.1:1")
	opts, log := options(cfg, config.RoleIngest)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Start(ctx, opts)
		ended <- err
	}()
	require.Eventually(t, func() bool { return len(log.parts(t, "waiting for a part that does not answer")) == 1 }, patience, tick)
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "start the NATS")
	case <-time.After(patience):
		require.Fail(t, "the start does not end")
	}
}

func TestRunEndsWithoutAnErrorWhenAsked(t *testing.T) {
	t.Parallel()
	opts, log := options(settings(t), config.RoleIngest)
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	require.NoError(t, Run(ctx, opts, func(a *App) {
		asked++
		require.NotEmpty(t, a.URL())
		cancel()
	}))
	require.Equal(t, 1, asked)
	require.Contains(t, log.parts(t, "stopped"), publicListener, "in order, although ctx has ended")
}

// A part that fails for good ends the process, and the error names it.
func TestRunEndsWhenAPartFails(t *testing.T) {
	t.Parallel()
	opts, _ := options(settings(t), config.RoleIngest)
	opts.Public = socket(t)
	err := Run(t.Context(), opts, func(*App) { _ = opts.Public.Close() })
	require.ErrorContains(t, err, publicListener)
	require.ErrorIs(t, err, net.ErrClosed)
	unlocked(t, opts.Config.DataDir)
}

func TestStopTellsWhyAPartFailed(t *testing.T) {
	t.Parallel()
	opts, _ := options(settings(t), config.RoleIngest)
	broken := errors.New("broken")
	err := Run(t.Context(), opts, func(a *App) {
		a.work.Go(func() error { return broken })
		<-a.finished
		require.Equal(t, 200, statusOf(t, a.AdminURL()+"/healthz"), "until Stop everything else works on")
	})
	require.ErrorIs(t, err, broken)
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get(url)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// A part that does not end is left behind after the shutdown time and a little more.
func TestStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	opts, _ := options(settings(t, "BECKON_SHUTDOWN_TIMEOUT=100ms"), config.RoleIngest)
	a, err := Start(t.Context(), opts)
	require.NoError(t, err)
	never := make(chan struct{})
	t.Cleanup(func() { close(never); _ = a.work.Wait() })
	a.work.Go(func() error { <-never; return nil })
	require.ErrorContains(t, a.Stop(t.Context()), "did not stop in time")
	unlocked(t, opts.Config.DataDir)
}

// A request in progress is finished before the listener is closed.
func TestStopFinishesRequests(t *testing.T) {
	t.Parallel()
	h := start(t, settings(t), config.RoleIngest)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.public.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte("POST /salesforce/outbound-messages HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"))
	require.NoError(t, err)
	buffer := make([]byte, 256)
	n, err := conn.Read(buffer)
	require.NoError(t, err)
	require.Contains(t, string(buffer[:n]), "100 Continue", "the handler reads the body now")
	stopped := make(chan error, 1)
	go func() { stopped <- h.stop() }()
	require.Eventually(t, func() bool {
		late, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.public.Addr().String())
		if err == nil {
			_ = late.Close()
		}
		return err != nil
	}, patience, tick, "nothing new is taken")
	_, err = conn.Write([]byte("<a/>"))
	require.NoError(t, err)
	n, err = conn.Read(buffer)
	require.NoError(t, err)
	require.Contains(t, string(buffer[:n]), "HTTP/1.1 400")
	require.NoError(t, <-stopped)
}
