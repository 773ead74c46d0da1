package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

var (
	// ErrUnusable says that a file that the settings name is missing or is not what it should be: only a person can mend it.
	ErrUnusable = errors.New("the settings of the connection to NATS can't be used")
	// ErrRefused says that server and client answer each other, and one of them does not trust the other: a certificate,
	// a password or a credentials file is wrong.
	ErrRefused = errors.New("NATS and Beckon do not trust each other")
)

// Target says which servers to connect to, and how to prove and to demand who is who. Everything but URL may be empty. The
// files are read again at each connection, so that renewed ones count without a restart.
type Target struct {
	URL   string // one or more servers, with commas between them; a secret
	Creds string // path of a credentials file: a user's JWT and its seed
	Token string // a secret
	CA    string // path of PEM certificates, the only authorities that are trusted
	Cert  string // path of the PEM certificate that we show, with its chain
	Key   string // path of its PEM private key
}

// Connect opens a connection. Its error wraps ErrUnusable or ErrRefused when waiting is of no use; anything else means that
// no server answers now. Once it is open it reconnects as the options say, also after a refusal: credentials are renewed
// while a program runs, on both sides and not at the same moment.
func Connect(target Target, options ...nats.Option) (*nats.Conn, error) {
	own, err := target.options()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	conn, err := nats.Connect(target.URL, append(own, options...)...)
	switch {
	case err == nil:
		return conn, nil
	case trustless(err):
		return nil, fmt.Errorf("connect to NATS: %w: %w", ErrRefused, err)
	case target.tls() && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)):
		return nil, fmt.Errorf("connect to NATS: the server hung up, as it does on a client certificate that it does not take: %w", err)
	}
	return nil, fmt.Errorf("connect to NATS: %w", err)
}

func (t Target) options() ([]nats.Option, error) {
	options := []nats.Option{nats.IgnoreAuthErrorAbort()} // else the client gives up for good at the second refusal
	if t.Token != "" {
		options = append(options, nats.Token(t.Token))
	}
	if t.Creds != "" {
		if err := checkCreds(t.Creds); err != nil {
			return nil, err
		}
		options = append(options, nats.UserCredentials(t.Creds))
	}
	if t.CA != "" {
		if err := checkCA(t.CA); err != nil {
			return nil, err
		}
		options = append(options, nats.RootCAs(t.CA))
	}
	if t.Cert != "" || t.Key != "" {
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			return nil, fmt.Errorf("read the client certificate %s and its key %s: %w", t.Cert, t.Key, err)
		}
		options = append(options, nats.ClientCert(t.Cert, t.Key))
	}
	return options, nil
}

// checkCreds looks whether there is a seed; the JWT is the server's to judge. Errors quote nothing of the file.
func checkCreds(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the credentials file: %w", err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		return fmt.Errorf("the file %s is no credentials file, with a user's JWT and seed: make one with nsc generate creds", path)
	}
	pair.Wipe()
	return nil
}

func checkCA(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return fmt.Errorf("the file %s holds no certificate in PEM", path)
	}
	return nil
}

// tls tells whether TLS is demanded.
func (t Target) tls() bool { return t.CA+t.Cert != "" || strings.Contains(t.URL, "tls://") }

// trustless tells whether an answer was no. A TLS alert is the other side's no (crypto/tls, Conn.readRecordOrCCS); since TLS
// 1.3 it comes after the handshake, and is lost when we were already writing.
func trustless(err error) bool {
	for _, no := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrSecureConnRequired, nats.ErrSecureConnWanted,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var op *net.OpError
	return errors.As(err, &verify) || errors.As(err, &alert) || errors.As(err, &op) && op.Op == "remote error"
}
