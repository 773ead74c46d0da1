package app

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/config"
)

// descriptionPath has nothing that is secret, and tools read it without a token.
const descriptionPath = "/api/v1/openapi.json"

// guard lets in who has one of the tokens. Without tokens it lets in who comes over loopback under a name of this machine, so that
// neither a network nor a web page that a browser on this machine shows (its name may lead to 127.0.0.1) gets in.
type guard struct {
	tokens  [][sha256.Size]byte
	refused *prometheus.CounterVec
}

// newGuard makes the guard of all that the private listener has besides health and metrics.
func (a *App) newGuard() (echo.MiddlewareFunc, error) {
	g := &guard{refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "beckon_api_refused_total", Help: "Requests to the API or the profiles that were refused: no token, a wrong one, or not over loopback.",
	}, []string{"reason"})}
	if err := a.registry.Register(g.refused); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	g.tokens = digests(a.cfg.HTTP.APITokens)
	if len(g.tokens) == 0 && !isLoopback(a.cfg.HTTP.AdminAddr) {
		a.log.Warn("BECKON_API_TOKEN is not set and the private listener is open to a network: the API and the profiles are refused there",
			"address", a.cfg.HTTP.AdminAddr)
	}
	return g.protect, nil
}

func digests(tokens []config.Secret) [][sha256.Size]byte {
	list := make([][sha256.Size]byte, len(tokens))
	for i, token := range tokens {
		list[i] = sha256.Sum256([]byte(token.Reveal()))
	}
	return list
}

func (g *guard) protect(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() == descriptionPath {
			return next(c)
		}
		if len(g.tokens) > 0 {
			return g.askToken(c, next)
		}
		local, _ := c.Request().Context().Value(http.LocalAddrContextKey).(net.Addr)
		if local == nil || !isLoopback(local.String()) || !isLoopback(c.Request().Host) {
			g.refused.WithLabelValues("not_local").Inc()
			return c.JSON(http.StatusForbidden, problem{"without BECKON_API_TOKEN only this machine is answered, over loopback: " +
				"set it, and send it as Authorization: Bearer <token>"})
		}
		return next(c)
	}
}

// askToken compares in constant time, and with all tokens, so that the time tells nothing of any of them.
//
// Source of the answers: RFC 6750, section 3.
func (g *guard) askToken(c echo.Context, next echo.HandlerFunc) error {
	scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		g.refused.WithLabelValues("no_token").Inc()
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="beckon"`)
		return c.JSON(http.StatusUnauthorized, problem{"send a token of BECKON_API_TOKEN as Authorization: Bearer <token>"})
	}
	given, right := sha256.Sum256([]byte(strings.TrimSpace(token))), 0
	for _, one := range g.tokens {
		right |= subtle.ConstantTimeCompare(given[:], one[:])
	}
	if right != 1 {
		g.refused.WithLabelValues("wrong_token").Inc()
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="beckon", error="invalid_token"`)
		return c.JSON(http.StatusUnauthorized, problem{"the token is none of BECKON_API_TOKEN"})
	}
	return next(c)
}

// isLoopback tells whether a host, with or without a port, is this machine and nothing else. It asks no name server.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
