package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/ingest"
	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/telemetry"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const (
	simulatorAddr = "127.0.0.1:8010"
	// What is played when nothing is configured. Both are made up and public.
	madeUpAccount = "AC00000000000000000000000000000001"
	madeUpToken   = "made-up-token"

	phoneTick     = 100 * time.Millisecond
	simulatorStop = 3 * time.Second
	headerTimeout = 10 * time.Second
)

func (r *root) simulate() *cobra.Command {
	return group("simulate", "Play Salesforce or Twilio, to try things out", r.simulateSalesforce(), r.simulateTwilio())
}

// lines writes whole lines from several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.w, format+"\n", args...)
}

// stamped writes a line that begins with the time.
func (l *lines) stamped(format string, args ...any) {
	l.printf("%s  %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// twilioFlags are the flags of simulate twilio.
type twilioFlags struct {
	addr, journal string
	show, fast    bool
	templates     []string
}

func (r *root) simulateTwilio() *cobra.Command {
	var flags twilioFlags
	cmd := &cobra.Command{
		Use:   "twilio",
		Short: "Play Twilio: take messages, report deliveries, and show what the phones show",
		Long: "Play Twilio's messaging API until Ctrl-C. Messages are shown as they arrive at the made-up phones; status callbacks\n" +
			"and replies are signed and posted as Twilio does. The account comes from TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN;\n" +
			"replies go to BECKON_PUBLIC_URL. Point beckon serve to it with BECKON_TWILIO_API_URL.\n\n" +
			"It has endpoints of its own, without any authentication: GET /_sim/messages, GET /_sim/stats, POST /_sim/inbound\n" +
			"(a reply), POST /_sim/media (a picture or file for one) and POST /_sim/faults (the next calls go wrong).",
		Example: "  beckon simulate twilio\n  beckon simulate twilio --addr 127.0.0.1:8010 --show --fast",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := r.load()
			if err != nil {
				return err
			}
			for _, t := range flags.templates {
				if !strings.HasPrefix(t, "HX") || !strings.Contains(t, "=") {
					return usagef("--template %s: want HX...=text", t)
				}
			}
			return r.playTwilio(cmd.Context(), cfg, flags)
		},
	}
	cmd.Flags().StringVar(&flags.addr, "addr", simulatorAddr, "where to listen, host:port")
	cmd.Flags().BoolVar(&flags.show, "show", false, "show whole phone numbers")
	cmd.Flags().BoolVar(&flags.fast, "fast", false, "deliver at once, not with the delays of a real network")
	cmd.Flags().StringVar(&flags.journal, "journal", "", "remember the messages in this file, for the next start too")
	cmd.Flags().StringArrayVar(&flags.templates, "template", nil,
		"an approved WhatsApp template, HX...=text with {{1}}; repeat it for more. With any, no other exists")
	cmd.AddCommand(r.simulateReply())
	return cmd
}

// twilioConfig plays the configured account, or a made-up one.
func (r *root) twilioConfig(cfg *config.Config, flags twilioFlags) twiliosim.Config {
	sim := twiliosim.Config{
		AccountSID: cfg.Twilio.AccountSID, APIKeys: map[string]string{}, ReadReceipts: true, Journal: flags.journal,
		Log: telemetry.NewLogger(r.streams.Err, cfg.Log.Level, cfg.Log.Format),
	}
	if sim.AccountSID == "" {
		sim.AccountSID = madeUpAccount
	}
	sim.AuthToken = madeUpToken
	if len(cfg.Twilio.AuthTokens) > 0 {
		sim.AuthToken = cfg.Twilio.AuthTokens[0].Reveal()
	}
	if cfg.Twilio.APIKey != "" {
		sim.APIKeys[cfg.Twilio.APIKey] = cfg.Twilio.APISecret.Reveal()
	}
	if cfg.HTTP.PublicURL != "" {
		sim.InboundURL = cfg.HTTP.PublicURL + ingest.PathMessages
	}
	for _, t := range flags.templates {
		if sim.Templates == nil {
			sim.Templates = map[string]string{}
		}
		sid, text, _ := strings.Cut(t, "=")
		sim.Templates[sid] = text
	}
	if !flags.fast {
		sim.Delays = twiliosim.RealisticDelays()
	}
	return sim
}

func (r *root) playTwilio(ctx context.Context, cfg *config.Config, flags twilioFlags) error {
	var listening net.ListenConfig
	socket, err := listening.Listen(ctx, "tcp", flags.addr)
	if err != nil {
		return fmt.Errorf("play Twilio: %w", err)
	}
	settings := r.twilioConfig(cfg, flags)
	sim, err := twiliosim.New(settings)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	defer sim.Close()
	out := &lines{w: r.streams.Out}
	out.printf("Twilio is played on %s: give beckon serve BECKON_TWILIO_API_URL=%s", socket.Addr(), localURL(socket.Addr().String()))
	if cfg.Twilio.AccountSID == "" || len(cfg.Twilio.AuthTokens) == 0 {
		out.printf("it plays the account TWILIO_ACCOUNT_SID=%s%s", settings.AccountSID, madeUp(settings.AuthToken))
	}
	if settings.InboundURL == "" {
		out.printf("replies are only recorded: set BECKON_PUBLIC_URL to have them posted")
	}
	out.printf("reply with: beckon simulate twilio reply --addr %s --from NUMBER --body STOP (or POST /_sim/inbound)", socket.Addr())

	server := &http.Server{Handler: sim, ReadHeaderTimeout: headerTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(socket) }()
	phones := phones{sim: sim, out: out, show: flags.show}
	ticker := time.NewTicker(phoneTick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			phones.look()
		case err := <-served:
			return fmt.Errorf("play Twilio: %w", err)
		case <-ctx.Done():
			sim.Close() // ends the calls that hang on purpose
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), simulatorStop)
			defer cancel()
			if server.Shutdown(limited) != nil {
				_ = server.Close()
			}
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("play Twilio: %w", err)
			}
			phones.look()
			stats := sim.Stats()
			out.printf("stopped: %s, %s of which %d failed", plural(int(stats.Created), "message"), plural(int(stats.Callbacks), "callback"),
				stats.CallbacksFailed)
			return nil
		}
	}
}

