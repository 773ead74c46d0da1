package twilio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// ErrBadSignature says that a webhook request was not signed with any of our tokens for this URL and body.
var ErrBadSignature = errors.New("twilio: the signature does not match, check the auth token and the public URL")

// ErrNoSID is the cause of an Error: Twilio answered 2xx, but not with a message.
var ErrNoSID = errors.New("the answer is a success but names no message SID")

// ErrUndecodable is the cause of an Error: Twilio answered 2xx with something that is not the expected JSON.
var ErrUndecodable = errors.New("the answer is a success but cannot be decoded")

// ErrTooLarge is the cause of an Error: a 2xx body went over the limit.
var ErrTooLarge = errors.New("the answer is larger than the limit")

// ErrRedirect is the cause of an Error: Twilio, or something in front of it, answered 3xx. It is never followed.
var ErrRedirect = errors.New("the answer is a redirect, which is not followed: check the API URL")

// ErrPaging is the cause of an Error of List: the next page cannot be followed.
var ErrPaging = errors.New("the list names a next page that cannot be followed")

// ErrBadSID is the cause of an Error of Fetch: the SID given is not one.
var ErrBadSID = errors.New("not a message SID")

// ErrVariables is the cause of an Error of Send: WhatsApp would refuse the variables of the template, so they were not sent.
var ErrVariables = errors.New("the variables of the template can't be sent")

// errExpired stops a request whose deadline passed while it waited for a connection or for the processor.
var errExpired = fmt.Errorf("the deadline passed before the request was written: %w", context.DeadlineExceeded)

// Kind says what can be concluded from a failed call.
type Kind string

// The kinds.
const (
	// NotSent is certain: no request was carried out. Dial or TLS failure, a context that ended before the body was
	// handed to the connection, or 429, which Twilio promises it has not processed.
	NotSent Kind = "not_sent"
	// Refused is certain: Twilio, or a proxy in front of it, answered 4xx (other than 408 and 429).
	Refused Kind = "refused"
	// Unclear is all else: time-out or reset after writing, 3xx, 408, 5xx, a success without a message in it.
	Unclear Kind = "unclear"
)

// Error is the one error type of Client's methods.
type Error struct {
	Kind       Kind
	Code       int           // Twilio's error code, 0 if there was none
	Status     int           // HTTP status, 0 if there was no answer
	RetryAfter time.Duration // from the Retry-After header, 0 if there was none
	Reaction   Reaction      // what to do, from the table of reactions
	Rule       Rule          // the whole rule behind Reaction
	Op         string        // "send", "list" or "fetch"
	Cause      error         // never nil for failures without an HTTP error status
}

// Error says what happened without any address, text or credential: Twilio's own message often quotes the number, so
// it is left out and the table's meaning of the code is given.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "twilio: %s: %s", e.Op, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, ", HTTP %d", e.Status)
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, ", code %d", e.Code)
	}
	if e.Rule.Meaning != "" && e.Status != 0 {
		fmt.Fprintf(&b, " (%s)", e.Rule.Meaning)
	}
	if e.Cause != nil {
		b.WriteString(": ")
		b.WriteString(causeText(e.Cause))
	}
	return b.String()
}

// Unwrap gives the cause, so that errors.Is finds context.DeadlineExceeded, syscall.ECONNREFUSED and the like.
func (e *Error) Unwrap() error { return e.Cause }

// AsError finds an *Error in err's chain.
func AsError(err error) (*Error, bool) {
	var found *Error
	ok := errors.As(err, &found)
	return found, ok
}

// causeText is the text of causes that are known to quote nothing of the request or the answer; others give only
// their type. (An HTTP parse error, for example, quotes the line that it could not read.)
func causeText(err error) string {
	var (
		op     *net.OpError
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case isOurs(err), errors.Is(err, ErrVariables), errors.As(err, &op), errors.As(err, &verify):
		return err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded.Error()
	case errors.Is(err, context.Canceled):
		return context.Canceled.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was complete"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	}
	return fmt.Sprintf("transport error %T", err)
}

func isOurs(err error) bool {
	for _, ours := range []error{ErrNoSID, ErrUndecodable, ErrTooLarge, ErrRedirect, ErrPaging, ErrBadSID, errExpired, errConfig} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// ParameterError says which parameter of a webhook is missing or cannot be read. It never carries the value.
type ParameterError struct {
	Name    string
	Problem string
}

// Error names the parameter.
func (e *ParameterError) Error() string { return "twilio: parameter " + e.Name + " " + e.Problem }
