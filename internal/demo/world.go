package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/app"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/telemetry"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/rules"
)

// The simulated accounts. The phone numbers are of the range 555-0100 to 555-0199, which belongs to nobody.
const (
	orgID        = "00D000000000001"
	accountSID   = "AC00000000000000000000000000000001"
	authToken    = "a-token-of-the-demo"
	smsFrom      = "+14155550198"
	whatsAppFrom = "+14155550199"
	whatsAppMark = "whatsapp:"
	startLimit   = 90 * time.Second // also for a machine that has to fetch Postgres
	soapPath     = "/salesforce/outbound-messages"
)

// world is everything that runs while the story is told.
type world struct {
	opts Options
	dir  string
	log  io.Writer

	public     net.Listener
	twilio     *twiliosim.Simulator
	twilioHTTP *http.Server
	twilioURL  string
	receiver   *receiver
	app        *app.App
	ledger     *store.Store
	salesforce *salesforcesim.Org
	client     *http.Client
	pause      func() // stops Salesforce's deliveries; safe to call again
}

func (w *world) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, step := range []func(context.Context) error{
		w.listen, w.writeFiles, w.startTwilio, w.startReceiver, w.startApp, w.openLedger, w.startSalesforce,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop ends what was started, in the reverse order.
func (w *world) stop(ctx context.Context) error {
	var errs []error
	if w.pause != nil {
		w.pause()
	}
	if w.client != nil {
		w.client.CloseIdleConnections()
	}
	if w.ledger != nil {
		w.ledger.Close()
	}
	if w.app != nil {
		errs = append(errs, w.app.Stop(ctx))
	}
	if w.receiver != nil {
		errs = append(errs, w.receiver.close())
	}
	if w.twilio != nil {
		w.twilio.Close()
	}
	if w.twilioHTTP != nil {
		errs = append(errs, w.twilioHTTP.Close())
	}
	if w.public != nil {
		_ = w.public.Close() // closed already when the app has run
	}
	return errors.Join(errs...)
}

// listen opens the public port first: Twilio's callbacks must know it before Beckon serves on it.
func (w *world) listen(ctx context.Context) error {
	var err error
	w.public, err = listenLocal(ctx)
	return err
}

func listenLocal(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on a free port: %w", err)
	}
	return l, nil
}

func (w *world) publicURL() string  { return "http://" + w.public.Addr().String() }
func (w *world) rulesDir() string   { return filepath.Join(w.dir, "rules") }
func (w *world) configFile() string { return filepath.Join(w.dir, "beckon.yaml") }

// writeFiles puts the shipped rules where they can be edited.
func (w *world) writeFiles(context.Context) error {
	const ownerOnly, ownerFiles = 0o700, 0o600
	if err := os.Mkdir(w.rulesDir(), ownerOnly); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	return fs.WalkDir(rules.Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(rules.Files(), path)
		if err == nil {
			err = os.WriteFile(filepath.Join(w.rulesDir(), path), text, ownerFiles)
		}
		if err != nil {
			return fmt.Errorf("write the rules: %w", err)
		}
		return nil
	})
}

func (w *world) startTwilio(ctx context.Context) error {
	socket, err := listenLocal(ctx)
	if err != nil {
		return err
	}
	w.twilioURL = "http://" + socket.Addr().String()
	w.twilio, err = twiliosim.New(twiliosim.Config{
		AccountSID: accountSID, AuthToken: authToken, InboundURL: w.publicURL() + "/twilio/messages",
		Senders: []string{smsFrom, whatsAppMark + whatsAppFrom}, Templates: approvedTemplates(),
		ReadReceipts: true, Delays: delays(),
	})
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	w.twilioHTTP = &http.Server{Handler: w.twilio, ReadHeaderTimeout: patience}
	go func() { _ = w.twilioHTTP.Serve(socket) }() // ends with stop
	return nil
}

func (w *world) startReceiver(ctx context.Context) (err error) {
	w.receiver, err = startReceiver(ctx)
	return err
}

// delays are quick, and yet such that a reader sees one thing after the other.
func delays() twiliosim.Delays {
	between := func(least, most int) twiliosim.Delay {
		return twiliosim.Delay{Min: time.Duration(least) * time.Millisecond, Max: time.Duration(most) * time.Millisecond}
	}
	return twiliosim.Delays{
		Answer: between(20, 60), Sent: between(80, 160), Delivered: between(150, 350), Read: between(250, 500),
	}
}

