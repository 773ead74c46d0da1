package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/publicnet"
)

const (
	timeout      = 15 * time.Second
	maxAnswer    = 64 << 10 // bytes of an answer's body that are read, so that its connection can be used again
	secretPrefix = "whsec_"
	leastSecret  = 24 // bytes; Standard Webhooks asks for 24 to 64
	mostSecret   = 64
)

var errSecret = fmt.Errorf("a secret of webhooks must be %s and the base64 of %d to %d bytes", secretPrefix, leastSecret, mostSecret)

// ErrGone says that the server wants no more of it: it answered 410.
//
// Source: Standard Webhooks, "Responding to webhooks".
var ErrGone = errors.New("the server answered 410: it wants no webhooks here")

// ErrPrivate says that a URL leads into our own network.
var ErrPrivate = publicnet.ErrPrivate

// Client posts webhooks. It is safe for concurrent use.
type Client struct {
	keys   [][]byte
	client *http.Client
}

// New makes a client. Each secret is "whsec_" and base64, of 24 to 64 bytes; with several, during a rotation, each makes a signature
// of its own, and a receiver takes the notice by any of them. private allows addresses of our own network.
func New(secrets []string, private bool) (*Client, error) {
	if len(secrets) == 0 {
		return nil, errSecret
	}
	keys := make([][]byte, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
		if err != nil || !strings.HasPrefix(secret, secretPrefix) || len(key) < leastSecret || len(key) > mostSecret {
			return nil, errSecret
		}
		keys[i] = key
	}
	return &Client{keys: keys, client: &http.Client{
		Timeout:       timeout,
		Transport:     publicnet.Transport(timeout, private),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.client.CloseIdleConnections() }

// Post sends one notice. Any answer of 2xx is success. The error tells no more of the answer than its status.
func (c *Client) Post(ctx context.Context, url, id, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return errors.New("the request cannot be built")
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "beckon")
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", at)
	request.Header.Set("Webhook-Signature", c.Sign(id, at, body))
	response, err := c.client.Do(request)
	if err != nil {
		return unreachable(err)
	}
	if response.ContentLength >= 0 { // one whose end is not told may have none: its connection is not used again
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	}
	_ = response.Body.Close()
	if response.StatusCode == http.StatusGone {
		return ErrGone
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the server answered %d", response.StatusCode)
	}
	return nil
}

// unreachable says why there was no answer, by causes that are known to quote nothing of one: the server may have sent our own notice
// back, with what a person wrote.
func unreachable(err error) error {
	var (
		network     *net.OpError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, ErrPrivate):
		return ErrPrivate
	case errors.As(err, &network):
		return fmt.Errorf("the server can't be reached: %w", network)
	case errors.As(err, &certificate):
		return fmt.Errorf("the server can't be reached: %w", certificate)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the server does not answer in %s: %w", timeout, context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return errors.New("the server gives no answer of HTTP that can be read")
}

// Sign is the signature of a notice: one for each secret, with spaces between them.
//
// Source: Standard Webhooks, "Signature scheme" and "Multiple signatures".
func (c *Client) Sign(id, timestamp, body string) string {
	signatures := make([]string, len(c.keys))
	for i, key := range c.keys {
		mac := hmac.New(sha256.New, key)
		_, _ = io.WriteString(mac, id+"."+timestamp+"."+body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}
