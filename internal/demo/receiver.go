package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a server of the operator that reply rules tell of replies. It checks signatures with the library of the scheme, and not
// with our own code.
type receiver struct {
	http   *http.Server
	url    string
	secret string
	check  *standardwebhooks.Webhook

	mu      sync.Mutex
	notices []notice
	refused error // the first one
}

// notice is what the story reads of a webhook's body.
type notice struct {
	Type string `json:"type"`
	Data struct {
		Rule     string `json:"rule"`
		SID      string `json:"sid"`
		Text     string `json:"text"`
		Answer   string `json:"answer"`
		Object   string `json:"object"`
		RecordID string `json:"record_id"`
	} `json:"data"`
}

func startReceiver(ctx context.Context) (*receiver, error) {
	const secretBytes = 32
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key) // never fails
	r := &receiver{secret: "whsec_" + base64.StdEncoding.EncodeToString(key)}
	var err error
	if r.check, err = standardwebhooks.NewWebhook(r.secret); err != nil {
		return nil, fmt.Errorf("start the receiver of webhooks: %w", err)
	}
	socket, err := listenLocal(ctx)
	if err != nil {
		return nil, err
	}
	r.url = "http://" + socket.Addr().String() + "/ratings"
	r.http = &http.Server{Handler: r, ReadHeaderTimeout: patience}
	go func() { _ = r.http.Serve(socket) }() // ends with close
	return r, nil
}

func (r *receiver) close() error { return r.http.Close() }

// ServeHTTP takes a webhook, if its signature is right.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	const most = 1 << 20
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, most))
	var n notice
	if err = errors.Join(err, r.check.Verify(body, request.Header)); err == nil {
		err = json.Unmarshal(body, &n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if r.refused == nil {
			r.refused = err
		}
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.notices = append(r.notices, n)
	w.WriteHeader(http.StatusNoContent)
}

// told finds the notice about a reply. The error is why an earlier one was refused.
func (r *receiver) told(sid string) (notice, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.notices {
		if n.Data.SID == sid {
			return n, true, nil
		}
	}
	return notice{}, false, r.refused
}
