package salesforcesim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
)

// Failure reasons in the words of Salesforce's page "View Message Delivery Status".
const (
	reasonNack   = "SOAP response was a nack"
	reasonNotXML = "org.xml.sax.SAXParseException; lineNumber: 1; columnNumber: 1; Content is not allowed in prolog"
)

// maxAnswer bounds how much of an answer is read, in bytes.
const maxAnswer = 1 << 20

// answer is what came of one request.
type answer struct {
	status  int
	outcome Outcome
	reason  string
}

func (o *Org) post(ctx context.Context, e *notification.Envelope) answer {
	body, err := encode(e)
	if err != nil { // not reachable while Save checks what it stores
		return answer{outcome: Unreachable, reason: err.Error()}
	}
	return o.send(ctx, o.client, body)
}

// send posts one envelope and judges the answer within the time limit.
func (o *Org) send(ctx context.Context, client *http.Client, body []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return o.broken(ctx, err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=UTF-8")
	req.Header.Set("SOAPAction", `""`)
	req.Header.Set("User-Agent", "Jakarta Commons-HttpClient/3.1") // what a capture shows
	res, err := client.Do(req)
	if err != nil {
		return o.broken(ctx, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return o.broken(ctx, err)
	}
	return judge(res.StatusCode, text)
}

// broken is the outcome of a request without a whole answer. The URL is cut out of the error: its path may be a secret.
func (o *Org) broken(ctx context.Context, err error) answer {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return answer{outcome: TimedOut, reason: fmt.Sprintf("no answer within %v", o.cfg.Timeout)}
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return answer{outcome: Unreachable, reason: err.Error()}
}

// judge decides like Salesforce: only HTTP 200 with a readable Ack of true is an acknowledgement.
func judge(status int, body []byte) answer {
	ack, fault, err := salesforce.ParseResponse(body)
	switch {
	case err == nil && fault != "":
		return answer{status, Faulted, fmt.Sprintf("SOAP fault with HTTP %d", status)}
	case status != http.StatusOK:
		return answer{status, Refused, fmt.Sprintf("HTTP %d", status)}
	case err != nil && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
		return answer{status, Unreadable, reasonNotXML}
	case err != nil:
		return answer{status, Unreadable, err.Error()}
	case !ack:
		return answer{status, Nacked, reasonNack}
	default:
		return answer{status, Acked, ""}
	}
}

func encode(e *notification.Envelope) ([]byte, error) {
	var body bytes.Buffer
	err := salesforce.Encode(&body, salesforce.EnvelopeSpec{Envelope: e})
	return body.Bytes(), err
}
