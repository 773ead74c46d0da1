package twilio

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultBaseURL       = "https://api.twilio.com"
	DefaultMaxIdleConns  = 64
	DefaultDialTimeout   = 5 * time.Second
	DefaultSocketTimeout = 15 * time.Second
)

// errConfig marks the errors of Config.Validate.
var errConfig = errors.New("twilio configuration")

// Config says how to reach Twilio and as whom.
type Config struct {
	AccountSID string
	AuthToken  string // with AccountSID, unless APIKey is set
	APIKey     string // SK..., with APISecret; the path still names AccountSID
	APISecret  string

	BaseURL string // default DefaultBaseURL; a path in it is kept as a prefix
	// ContentURL is the base URL of the Content API. Empty: Twilio's own, or BaseURL when that is not the default, since a simulator is
	// one server.
	ContentURL string

	MaxIdleConnsPerHost int           // kept-alive connections; default DefaultMaxIdleConns
	DialTimeout         time.Duration // for TCP and for the TLS handshake, each; default DefaultDialTimeout
	// SocketTimeout is how long sent bytes may stay unacknowledged by the peer's kernel before ours gives up and stops
	// retransmitting (TCP_USER_TIMEOUT, Linux only). Default DefaultSocketTimeout; keep it under half the lease of an attempt, so that a
	// request cannot arrive after the lease.
	SocketTimeout time.Duration
	// MediaTimeout is the time in which a picture or file must begin to arrive; default 20 s.
	MediaTimeout time.Duration
	// Proxy chooses an HTTP proxy; nil for none. The environment is not read here.
	Proxy func(*http.Request) (*url.URL, error)
	// Reactions is the table of reactions; nil for DefaultReactions.
	Reactions *Reactions
}

// Validate reports everything that keeps a Client from working, at once. It never prints a credential.
func (c Config) Validate() error {
	var problems []error
	if !isIdentifier(c.AccountSID) {
		problems = append(problems, errors.New("account SID is missing or has characters other than letters and digits"))
	}
	if c.APIKey == "" && c.AuthToken == "" {
		problems = append(problems, errors.New("neither an auth token nor an API key is set"))
	}
	if (c.APIKey == "") != (c.APISecret == "") {
		problems = append(problems, errors.New("an API key needs its secret, and a secret its key"))
	}
	if strings.Contains(c.APIKey, ":") {
		problems = append(problems, errors.New("an API key cannot contain a colon"))
	}
	if _, err := c.base(); err != nil {
		problems = append(problems, err)
	} else if _, err := c.host(contentHost); err != nil {
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", errConfig, errors.Join(problems...))
}

// base is the parsed base URL. Its error does not quote the URL, which may hold a password.
func (c Config) base() (*url.URL, error) {
	text := c.BaseURL
	if text == "" {
		text = DefaultBaseURL
	}
	return parseBase(text)
}

// host is the base URL of one of Twilio's other APIs, by the first part of its name.
func (c Config) host(name string) (*url.URL, error) {
	switch {
	case name == contentHost && c.ContentURL != "":
		return parseBase(c.ContentURL)
	case c.BaseURL == "" || strings.TrimSuffix(c.BaseURL, "/") == DefaultBaseURL:
		return parseBase("https://" + name + ".twilio.com")
	}
	return c.base()
}

func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") {
		return nil, errors.New("the API URL is not an http or https URL with a host")
	}
	if base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, errors.New("the API URL has a query, a fragment or a user")
	}
	return base, nil
}

// credentials are the user and password of basic authentication.
func (c Config) credentials() (user, password string) {
	if c.APIKey != "" {
		return c.APIKey, c.APISecret
	}
	return c.AccountSID, c.AuthToken
}

// isIdentifier tells whether a text can stand in a path as a SID.
func isIdentifier(s string) bool {
	const longest = 64
	if s == "" || len(s) > longest {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
