package torture

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a server that hands out its connections.
func upstream(t *testing.T) (address string, accepted <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conns := make(chan net.Conn, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String(), conns
}

// edge is a proxy with one connection through it.
func edge(t *testing.T) (p *proxy, client, server net.Conn) {
	t.Helper()
	address, accepted := upstream(t)
	p, err := newProxy(t.Context(), "a>b", address)
	require.NoError(t, err)
	t.Cleanup(p.close)
	client, err = net.Dial("tcp", p.address())
	require.NoError(t, err)
	server = <-accepted
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	for _, conn := range []net.Conn{client, server} {
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	}
	return p, client, server
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text+"\n")
	require.NoError(t, err)
}

func hear(t *testing.T, conn net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	return line[:len(line)-1]
}

// silent demands that nothing comes for a moment.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), "%v", err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
}

func TestProxyPassesBothWaysAndTheEnd(t *testing.T) {
	t.Parallel()
	_, client, server := edge(t)
	say(t, client, "up")
	require.Equal(t, "up", hear(t, server))
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	_, err := server.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	say(t, server, "down")
	require.Equal(t, "down", hear(t, client), "the other way goes on")
}

func TestBlackholeHoldsOneWayAndLetsGo(t *testing.T) {
	t.Parallel()
	p, client, server := edge(t)
	p.set(weather{up: true})
	say(t, client, "up")
	say(t, server, "down")
	require.Equal(t, "down", hear(t, client))
	silent(t, server)
	p.set(weather{})
	require.Equal(t, "up", hear(t, server))
}

// What a client has given up never reaches the server: else a time-out at Twilio would send late and twice.
func TestBlackholeDropsWhatItsSenderGaveUp(t *testing.T) {
	t.Parallel()
	p, client, server := edge(t)
	p.set(weather{up: true})
	say(t, client, "up")
	silent(t, server)
	require.NoError(t, client.Close())
	_, err := server.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF, "it is a reset, not an orderly end")
	p.set(weather{})
}

func TestCutResetsAndRefuses(t *testing.T) {
	t.Parallel()
	p, client, server := edge(t)
	p.set(weather{refuse: true})
	p.cut()
	for _, conn := range []net.Conn{client, server} {
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
	}
	again, err := net.Dial("tcp", p.address())
	if err == nil { // accepted by the kernel, and closed at once
		_, err = again.Read(make([]byte, 1))
		_ = again.Close()
	}
	require.Error(t, err)
	p.set(weather{})
	last, err := net.Dial("tcp", p.address())
	require.NoError(t, err)
	say(t, last, "x")
	require.NoError(t, last.Close())
}

func TestSlowDelaysEachPiece(t *testing.T) {
	t.Parallel()
	p, client, server := edge(t)
	p.set(weather{delay: 100 * time.Millisecond})
	began := time.Now()
	say(t, client, "up")
	require.Equal(t, "up", hear(t, server))
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
}
