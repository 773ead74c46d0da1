package cli

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
)

// client is what the played Salesforce posts with: it shows the certificate and trusts the authority of the flags, if any.
func (f *salesforceFlags) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if (f.clientCert == "") != (f.clientKey == "") {
		return nil, usagef("--client-cert and --client-key belong together")
	}
	if f.clientCert != "" {
		pair, err := tls.LoadX509KeyPair(f.clientCert, f.clientKey)
		if err != nil {
			return nil, usagef("--client-cert %s and --client-key %s can't be used: %w", f.clientCert, f.clientKey, err)
		}
		// Shown whatever the server says of authorities, as Salesforce does.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, usagef("--ca can't be read: %w", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, usagef("--ca %s has no PEM certificate", f.ca)
		}
	}
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config}}, nil
}
