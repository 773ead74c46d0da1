package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
)

const (
	healthTimeout = 5 * time.Second
	healthAnswer  = 64 << 10 // most bytes of an answer that are read
)

func (r *root) healthcheck() *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running server whether it is ready, for containers",
		Long: "Ask a URL and succeed when it answers 200 within 5 seconds.\n\n" +
			"Without --url it asks /readyz of the beckon serve that runs on the data directory, else of the configured\n" +
			"private listener (BECKON_ADMIN_ADDR) on this machine.",
		Example: "  beckon healthcheck\n  beckon healthcheck --url 'http://127.0.0.1:9090/readyz?role=ingest'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if target == "" {
				cfg, err := r.load()
				if err != nil {
					return err
				}
				target = adminURL(cfg) + "/readyz"
			} else if u, err := url.Parse(target); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return usagef("--url must be a URL such as http://127.0.0.1:9090/readyz")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
			defer cancel()
			status, body, err := get(ctx, target)
			if err != nil {
				return err
			}
			if status != http.StatusOK {
				return fmt.Errorf("not healthy: %s answers %d%s", target, status, notReady(body))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&target, "url", "", "the URL to ask (default: /readyz of the private listener)")
	return cmd
}

// adminURL is where the private listener should be: of the server that runs on the data directory, else as configured.
func adminURL(cfg *config.Config) string {
	if running, err := embedded.ReadAddresses(cfg.DataDir); err == nil && running.AdminURL != "" {
		return running.AdminURL
	}
	return localURL(cfg.HTTP.AdminAddr)
}

// localURL is how this machine reaches a listener on host:port.
func localURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// get asks a URL and returns the status and the beginning of the answer. The error does not repeat what the URL carries
// besides the host.
func get(ctx context.Context, target string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return 0, nil, usagef("the URL can't be asked: %w", bare(err))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("no answer from %s: %w", request.URL.Host, bare(err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, healthAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("no whole answer from %s: %w", request.URL.Host, bare(err))
	}
	return response.StatusCode, body, nil
}

// bare drops the URL that net/http puts around an error, and says a time-out in plain words.
func bare(err error) error {
	var wrapped *url.Error
	if !errors.As(err, &wrapped) {
		return err
	}
	if wrapped.Timeout() {
		return errors.New("it took too long")
	}
	return wrapped.Err
}

// notReady tells what an answer of /readyz complains about.
func notReady(body []byte) string {
	type condition struct {
		Status, Reason string
	}
	var answer struct {
		Reason string
		Roles  map[string]condition
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var parts []string
	if answer.Reason != "" {
		parts = append(parts, answer.Reason)
	}
	for role, c := range answer.Roles {
		if c.Reason != "" {
			parts = append(parts, role+": "+c.Reason)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return ": " + strings.Join(parts, "; ")
}
