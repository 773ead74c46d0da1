package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/beckonhq/beckon/internal/config"
)

// checkTimeout bounds one look at a dependency.
const checkTimeout = 2 * time.Second

// Statuses of /readyz.
const (
	statusReady       = "ready"
	statusDegraded    = "degraded"
	statusUnavailable = "unavailable"
)

// readiness is the answer of /readyz.
type readiness struct {
	Status       string               `json:"status"`
	Roles        map[string]condition `json:"roles"`
	Dependencies map[string]condition `json:"dependencies"`
	Warnings     []string             `json:"warnings,omitempty"`
}

type condition struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// check looks at one dependency.
type check struct {
	name string
	look func(context.Context) error
}

// probes says what each role of this process depends on, by name.
type probes struct {
	checks   []check
	needs    map[string][]string // role -> names of checks
	warnings func() []string
}

// look asks every dependency, side by side.
func (p *probes) look(ctx context.Context) readiness {
	r := readiness{Roles: map[string]condition{}, Dependencies: map[string]condition{}}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, c := range p.checks {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			result := condition{Status: statusReady}
			if err := c.look(ctx); err != nil {
				result = condition{Status: statusUnavailable, Reason: err.Error()}
			}
			mu.Lock()
			defer mu.Unlock()
			r.Dependencies[c.name] = result
		})
	}
	group.Wait()
	for role, names := range p.needs {
		r.Roles[role] = condition{Status: statusReady}
		for _, name := range names {
			if d := r.Dependencies[name]; d.Status != statusReady {
				r.Roles[role] = condition{Status: statusUnavailable, Reason: name + ": " + d.Reason}
			}
		}
	}
	r.Warnings = p.warnings()
	r.Status = r.overall()
	return r
}

// overall is degraded, not unavailable, while the door can accept: Salesforce loses nothing then.
func (r *readiness) overall() string {
	status := statusReady
	for _, c := range r.Roles {
		if c.Status != statusReady {
			status = statusUnavailable
		}
	}
	if status == statusUnavailable && r.Roles[config.RoleIngest].Status == statusReady {
		return statusDegraded
	}
	if status == statusReady && len(r.Warnings) > 0 {
		return statusDegraded
	}
	return status
}

// serve answers /readyz: 200 for ready and degraded, else 503. With ?role= it answers for that role alone.
func (p *probes) serve(c echo.Context) error {
	r := p.look(c.Request().Context())
	if role := c.QueryParam("role"); role != "" {
		result, ok := r.Roles[role]
		if !ok {
			return c.JSON(http.StatusServiceUnavailable, condition{statusUnavailable, "this process does not have the role " + role})
		}
		return c.JSON(statusCode(result.Status), result)
	}
	return c.JSON(statusCode(r.Status), r)
}

func statusCode(status string) int {
	if status == statusUnavailable {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}