// approvedTemplates are the WhatsApp templates that the simulated account has: those that the shipped template files name.
func approvedTemplates() map[string]string {
	return map[string]string{
		"HX00000000000000000000000000000101": "Hi {{1}}, welcome aboard! Start here: {{2}}. Questions? Just reply.",
		"HX00000000000000000000000000000102": "Hola, {{1}}: ¡te damos la bienvenida! Empieza aquí: {{2}}. ¿Preguntas? Responde a este mensaje.",
		"HX00000000000000000000000000000201": "Hi {{1}}, your case {{2}} is now with our senior team. We will contact you shortly.",
		"HX00000000000000000000000000000202": "Hola, {{1}}: tu caso {{2}} está ahora con nuestro equipo experto. Te contactaremos en breve.",
		"HX00000000000000000000000000000301": "Hi {{1}}, see you on {{2}} at {{3}}, {{4}}. Reply YES to confirm or NO to change it.",
		"HX00000000000000000000000000000302": "Hola, {{1}}: te esperamos el {{2}} a las {{3}} en {{4}}. Responde SI o NO.",
		"HX00000000000000000000000000000203": "Hi {{1}}, your case {{2}} is closed. How did we do? Reply 1 (bad) to 5 (great).",
		"HX00000000000000000000000000000204": "Hola, {{1}}: tu caso {{2}} queda cerrado. Responde del 1 (mal) al 5 (muy bien).",
	}
}

// daylight is a table of hours with which the story goes the same way at any time: in California nobody is ever asleep, and in Nevada
// nothing may be sent before the morning in three days.
func daylight(now time.Time) string {
	const days = 3
	opens := strings.ToLower(now.UTC().AddDate(0, 0, days).Format("Mon"))
	return fmt.Sprintf(`countries:
  US:
    windows: {daily: "00:00-24:00"}
    regions:
      CA: {windows: {daily: "00:00-24:00"}}
      NV: {windows: {%s: "09:00-24:00"}}
`, opens)
}

// startApp starts Beckon with a configuration file, so that other commands can be pointed at it too.
func (w *world) startApp(ctx context.Context) error {
	text := fmt.Sprintf(`http:
  addr: %q
  admin_addr: 127.0.0.1:0
  public_url: %q
data_dir: %q
rules_dir: %q
salesforce:
  org_ids: [%q]
twilio:
  account_sid: %q
  auth_tokens: [%q]
  from: %q
  whatsapp_from: %q
  api_url: %q
quiet_hours:
  file: %q
replies:
  business: Example Inc
  webhook_private: "yes" # the receiver is on this machine
shutdown_timeout: 10s
`, w.public.Addr(), w.publicURL(), filepath.Join(w.dir, "data"), w.rulesDir(), orgID,
		accountSID, authToken, smsFrom, whatsAppFrom, w.twilioURL, w.hoursFile())
	if w.opts.PostgresBin != "" {
		text += fmt.Sprintf("postgres:\n  bin: %q\n", w.opts.PostgresBin)
	}
	if err := os.WriteFile(w.hoursFile(), []byte(daylight(time.Now())), 0o600); err != nil {
		return fmt.Errorf("write the quiet hours: %w", err)
	}
	if err := os.WriteFile(w.configFile(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	cfg, err := config.Load(w.configFile(), []string{"BECKON_WEBHOOK_SECRET=" + w.receiver.secret}) // made for this run alone
	if err != nil {
		return err
	}
	output := w.log
	if w.opts.Verbose {
		output = w.opts.Err
	}
	w.app, err = app.Start(ctx, app.Options{
		Config: cfg, Roles: config.Roles(), Log: telemetry.NewLogger(output, slog.LevelInfo, "text"),
		Version: cmp.Or(w.opts.Version, "demo"), Public: w.public,
	})
	if err != nil {
		return err
	}
	if err := w.app.Healthy(ctx); err != nil {
		return fmt.Errorf("wait for Beckon to be ready: %w", err)
	}
	return nil
}

func (w *world) hoursFile() string { return filepath.Join(w.dir, "hours.yaml") }

// openLedger opens a second connection to the ledger, to see what is true. Its way is that of every command.
func (w *world) openLedger(ctx context.Context) error {
	addresses, err := embedded.ReadAddresses(filepath.Join(w.dir, "data"))
	if err != nil {
		return err
	}
	w.ledger, err = store.Open(ctx, addresses.DatabaseURL)
	return err
}

func (w *world) startSalesforce(ctx context.Context) error {
	w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: salesforcesim.DefaultConcurrency}}
	var err error
	w.salesforce, err = salesforcesim.New(salesforcesim.Config{
		OrgID: orgID, Endpoint: w.publicURL() + soapPath, HTTPClient: w.client, Definitions: outboundMessages(),
	})
	if err != nil {
		return err
	}
	w.deliver(ctx)
	return nil
}

// deliver lets Salesforce deliver until pause.
func (w *world) deliver(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.salesforce.Run(ctx) // its only error is that it runs already
	}()
	w.pause = func() { cancel(); <-ended }
}

// outboundMessages select what the shipped rules ask for.
func outboundMessages() []salesforcesim.Definition {
	return []salesforcesim.Definition{
		{Object: "Opportunity", Fields: []string{
			"Name", "StageName", "ContactId", "Contact_Mobile__c", "Contact_First_Name__c", "Language__c",
		}},
		{Object: "Case", Fields: []string{
			"CaseNumber", "Status", "IsEscalated", "IsClosed", "ContactId", "Contact_Mobile__c", "Contact_First_Name__c", "Language__c",
		}},
		{Object: "Invoice__c", Fields: []string{
			"Name", "Status__c", "Balance__c", "Due_Date__c", "Billing_Contact__c", "Billing_Mobile__c",
			"Billing_First_Name__c", "Language__c",
		}},
	}
}
