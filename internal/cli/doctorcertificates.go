package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	"github.com/beckonhq/beckon/internal/certificates"
)

// renewedBefore is how long before its end a certificate should have been replaced: so many days, or the last third of a life
// that is short.
const renewedBefore = 14 * 24 * time.Hour

// sharedName is the name in the client certificate that organisations have unless they choose another (Salesforce's wiki,
// Client_Certificate).
const sharedName = "proxy.salesforce.com"

// certificates looks at what the public listener shows, and whom it lets in.
func (d *doctor) certificates(context.Context) []finding {
	if d.cfg.HTTP.TLSCert == "" {
		return say(skipped, "none: a proxy in front ends TLS, and no client certificate is asked for", "")
	}
	now := time.Now()
	pair, err := certificates.LoadServer(d.cfg.HTTP.TLSCert, d.cfg.HTTP.TLSKey)
	var all []finding
	if err != nil {
		all = say(bad, err.Error(), "correct BECKON_HTTP_TLS_CERT and BECKON_HTTP_TLS_KEY, serve does not start with them")
	} else {
		all = append(all, listenerLife(pair.Leaf, now), d.listenerName(pair.Leaf), listenerChain(pair))
	}
	if d.cfg.Salesforce.ClientCerts == "" {
		return append(all, say(warning, "no client certificate of Salesforce is asked for", "pin it: BECKON_SALESFORCE_CLIENT_CERTS")...)
	}
	pins, err := certificates.LoadPins(d.cfg.Salesforce.ClientCerts)
	if err != nil {
		return append(all, say(bad, err.Error(), "correct BECKON_SALESFORCE_CLIENT_CERTS, serve does not start with it")...)
	}
	return append(all, pinLives(pins, now)...)
}

// late tells whether a certificate should have been replaced by now.
func late(certificate *x509.Certificate, now time.Time) bool {
	before := min(renewedBefore, certificate.NotAfter.Sub(certificate.NotBefore)/3)
	return now.After(certificate.NotAfter.Add(-before))
}

func listenerLife(leaf *x509.Certificate, now time.Time) finding {
	text := "the listener's expires on " + certificates.Day(leaf.NotAfter)
	switch {
	case now.After(leaf.NotAfter):
		return finding{Status: bad, Text: text, Advice: "renew it now: Salesforce and Twilio refuse it"}
	case now.Before(leaf.NotBefore):
		return finding{Status: bad, Text: "the listener's is valid from " + leaf.NotBefore.UTC().Format(time.DateTime) + " only", Advice: "is the clock right?"}
	case late(leaf, now):
		return finding{Status: warning, Text: text, Advice: "renew it; the running server reads the new files by itself"}
	}
	return finding{Status: good, Text: text}
}

// listenerName compares with the host that Salesforce and Twilio call.
func (d *doctor) listenerName(leaf *x509.Certificate) finding {
	u, err := url.Parse(d.cfg.HTTP.PublicURL)
	if err != nil || u.Hostname() == "" {
		return finding{Status: skipped, Text: "the listener's name is compared with no host, BECKON_PUBLIC_URL is not set"}
	}
	if err := leaf.VerifyHostname(u.Hostname()); err != nil {
		return finding{Status: bad, Text: "the listener's is not for " + u.Hostname(), Advice: "get one for the host of BECKON_PUBLIC_URL"}
	}
	return finding{Status: good, Text: "the listener's is for " + u.Hostname()}
}

// listenerChain looks at what Salesforce wants of a chain: intermediates in their order, the root left out. Whether the root is one
// that Salesforce trusts only Salesforce can say.
func listenerChain(pair *tls.Certificate) finding {
	chain := make([]*x509.Certificate, len(pair.Certificate))
	for i, der := range pair.Certificate {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return finding{Status: bad, Text: fmt.Sprintf("certificate %d of the listener's chain can't be read: %v", i+1, err), Advice: "correct BECKON_HTTP_TLS_CERT"}
		}
		chain[i] = certificate
	}
	last := chain[len(chain)-1]
	for i := range len(chain) - 1 {
		if chain[i].CheckSignatureFrom(chain[i+1]) != nil {
			return finding{
				Status: bad, Text: fmt.Sprintf("certificate %d of the listener's chain is not signed by the next one", i+1),
				Advice: "put the listener's first, then each one's issuer",
			}
		}
	}
	switch {
	case selfSigned(last) && len(chain) == 1:
		return finding{Status: warning, Text: "the listener's is self-signed", Advice: "Salesforce and Twilio take those of public authorities only"}
	case selfSigned(last):
		return finding{Status: warning, Text: "the listener's chain ends with the root", Advice: "Salesforce wants it left out"}
	case len(chain) == 1:
		return finding{
			Status: warning, Text: "the listener's has no intermediate certificate", Advice: "give the whole chain (fullchain.pem), Salesforce fetches none",
		}
	}
	return finding{Status: good, Text: "the listener's chain has " + plural(len(chain), "certificate")}
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// pinLives has a line for each pin.
func pinLives(pins *certificates.Pins, now time.Time) []finding {
	var all []finding
	for _, pin := range pins.All() {
		text := fmt.Sprintf("Salesforce's %s expires on %s", certificates.Fingerprint(pin)[:16], certificates.Day(pin.NotAfter))
		f := finding{Status: good, Text: text}
		switch {
		case pin.Subject.CommonName == sharedName:
			f.Status = warning
			f.Advice = "all organisations have it by default, and Salesforce replaces it: make one of your own and choose it as API Client Certificate"
		case now.After(pin.NotAfter):
			f.Status = warning
			f.Advice = "it is accepted still; take it out when the organisation shows another one"
		case late(pin, now) && pin.NotAfter.Equal(pins.Last()):
			f.Status = warning
			f.Advice = "make the next one in Salesforce, and pin both for a while"
		}
		all = append(all, f)
	}
	return all
}
