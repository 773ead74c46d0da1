package ingest

import (
	"context"
	"errors"
	"net/http"

	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/stream"
)

var (
	// ErrConfig is wrapped by every error of New.
	ErrConfig = errors.New("ingest configuration")

	errNotFound        = errors.New("no such endpoint")
	errNoClientCert    = errors.New("no client certificate was shown")
	errWrongClientCert = errors.New("the client certificate is not one of the pinned ones")
	errMethod          = errors.New("method is not POST")
	errMediaType       = errors.New("body is JSON or compressed")
	errCharset         = errors.New("body is not in UTF-8, by its content type")
	errTooLarge        = errors.New("body is larger than the limit")
	errUnreadable      = errors.New("body could not be read")
	errUnknownOrg      = errors.New("organisation is not configured")
	errBusy            = errors.New("too much work in progress")
	errBadSignature    = errors.New("signature is missing or wrong")
	errNoPublicURL     = errors.New("no public URL is configured to check signatures with")
	errNoSID           = errors.New("callback has no usable MessageSid")
	errSession         = errors.New("envelope cannot be read any more without its session")
	errPanic           = errors.New("handler panicked")
)

const reasonMalformed = "malformed"

// answer is how one kind of failure is answered and counted.
type answer struct {
	reason string // metric label and log value
	status int
	fault  salesforce.FaultCode
	text   string // shown to the sender; holds no value
}

type answerRow struct {
	cause  error
	answer answer
}

// answers is the one table of refusals. The first row whose cause matches counts.
func answers() []answerRow {
	const (
		client = salesforce.FaultClient
		server = salesforce.FaultServer
	)
	return []answerRow{
		{errNotFound, answer{"not_found", http.StatusNotFound, client, "there is nothing here"}},
		{errNoClientCert, answer{
			"no_client_cert", http.StatusForbidden, client, "a client certificate is needed, and none was shown",
		}},
		{errWrongClientCert, answer{
			"wrong_client_cert", http.StatusForbidden, client, "the client certificate is not one that is accepted here",
		}},
		{errMethod, answer{
			"method", http.StatusMethodNotAllowed, client,
			"this endpoint of Beckon, for outbound messages of Salesforce and callbacks of Twilio, takes POST requests only",
		}},
		{errMediaType, answer{
			"media_type", http.StatusUnsupportedMediaType, client, "the body must be plain text/xml",
		}},
		{errCharset, answer{
			"media_type", http.StatusUnsupportedMediaType, client, "the body must be in UTF-8",
		}},
		{errTooLarge, answer{
			"too_large", http.StatusRequestEntityTooLarge, client, "the message is larger than this endpoint takes",
		}},
		{stream.ErrTooLarge, answer{
			"too_large", http.StatusRequestEntityTooLarge, client, "the message is larger than the store behind this endpoint takes",
		}},
		{errUnreadable, answer{
			"unreadable", http.StatusRequestTimeout, server, "the body ended early or came too slowly",
		}},
		{errUnknownOrg, answer{
			"unknown_org", http.StatusForbidden, client, "this organisation is not configured here",
		}},
		{errBadSignature, answer{"bad_signature", http.StatusForbidden, client, "the signature is missing or wrong"}},
		{errNoPublicURL, answer{
			"no_public_url", http.StatusForbidden, client, "no public URL is configured, so no signature can be checked",
		}},
		{errNoSID, answer{"no_sid", http.StatusBadRequest, client, "the callback has no usable MessageSid"}},
		{errBusy, answer{"busy", http.StatusServiceUnavailable, server, "too much work in progress, try again"}},
		{stream.ErrFull, answer{"full", http.StatusServiceUnavailable, server, "the store is full, try again later"}},
		{stream.ErrUnavailable, answer{
			"unavailable", http.StatusServiceUnavailable, server, "the store is not available, try again later",
		}},
		{stream.ErrClosed, answer{
			"unavailable", http.StatusServiceUnavailable, server, "this endpoint is shutting down, try again",
		}},
		{stream.ErrNotConfirmed, answer{
			"not_confirmed", http.StatusServiceUnavailable, server, "storage was not confirmed in time, try again",
		}},
		{context.DeadlineExceeded, answer{
			"not_confirmed", http.StatusServiceUnavailable, server, "storage was not confirmed in time, try again",
		}},
		{errSession, internalAnswer()},
		{errPanic, internalAnswer()},
	}
}

func internalAnswer() answer {
	return answer{"internal", http.StatusInternalServerError, salesforce.FaultServer, "internal error, try again later"}
}

// answerTo looks an error up in the table. What is in no row is an internal error.
func answerTo(err error) answer {
	if malformed, ok := errors.AsType[*salesforce.MalformedError](err); ok {
		// The reason holds nothing from the document.
		return answer{reasonMalformed, http.StatusBadRequest, salesforce.FaultClient, malformed.Error()}
	}
	for _, row := range answers() {
		if errors.Is(err, row.cause) {
			return row.answer
		}
	}
	return internalAnswer()
}
