package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/app"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
	"github.com/beckonhq/beckon/internal/embedded/postgres"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

func (d *doctor) dataDir(context.Context) []finding {
	dir := d.cfg.DataDir
	if d.cfg.NATS.URL != "" && d.cfg.Database.URL != "" {
		return say(skipped, "not used: NATS and Postgres are servers of their own", "")
	}
	if d.running.PID != 0 {
		return say(good, fmt.Sprintf("%s is used by the beckon serve that runs as process %d", dir, d.running.PID), "")
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return say(good, dir+" is not there yet, beckon serve makes it", "")
	case err != nil:
		return say(bad, "it can't be looked at: "+err.Error(), "set BECKON_DATA_DIR")
	case !info.IsDir():
		return say(bad, dir+" is not a directory", "set BECKON_DATA_DIR")
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return say(bad, dir+" can't be written to", "change its owner or mode, or set BECKON_DATA_DIR")
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return say(bad, dir+" can't be written to: "+err.Error(), "change its owner or mode, or set BECKON_DATA_DIR")
	}
	if _, err := embedded.ReadAddresses(dir); err != nil && !errors.Is(err, embedded.ErrNotRunning) {
		return say(bad, err.Error(), "")
	}
	return say(good, dir+" can be written to", "")
}

func (d *doctor) nats(ctx context.Context) []finding {
	target := app.NATSTarget(d.cfg)
	external := target.URL != ""
	switch {
	case external:
	case d.running.NATSURL == "":
		return say(skipped, "embedded: beckon serve starts it, synced to disk before it confirms", "")
	default:
		target = stream.Target{URL: d.running.NATSURL, Token: d.running.NATSToken}
	}
	server, err := stream.Inspect(ctx, target)
	switch {
	case errors.Is(err, stream.ErrUnusable), errors.Is(err, stream.ErrRefused):
		return say(bad, err.Error(), "correct BECKON_NATS_URL, _CREDS, _CA, _CERT, _KEY, or what the server trusts")
	case errors.Is(err, stream.ErrNoJetStream):
		return say(bad, err.Error(), "switch jetstream on in the server's configuration and for the account")
	case err != nil:
		return say(bad, "no connection: "+err.Error(), "start it, or correct BECKON_NATS_URL")
	}
	findings := say(good, fmt.Sprintf("version %s with JetStream, max_payload %d bytes", server.Version, server.MaxPayload), "")
	if server.MaxPayload < server.Advised {
		findings[0].Status = warning
		findings[0].Advice = fmt.Sprintf("larger envelopes are refused; set max_payload: %d in the server's configuration", server.Advised)
	}
	if !external {
		findings[0].Text += ", embedded, synced to disk before it confirms"
		return findings
	}
	fewest := server.Replicas
	if fewest == 0 { // no streams yet: serve makes them so
		fewest = d.cfg.NATS.Replicas
	}
	switch doubt := stream.SyncDoubt(fewest); {
	case d.cfg.NATS.SyncKnown():
		return append(findings, say(good, "BECKON_NATS_SYNC declares that it syncs to disk before it confirms", "")...)
	case doubt != "":
		return append(findings, say(warning, doubt, stream.SyncAdvice)...)
	}
	return append(findings, say(good, fmt.Sprintf("every stream has %d replicas or more", fewest), "")...)
}

func (d *doctor) postgres(ctx context.Context) []finding {
	target := d.cfg.Database.URL.Reveal()
	if target == "" {
		target = d.running.DatabaseURL
	}
	if target == "" {
		found, err := postgres.Find(ctx, d.cfg.PostgresBin)
		if err != nil {
			return say(bad, "a private server can't be started: "+err.Error(), "install Postgres, or set BECKON_DATABASE_URL")
		}
		return say(good, fmt.Sprintf("private: beckon serve starts version %d from %s", found.Version, found.Dir), "")
	}
	ledger, err := store.Open(ctx, target)
	if err != nil {
		return say(bad, err.Error(), "correct BECKON_DATABASE_URL")
	}
	defer ledger.Close()
	schema, err := ledger.Schema(ctx)
	if err != nil {
		return say(bad, "it does not answer: "+err.Error(), "start it, or correct BECKON_DATABASE_URL")
	}
	if err := ledger.Ready(ctx); err != nil {
		return say(bad, err.Error(), "")
	}
	text := fmt.Sprintf("version %s, schema %d of %d", schema.Server, schema.Applied, schema.Newest)
	switch {
	case schema.Applied < schema.Newest:
		return say(warning, text, "run beckon migrate, or start beckon serve, which does it")
	case schema.Applied > schema.Newest:
		return say(warning, text, "the schema is newer than this program: update beckon")
	}
	ledger.UseErasureKeys(d.cfg.Erasure())
	if err := ledger.KnowsErasures(ctx); err != nil {
		return append(say(good, text, ""), say(bad, err.Error(), "put the key behind the new one: nothing is sent without it")...)
	}
	return say(good, text, "")
}

