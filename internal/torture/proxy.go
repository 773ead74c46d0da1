package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// held is how many bytes a blackhole keeps for each direction of a connection before it stops reading, as the buffers of a
// network do.
const held = 1 << 20

// weather is what a proxy does to the connections that go through it.
type weather struct {
	refuse bool          // new connections are closed at once
	up     bool          // bytes from the client are held
	down   bool          // bytes to the client are held
	delay  time.Duration // each piece waits so long
}

// proxy is one edge of the map: it listens on an address and passes bytes to a target. Its weather can be changed while
// connections are open.
//
// A blackhole keeps the bytes and lets them go when it ends, as TCP's retransmission does after a short outage. When one
// end gives up meanwhile, what is held is dropped and both ends are reset: nothing reaches a server that its client has
// given up. (A proxy that only paused would deliver it minutes later, which no network does to a socket that was closed.)
type proxy struct {
	name     string
	target   string // host:port, or the path of a Unix socket
	listener net.Listener

	mu      sync.Mutex
	weather weather
	changed chan struct{} // closed and replaced when the weather changes
	open    map[*link]struct{}
	closed  bool
	wg      sync.WaitGroup
}

// link is one connection through a proxy.
type link struct {
	client, server net.Conn
	once           sync.Once
	dead           chan struct{}
}

// newProxy listens on a free port of 127.0.0.1.
func newProxy(ctx context.Context, name, target string) (*proxy, error) {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the edge %s: %w", name, err)
	}
	p := &proxy{name: name, target: target, listener: listener, changed: make(chan struct{}), open: map[*link]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// set changes the weather.
func (p *proxy) set(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
}

// cut resets every open connection.
func (p *proxy) cut() {
	for _, l := range p.links() {
		l.reset()
	}
}

func (p *proxy) links() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*link, 0, len(p.open))
	for l := range p.open {
		all = append(all, l)
	}
	return all
}

// close ends the listener and all connections, and waits for them.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.cut()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files, for a moment
			continue
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	if p.sky().weather.refuse {
		drop(client)
		return
	}
	network := "tcp"
	if p.target != "" && p.target[0] == '/' {
		network = "unix"
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(context.Background(), network, p.target) // the edge lives longer than any call
	if err != nil {
		drop(client)
		return
	}
	l := &link{client: client, server: server, dead: make(chan struct{})}
	if !p.register(l) {
		l.reset()
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, client, server, func(w weather) bool { return w.up }) })
	pumps.Go(func() { p.pump(l, server, client, func(w weather) bool { return w.down }) })
	pumps.Wait()
	l.reset()
	p.mu.Lock()
	delete(p.open, l)
	p.mu.Unlock()
}

// register adds a link, unless connections are refused by now.
func (p *proxy) register(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.weather.refuse {
		return false
	}
	p.open[l] = struct{}{}
	return true
}

// forecast is the weather and the news of its change.
type forecast struct {
	weather weather
	changed <-chan struct{}
}

func (p *proxy) sky() forecast {
	p.mu.Lock()
	defer p.mu.Unlock()
	return forecast{p.weather, p.changed}
}

// pump passes bytes one way. Reading goes on while they are held, so that an end that gives up is noticed.
func (p *proxy) pump(l *link, from, to net.Conn, holds func(weather) bool) {
	pieces := make(chan []byte)
	ended := make(chan error, 1)
	go func() { ended <- read(l, from, pieces) }()
	var waiting [][]byte
	size := 0
	var eof bool
	for !eof || len(waiting) > 0 {
		now := p.sky()
		hold := holds(now.weather)
		if eof && hold { // it gave up while its bytes were held: they are lost
			l.reset()
			break
		}
		if !hold && len(waiting) > 0 {
			if !l.pause(now.weather.delay) || !write(l, to, waiting[0]) {
				break
			}
			size -= len(waiting[0])
			waiting = waiting[1:]
			continue
		}
		next := pieces
		if eof || size >= held {
			next = nil
		}
		select {
		case piece := <-next:
			waiting, size = append(waiting, piece), size+len(piece)
		case err := <-ended:
			if eof = true; err != nil && !errors.Is(err, io.EOF) {
				l.reset()
			}
		case <-now.changed:
		case <-l.dead:
		}
		if l.isDead() {
			break
		}
	}
	if !l.isDead() {
		halfClose(to)
	}
}

// read hands out what comes until the end; the error is io.EOF for an orderly one.
func read(l *link, from net.Conn, pieces chan<- []byte) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			select {
			case pieces <- append([]byte(nil), buffer[:n]...):
			case <-l.dead:
				return net.ErrClosed
			}
		}
		if err != nil {
			return err
		}
	}
}

func write(l *link, to net.Conn, piece []byte) bool {
	if _, err := to.Write(piece); err != nil {
		l.reset()
		return false
	}
	return true
}

// pause waits for the delay; false when the link ended meanwhile.
func (l *link) pause(delay time.Duration) bool {
	if delay <= 0 {
		return !l.isDead()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.dead:
		return false
	}
}

func (l *link) isDead() bool { return isClosed(l.dead) }

// reset closes both ends so that the peers see a reset and no orderly end.
func (l *link) reset() {
	l.once.Do(func() {
		close(l.dead)
		drop(l.client)
		drop(l.server)
	})
}

func drop(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func halfClose(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
