package ingest

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/stream"
)

// takeEnvelope is the way of one outbound message: client certificate, endpoint, body, document, organisation, storage, acknowledgement.
func (i *Ingest) takeEnvelope(w http.ResponseWriter, r *http.Request) (accepted, error) {
	received := time.Now()
	if err := i.checkClient(r.TLS); err != nil {
		return nil, err
	}
	if err := i.checkEndpoint(r); err != nil {
		return nil, err
	}
	body, release, err := i.bodies.read(r, i.cfg.Salesforce.MaxBody)
	if err != nil {
		return nil, err
	}
	defer release()
	envelope, err := salesforce.Check(body, i.cfg.Salesforce.Limits)
	if err != nil {
		return nil, err
	}
	if !i.orgs[envelope.Org] {
		return nil, errUnknownOrg
	}
	document, err := i.withoutSession(body)
	if err != nil {
		return nil, err
	}
	about := stream.Envelope{
		Org: envelope.Org, Object: envelope.Object, Count: len(envelope.Notifications),
		MsgID: duplicateKey(envelope), Received: received,
	}
	err = i.durable(r.Context(), func(ctx context.Context) error {
		return i.cfg.Publisher.PublishNotification(ctx, about, document)
	})
	if err != nil {
		return nil, fmt.Errorf("store envelope: %w", err)
	}
	i.metrics.envelopes.Inc()
	i.metrics.notifications.Add(float64(about.Count))
	write(w, http.StatusOK, salesforce.ContentType, i.ack)
	return accepted{
		slog.String("org", string(about.Org)), slog.String("object", about.Object),
		slog.Int("notifications", about.Count), slog.Int("bytes", len(body)),
	}, nil
}

// checkClient looks at the certificate of the connection, for each request anew: a pin may be gone since the handshake. It goes
// before the path, so that nobody without the certificate learns whether a path secret is right.
func (i *Ingest) checkClient(connection *tls.ConnectionState) error {
	switch pinned := i.cfg.Salesforce.Pinned; {
	case pinned == nil:
		return nil
	case connection == nil || len(connection.PeerCertificates) == 0:
		return errNoClientCert
	case !pinned(connection.PeerCertificates[0]):
		// What stands in the certificate is the sender's choice; its hash tells an operator which one to pin.
		return fmt.Errorf("%w, its SHA-256 is %x", errWrongClientCert, sha256.Sum256(connection.PeerCertificates[0].Raw))
	}
	return nil
}

// checkEndpoint looks at everything else before the body.
func (i *Ingest) checkEndpoint(r *http.Request) error {
	given := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, PathSalesforce), "/")
	given = strings.TrimSuffix(given, "/")
	sum := sha256.Sum256([]byte(given)) // equal lengths, so that the comparison tells nothing about the secret's
	if subtle.ConstantTimeCompare(sum[:], i.secret[:]) != 1 {
		return errNotFound
	}
	if r.Method != http.MethodPost {
		return errMethod
	}
	encoding := r.Header.Get("Content-Encoding")
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		return errMediaType
	}
	contentType := strings.ToLower(r.Header.Get("Content-Type"))
	if strings.Contains(contentType, "json") {
		return errMediaType
	}
	return checkCharset(contentType)
}

// checkCharset refuses a declared encoding that is not ours: it goes before the document's own word (RFC 7303, section 3),
// and reading the bytes otherwise would garble names.
func checkCharset(contentType string) error {
	_, params, _ := mime.ParseMediaType(contentType) // one that can't be read declares nothing
	switch params["charset"] {
	case "", "utf-8", "utf8", "us-ascii":
		return nil
	}
	return errCharset
}

// withoutSession removes the session token from a document that was decoded. What is stored must decode, so what was
// changed is decoded again.
func (i *Ingest) withoutSession(body []byte) ([]byte, error) {
	document := withoutSession(body)
	if len(document) == len(body) {
		return body, nil
	}
	if _, err := salesforce.Check(document, i.cfg.Salesforce.Limits); err != nil {
		return nil, errSession
	}
	return document, nil
}

// duplicateKey is the same for the same notifications of the same organisation, in whatever order.
func duplicateKey(e *notification.Envelope) string {
	ids := make([]string, len(e.Notifications))
	for n := range e.Notifications {
		ids[n] = string(e.Notifications[n].ID)
	}
	slices.Sort(ids)
	sum := sha256.Sum256([]byte(string(e.Org) + "\n" + strings.Join(ids, "\n")))
	return hex.EncodeToString(sum[:])
}