func (d *doctor) sender(context.Context) []finding {
	if len(d.cfg.Senders) == 0 {
		return say(bad, "no sender", "set TWILIO_MESSAGING_SERVICE_SID or TWILIO_FROM, or TWILIO_WHATSAPP_FROM")
	}
	var all []finding
	for _, sender := range d.cfg.Senders {
		name := ""
		if len(d.cfg.Senders) > 1 {
			name = sender.Name + ": "
		}
		all = append(all, say(good, name+strings.Join(ways(sender), ", "), "")...)
	}
	return all
}

// ways says how a sender sends.
func ways(sender config.Sender) []string {
	var parts []string
	switch {
	case sender.MessagingServiceSID != "":
		parts = append(parts, "SMS by Messaging Service "+sender.MessagingServiceSID)
	case sender.SMSFrom != "":
		parts = append(parts, "SMS from "+string(sender.SMSFrom))
	}
	if sender.WhatsAppFrom != "" {
		parts = append(parts, "WhatsApp from "+string(sender.WhatsAppFrom))
	}
	if rate := sender.Rate.String(); rate != "" {
		parts = append(parts, "at most "+rate)
	}
	return parts
}

func (d *doctor) publicURL(context.Context) []finding {
	public := d.cfg.HTTP.PublicURL
	u, err := url.Parse(public)
	switch {
	case public == "":
		return say(warning, "not set: Twilio can't report deliveries and replies", "set BECKON_PUBLIC_URL to how the world reaches this server")
	case err != nil:
		return say(bad, "it is not a URL", "correct BECKON_PUBLIC_URL")
	case u.Scheme != "https":
		return say(warning, public+" is not https", "Salesforce sends to https with a trusted certificate only; put a proxy in front, or set BECKON_HTTP_TLS_CERT")
	}
	return say(good, public, "")
}

func (d *doctor) server(ctx context.Context) []finding {
	base := d.running.AdminURL
	if base == "" {
		base = localURL(d.cfg.HTTP.AdminAddr)
	}
	status, body, err := get(ctx, base+"/readyz")
	switch {
	case err != nil && d.running.PID != 0:
		return say(bad, "beckon serve runs, but "+err.Error(), "look at its log")
	case err != nil:
		return say(skipped, "no beckon serve answers at "+base, "")
	case status != http.StatusOK:
		return say(bad, fmt.Sprintf("it answers %d%s", status, notReady(body)), "look at its log")
	case notReady(body) != "":
		return say(warning, "it takes in, but not everything works"+notReady(body), "look at its log")
	}
	return say(good, "ready at "+base, "")
}

// twilio asks Twilio with the credentials of each account.
func (d *doctor) twilio(ctx context.Context) []finding {
	accounts := []config.Account{d.cfg.Twilio.Account}
	for _, sender := range d.cfg.Senders {
		known := func(a config.Account) bool {
			return a.AccountSID == sender.Account.AccountSID && a.APIKey == sender.Account.APIKey
		}
		if !slices.ContainsFunc(accounts, known) {
			accounts = append(accounts, sender.Account)
		}
	}
	if accounts[0].AccountSID == "" && len(accounts) > 1 {
		accounts = accounts[1:] // every sender has its own
	}
	var all []finding
	for _, account := range accounts {
		for _, f := range d.account(ctx, account) {
			if len(accounts) > 1 {
				f.Text = "account " + account.AccountSID + ": " + f.Text
			}
			all = append(all, f)
		}
	}
	return all
}

func (d *doctor) twilioConfig(tw config.Account) twilio.Config {
	account := twilio.Config{
		AccountSID: tw.AccountSID, APIKey: tw.APIKey, APISecret: tw.APISecret.Reveal(), BaseURL: d.cfg.Twilio.APIURL,
		ContentURL: d.cfg.Twilio.ContentURL, DialTimeout: checkTimeout / 2, SocketTimeout: checkTimeout,
	}
	if len(tw.AuthTokens) > 0 {
		account.AuthToken = tw.AuthTokens[0].Reveal()
	}
	return account
}

func (d *doctor) account(ctx context.Context, tw config.Account) []finding {
	url := d.cfg.Twilio.APIURL
	account := d.twilioConfig(tw)
	switch {
	case tw.AccountSID == "" || tw.APIKey == "" && account.AuthToken == "":
		return say(skipped, "no credentials to try", "")
	case d.offline:
		return say(skipped, "not asked (--offline)", "")
	}
	if err := account.Validate(); err != nil {
		return say(bad, err.Error(), "correct the Twilio settings")
	}
	client := twilio.New(account)
	defer client.Close()
	began := time.Now()
	_, err := client.List(ctx, twilio.ListQuery{Limit: 1, PageSize: 1})
	if failure, ok := twilio.AsError(err); ok && (failure.Status == http.StatusUnauthorized || failure.Status == http.StatusForbidden) {
		return say(bad, "it refuses the credentials: "+err.Error(), "correct TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or the API key)")
	}
	if err != nil {
		return say(bad, err.Error(), "check the way to "+url)
	}
	return say(good, fmt.Sprintf("%s takes the credentials, answered in %s", url, time.Since(began).Round(time.Millisecond)), "")
}
