package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
)

// slowUpload opens a connection that announces a body, and sends the first bytes of it. It returns when the body is being
// read, which is what the server's interim answer says.
func slowUpload(t *testing.T, address string, announced int64) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		PathSalesforce, announced)
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue")
	_, err = conn.Write([]byte("<soapenv:Envelope"))
	require.NoError(t, err)
	return conn
}

// What senders only announce would be the whole budget here. It keeps nobody out.
func TestSlowUploadsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(stores), nil)
	address := h.url[len("http://"):]
	for range defaultMaxBytes / defaultMaxBody {
		slowUpload(t, address, defaultMaxBody)
	}
	h.post(t, envelope(t, testOrg, "1")).acked(t)
	padded := append(envelope(t, testOrg, "2"), bytes.Repeat([]byte(" "), 4<<20)...)
	h.post(t, padded).acked(t)
	require.Equal(t, http.StatusOK, h.callback(t, PathMessages, inboundForm(), token).status)
	require.Equal(t, http.StatusNoContent, h.callback(t, PathStatus, statusForm("sent", ""), token).status)
	require.Zero(t, h.refusals("busy"))
}

func TestEnvelopesAndCallbacksHaveBudgetsOfTheirOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(stores), nil)
	i := h.ingest
	require.True(t, i.bodies.budget.TryAcquire(i.cfg.MaxBytes))
	h.post(t, envelope(t, testOrg, "1")).fault(t, http.StatusServiceUnavailable, "Server")
	require.Equal(t, http.StatusOK, h.callback(t, PathMessages, inboundForm(), token).status)
	i.bodies.budget.Release(i.cfg.MaxBytes)
	require.True(t, i.callbacks.budget.TryAcquire(maxCallbackBytes))
	h.post(t, envelope(t, testOrg, "1")).acked(t)
	refused := h.callback(t, PathMessages, inboundForm(), token)
	require.Equal(t, http.StatusServiceUnavailable, refused.status)
	require.NotEmpty(t, refused.header.Get("Retry-After"))
}

// upload is a request whose body has a size, and announces a length or none (-1).
func upload(t *testing.T, body io.Reader, announced int64) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.ContentLength = announced
	return r
}

func (b *bodies) allGivenBack(t *testing.T, budget int64, name string) {
	t.Helper()
	require.True(t, b.budget.TryAcquire(budget), "%s: everything is given back", name)
	b.budget.Release(budget)
}

func TestBodySizes(t *testing.T) {
	t.Parallel()
	const limit, budget = 1 << 20, 2 << 20
	b := newBodies(budget)
	for _, size := range []int{0, 1, firstChunk - 1, firstChunk, firstChunk + 1, 3 * firstChunk, limit - 1, limit, limit + 1, 3 * limit} {
		for _, announced := range []int64{int64(size), -1} {
			name := fmt.Sprintf("%d bytes, %d announced", size, announced)
			want := bytes.Repeat([]byte("beckon"), size/6+1)[:size]
			got, release, err := b.read(upload(t, iotest.HalfReader(bytes.NewReader(want)), announced), limit)
			if size > limit {
				require.ErrorIs(t, err, errTooLarge, name)
				b.allGivenBack(t, budget, name)
				continue
			}
			require.NoError(t, err, name)
			require.True(t, bytes.Equal(want, got), name)
			require.Equal(t, size == 0 && announced == 0, b.budget.TryAcquire(budget), "%s: reserved until it is released", name)
			if size == 0 && announced == 0 {
				b.budget.Release(budget)
			}
			release()
			b.allGivenBack(t, budget, name)
		}
	}
}

