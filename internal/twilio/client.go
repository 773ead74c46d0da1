package twilio

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// Client calls Twilio's REST API (version 2010-04-01). It is safe for concurrent use; all calls share connections.
type Client struct {
	cfg       Config
	base      *url.URL
	broken    error // of the configuration; every call fails with it
	transport *http.Transport
	reactions *Reactions
}

// New makes a client. If cfg.Validate fails, every call fails with that error as NotSent.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg, broken: cfg.Validate(), transport: newTransport(cfg), reactions: cfg.Reactions}
	if c.broken == nil {
		c.base, c.broken = cfg.base()
	}
	if c.reactions == nil {
		c.reactions = DefaultReactions()
	}
	return c
}

// Close drops idle connections. Calls under way are not disturbed.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// begin prepares one call.
func (c *Client) begin(ctx context.Context, op string) (*call, *api.ApiService, error) {
	one := &call{ctx: ctx, client: c, op: op}
	if c.broken != nil {
		return nil, nil, one.fail(NotSent, 0, c.broken)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, one.fail(NotSent, 0, err)
	}
	return one, api.NewApiServiceWithClient(one), nil
}

// locate moves a URL of twilio-go to our base URL, or the one of its API: path and query stay, scheme, host and port are ours.
func (c *Client) locate(rawURL string) (*url.URL, error) {
	from, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("the request's URL cannot be parsed")
	}
	base := c.base
	if name, _, _ := strings.Cut(from.Hostname(), "."); name == contentHost || name == messagingHost {
		if base, err = c.cfg.host(name); err != nil {
			return nil, err
		}
	}
	target := *base
	target.Path = strings.TrimSuffix(base.Path, "/") + from.Path
	target.RawPath = ""
	target.RawQuery = from.RawQuery
	return &target, nil
}
