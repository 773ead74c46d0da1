package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
)

// probesOf are the real table of needs with dependencies that a test breaks.
func probesOf(roles, broken, warnings []string) *probes {
	a := &App{opts: Options{Roles: roles}}
	p := a.newProbes()
	for i, c := range p.checks {
		p.checks[i].look = func(context.Context) error {
			if slices.Contains(broken, c.name) {
				return errors.New(c.name + " is away")
			}
			return nil
		}
	}
	p.warnings = func() []string { return warnings }
	return p
}

func ask(t *testing.T, p *probes, query string, value any) int {
	t.Helper()
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/readyz"+query, nil)
	require.NoError(t, p.serve(echo.New().NewContext(request, recorder)))
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), value))
	return recorder.Code
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	all, warning := config.Roles(), []string{"look here"}
	ingest, router := []string{config.RoleIngest}, []string{config.RoleRouter}
	work := []string{config.RoleRouter, config.RoleDispatcher}
	for name, c := range map[string]struct {
		roles, broken, warnings []string
		want                    string
		unavailable             []string // roles
	}{
		"all is well":                  {all, nil, nil, statusReady, nil},
		"a warning":                    {all, nil, warning, statusDegraded, nil},
		"a warning, no door":           {work, nil, warning, statusDegraded, nil},
		"no Postgres":                  {all, []string{"postgres"}, nil, statusDegraded, work},
		"no Postgres, a warning":       {all, []string{"postgres"}, warning, statusDegraded, work},
		"no key of erasures":           {all, []string{"erasures"}, nil, statusDegraded, []string{config.RoleDispatcher}},
		"no NATS":                      {all, []string{"nats"}, nil, statusUnavailable, all},
		"no NATS, a warning":           {all, []string{"nats"}, warning, statusUnavailable, all},
		"the door is shut":             {all, []string{"door"}, nil, statusUnavailable, ingest},
		"the door and Postgres":        {all, []string{"door", "postgres"}, nil, statusUnavailable, all},
		"everything":                   {all, []string{"door", "postgres", "nats"}, nil, statusUnavailable, all},
		"Twilio is away":               {all, []string{"twilio"}, nil, statusDegraded, []string{config.RoleDispatcher}},
		"ingest needs no Postgres":     {ingest, []string{"postgres"}, nil, statusReady, nil},
		"ingest needs NATS":            {ingest, []string{"nats"}, nil, statusUnavailable, ingest},
		"the router needs no door":     {router, []string{"door"}, nil, statusReady, nil},
		"no grace without the door":    {router, []string{"postgres"}, nil, statusUnavailable, router},
		"the same for two":             {work, []string{"postgres"}, warning, statusUnavailable, work},
		"grace for the door beside it": {[]string{config.RoleIngest, config.RoleRouter}, []string{"postgres"}, nil, statusDegraded, router},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := probesOf(c.roles, c.broken, c.warnings)
			code := map[string]int{statusReady: 200, statusDegraded: 200, statusUnavailable: 503}
			var whole readiness
			require.Equal(t, code[c.want], ask(t, p, "", &whole))
			require.Equal(t, c.want, whole.Status)
			require.Equal(t, c.warnings, whole.Warnings)
			require.Equal(t, code[c.want], ask(t, p, "?role=", &whole), "an empty role is none")
			require.Len(t, whole.Roles, len(c.roles))
			for _, role := range append(config.Roles(), "postman") {
				var one condition
				status := ask(t, p, "?role="+role, &one)
				switch {
				case !slices.Contains(c.roles, role):
					require.Equal(t, 503, status)
					require.Equal(t, condition{statusUnavailable, "this process does not have the role " + role}, one)
				case slices.Contains(c.unavailable, role):
					require.Equal(t, 503, status, "one role gets no grace")
					require.Equal(t, whole.Roles[role], one)
					require.Contains(t, one.Reason, "is away")
				default:
					require.Equal(t, 200, status)
					require.Equal(t, condition{Status: statusReady}, one)
				}
			}
		})
	}
}

// Dependencies that hang are looked at side by side and not for ever.
func TestReadinessIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := probesOf(config.Roles(), nil, nil)
		for i := range p.checks {
			p.checks[i].look = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}
		began := time.Now()
		r := p.look(t.Context())
		require.Equal(t, checkTimeout, time.Since(began))
		require.Equal(t, statusUnavailable, r.Status)
		require.Len(t, r.Dependencies, len(p.checks))
	})
}