func TestBodiesThatFailGiveTheirMemoryBack(t *testing.T) {
	t.Parallel()
	const limit, budget = 1 << 20, 512 << 10
	broken := errors.New("the line is dead")
	half := bytes.Repeat([]byte("x"), 300<<10)
	for name, c := range map[string]struct {
		body      io.Reader
		announced int64
		want      error
	}{
		"announced too much":      {bytes.NewReader(nil), limit + 1, errTooLarge},
		"dead at once":            {iotest.ErrReader(broken), -1, broken},
		"dead half-way":           {io.MultiReader(bytes.NewReader(half), iotest.ErrReader(broken)), limit, broken},
		"dead half-way, sizeless": {io.MultiReader(bytes.NewReader(half), iotest.ErrReader(broken)), -1, broken},
		"ended early":             {io.MultiReader(bytes.NewReader(half), iotest.ErrReader(io.ErrUnexpectedEOF)), limit, errUnreadable},
		"more than the budget":    {bytes.NewReader(make([]byte, limit)), limit, errBusy},
		"more, sizeless":          {bytes.NewReader(make([]byte, limit)), -1, errBusy},
	} {
		b := newBodies(budget)
		_, release, err := b.read(upload(t, c.body, c.announced), limit)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, release, name)
		b.allGivenBack(t, budget, name)
	}
	full := newBodies(budget)
	require.True(t, full.budget.TryAcquire(budget))
	_, _, err := full.read(upload(t, bytes.NewReader(half), -1), limit)
	require.ErrorIs(t, err, errBusy)
}

// meter looks at each read how much is reserved for what has come.
type meter struct {
	t       *testing.T
	bodies  *bodies
	budget  int64
	arrived int64
	left    int64
}

func (m *meter) Read(p []byte) (int, error) {
	most := max(firstChunk, 2*m.arrived)
	require.True(m.t, m.bodies.budget.TryAcquire(m.budget-most), "%d bytes came, more than %d are reserved", m.arrived, most)
	m.bodies.budget.Release(m.budget - most)
	n := min(int64(len(p)), m.left, 10_000)
	m.arrived, m.left = m.arrived+n, m.left-n
	if m.left == 0 {
		return int(n), io.EOF
	}
	return int(n), nil
}

func TestAtMostTwiceWhatArrivedIsReserved(t *testing.T) {
	t.Parallel()
	const limit, budget, size = 4 << 20, 16 << 20, 3 << 20
	for _, announced := range []int64{-1, size} {
		b := newBodies(budget)
		got, release, err := b.read(upload(t, &meter{t: t, bodies: b, budget: budget, left: size}, announced), limit)
		require.NoError(t, err)
		require.Len(t, got, size)
		release()
		b.allGivenBack(t, budget, "")
	}
}

// hastyListener makes connections on which a deadline of tomorrow is one of an instant.
type hastyListener struct {
	net.Listener

	instant time.Duration
}

func (l hastyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &hastyConn{conn, l.instant}, err
}

type hastyConn struct {
	net.Conn

	instant time.Duration
}

func (c *hastyConn) SetReadDeadline(at time.Time) error {
	if left := time.Until(at); left > 0 {
		if left > bodyTimeout {
			return errors.New("that is too long")
		}
		at = time.Now().Add(c.instant)
	}
	return c.Conn.SetReadDeadline(at)
}

// hurry serves the house's door on such connections.
func (h *house) hurry(t *testing.T, instant time.Duration) (address string) {
	t.Helper()
	e := echo.New()
	h.ingest.Mount(e)
	srv := httptest.NewUnstartedServer(e)
	srv.Listener = hastyListener{srv.Listener, instant}
	srv.Start()
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return srv.Listener.Addr().String()
}

func TestATrickledBodyIsCutOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(stores), nil)
	conn := slowUpload(t, h.hurry(t, 50*time.Millisecond), defaultMaxBody)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "HTTP/1.1 408")
	require.Contains(t, string(answer), "soapenv:Server")
	require.InEpsilon(t, 1.0, h.refusals("unreadable"), 0)
	h.ingest.bodies.allGivenBack(t, h.ingest.cfg.MaxBytes, "cut off")
	h.post(t, envelope(t, testOrg, "1")).acked(t)
}

// The deadline is the body's alone: what is stored slowly after it is not given up.
func TestTheDeadlineEndsWithTheBody(t *testing.T) {
	t.Parallel()
	const instant = 100 * time.Millisecond
	h := newHouse(t, fakePublisher(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(4 * instant):
			return nil
		}
	}), nil)
	h.hurry(t, instant)
	h.post(t, envelope(t, testOrg, "1")).acked(t)
	require.Equal(t, http.StatusOK, h.callback(t, PathMessages, inboundForm(), token).status)
	require.Equal(t, http.StatusNoContent, h.callback(t, PathStatus, statusForm("sent", ""), token).status)
}
