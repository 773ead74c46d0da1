package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	timeout      = 15 * time.Second
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
var ErrPrivate = errors.New("the address is private: it is not called unless private addresses are allowed")

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
	dialer := &net.Dialer{Timeout: timeout}
	if !private {
		dialer.Control = refusePrivate
	}
	return &Client{keys: keys, client: &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.client.CloseIdleConnections() }

// refusePrivate looks at the address that is about to be connected to, whatever name led there.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrPrivate
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || special(ip) {
		return ErrPrivate
	}
	return nil
}

// special tells of ranges that are not for the open network although they look like it.
//
// Source: RFC 6598 (shared address space), RFC 6890 (special purpose), RFC 6052, 3056 and 4291 (addresses that hold an
// IPv4 one), RFC 3879 (site-local).
func special(ip netip.Addr) bool {
	for _, text := range []string{
		"100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "0.0.0.0/8", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",
		"::/96", "fec0::/10",
	} {
		if netip.MustParsePrefix(text).Contains(ip) {
			return true
		}
	}
	return false
}

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
		if errors.Is(err, ErrPrivate) {
			return ErrPrivate
		}
		return fmt.Errorf("the server can't be reached: %w", errors.Unwrap(err))
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	_ = response.Body.Close()
	if response.StatusCode == http.StatusGone {
		return ErrGone
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the server answered %d", response.StatusCode)
	}
	return nil
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