// madeUp shows the token only when it is the public one of this program.
func madeUp(token string) string {
	if token != madeUpToken {
		return ""
	}
	return " with TWILIO_AUTH_TOKEN=" + token
}

// phones shows messages as soon as it is clear what became of them.
type phones struct {
	sim  *twiliosim.Simulator
	out  *lines
	show bool

	seen    int
	waiting []string // SIDs
}

func (p *phones) look() {
	if n := p.sim.Count(""); n != p.seen {
		all := p.sim.Messages()
		for _, m := range all[min(p.seen, len(all)):] {
			p.waiting = append(p.waiting, m.SID)
		}
		p.seen = len(all)
	}
	still := p.waiting[:0]
	for _, sid := range p.waiting {
		if m, ok := p.sim.Message(sid); ok && !p.display(&m) {
			still = append(still, sid)
		}
	}
	p.waiting = still
}

// display shows a message that has arrived, or not, or was sent by a person; false while it is on its way.
func (p *phones) display(m *twiliosim.Message) bool {
	channel := "sms"
	if m.WhatsApp() {
		channel = "whatsapp"
	}
	person, icon := m.To, "->"
	switch {
	case m.Direction == "inbound":
		person, icon = m.From, "<-"
	case m.Status == "delivered", m.Status == "read":
	case m.Status == "failed", m.Status == "undelivered", m.Status == "canceled":
		icon = fmt.Sprintf("-x (%s %d)", m.Status, m.ErrorCode)
	default:
		return false
	}
	body := m.Body
	if body == "" && m.ContentSID != "" {
		body = fmt.Sprintf("template %s %v", m.ContentSID, m.ContentVariables)
	}
	p.out.stamped("%s %s %s | %s", icon, p.number(person), channel, oneLine(body))
	return true
}

func (p *phones) number(person string) string {
	person = strings.TrimPrefix(person, "whatsapp:")
	if p.show {
		return person
	}
	return address.Address(person).Masked()
}
