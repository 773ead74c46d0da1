package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/beckonhq/beckon/internal/embedded/natsd"
	"github.com/beckonhq/beckon/internal/embedded/postgres"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// The simulated accounts. They are made up, and known to these processes only.
const (
	orgID        = "00D000000000007"
	accountSID   = "AC00000000000000000000000000000007"
	authToken    = "a-token-of-the-torture"
	smsFrom      = "+12125550198"
	whatsAppFrom = "+12125550199"
	whatsAppMark = "whatsapp:"
	contentSID   = "HX00000000000000000000000000000701"
)

// TwilioOptions are those of the process that plays Twilio.
type TwilioOptions struct {
	Address, Journal, InboundURL string
}

// ServeTwilio plays Twilio on an address until ctx ends. It remembers what it took in its journal. Opt-outs are left to
// Beckon: the simulator blocks nobody, so that a message to somebody who has opted out shows.
func ServeTwilio(ctx context.Context, o TwilioOptions) error {
	millis := func(least, most int) twiliosim.Delay {
		return twiliosim.Delay{Min: time.Duration(least) * time.Millisecond, Max: time.Duration(most) * time.Millisecond}
	}
	sim, err := twiliosim.New(twiliosim.Config{
		AccountSID: accountSID, AuthToken: authToken, InboundURL: o.InboundURL, Journal: o.Journal,
		Senders:   []string{smsFrom, whatsAppMark + whatsAppFrom},
		Templates: map[string]string{contentSID: "Beckon torture {{1}}"},
		Delays:    twiliosim.Delays{Answer: millis(10, 120), Sent: millis(50, 300), Delivered: millis(100, 800), Read: millis(100, 800)},
		OptOut:    twiliosim.OptOutOff, NoMagic: true, NoWindow: true, ReadReceipts: true,
		ListLag: reconcileAfter / 4, CallbackTimeout: callbackTimeout,
	})
	if err != nil {
		return err
	}
	defer sim.Close()
	var listening net.ListenConfig
	socket, err := listening.Listen(ctx, "tcp", o.Address)
	if err != nil {
		return fmt.Errorf("play Twilio: %w", err)
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: stopPatience}
	stop := context.AfterFunc(ctx, func() {
		sim.Close()
		_ = server.Close()
	})
	defer stop()
	if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("play Twilio: %w", err)
	}
	return nil
}

// NodeOptions are those of one NATS server.
type NodeOptions struct {
	Dir     string
	Cluster natsd.Cluster
	Log     *slog.Logger
}

// ServeNode runs a NATS server until ctx ends.
func ServeNode(ctx context.Context, o NodeOptions) error {
	server, err := natsd.Start(natsd.Config{Dir: o.Dir, Log: o.Log, Cluster: &o.Cluster}) //nolint:contextcheck // it lives until Shutdown, not as long as this call
	if err != nil {
		return err
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// KeepPostgres runs a Postgres server until ctx ends or input does, which is when the process that started this one has
// ended in whatever way. It writes the server's address, a secret, as one line of JSON to out.
func KeepPostgres(ctx context.Context, cfg postgres.Config, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	starting, done := context.WithTimeout(ctx, startPatience)
	server, err := postgres.Start(starting, cfg)
	done()
	if err != nil {
		return err
	}
	if err = json.NewEncoder(out).Encode(server.DSN()); err == nil {
		select {
		case <-ctx.Done():
		case <-server.Done():
			return server.Err()
		}
	}
	for _, pid := range stopBelow(syscall.Getpid()) { // whoever froze it may be gone
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), stopPatience/2)
	defer done()
	return errors.Join(err, server.Stop(stopping))
}
