package mediaprobe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/publicnet"
)

const (
	timeout       = 3 * time.Second // of all questions about one file
	mostRedirects = 3
)

// Facts are what a server says of a file.
type Facts struct {
	ContentType string
	Size        int64 // in bytes; negative when it does not say
}

// errNoFile says that a server answers, but not with a file whose type it names.
var errNoFile = errors.New("the server does not say what it is")

// Prober asks. It is safe for concurrent use.
type Prober struct{ client *http.Client }

// New makes a Prober. private allows addresses of our own network.
func New(private bool) *Prober {
	return newProber(publicnet.Transport(timeout, private))
}

func newProber(transport http.RoundTripper) *Prober {
	return &Prober{client: &http.Client{Timeout: timeout, Transport: transport, CheckRedirect: follow}}
}

// Close drops idle connections.
func (p *Prober) Close() { p.client.CloseIdleConnections() }

// follow goes where Twilio would go too, but never off https.
func follow(next *http.Request, via []*http.Request) error {
	if len(via) > mostRedirects || next.URL.Scheme != "https" {
		return errNoFile
	}
	return nil
}

// Probe asks by HEAD, and where that is not answered (URLs may be signed for GET alone), or by a page, by a GET of the first byte: as
// Twilio, which asks by both.
func (p *Prober) Probe(ctx context.Context, link string) (Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	facts, err := p.ask(ctx, http.MethodHead, link)
	if errors.Is(err, errNoFile) || strings.HasPrefix(facts.ContentType, "text/html") {
		facts, err = p.ask(ctx, http.MethodGet, link)
	}
	return facts, err
}

func (p *Prober) ask(ctx context.Context, method, link string) (Facts, error) {
	request, err := http.NewRequestWithContext(ctx, method, link, http.NoBody)
	if err != nil || request.URL.Scheme != "https" {
		return Facts{}, errors.New("it is not an https URL")
	}
	request.Header.Set("User-Agent", "beckon")
	request.Header.Set("Accept-Encoding", "identity") // the size of the file is asked for, not of its transfer
	if method == http.MethodGet {
		request.Header.Set("Range", "bytes=0-0")
	}
	response, err := p.client.Do(request)
	if err != nil {
		return Facts{}, withoutURL(err)
	}
	_ = response.Body.Close() // unread: a server that ignores Range may have begun to send all of it
	facts := Facts{ContentType: response.Header.Get("Content-Type"), Size: response.ContentLength}
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusPartialContent:
		facts.Size = total(response.Header.Get("Content-Range"))
	default:
		return Facts{}, fmt.Errorf("%w: it answers %d", errNoFile, response.StatusCode)
	}
	if facts.ContentType == "" {
		return Facts{}, errNoFile
	}
	return facts, nil
}

// withoutURL takes the URL out of an error, and keeps what it is.
func withoutURL(err error) error {
	var wrapped *url.Error
	switch {
	case errors.Is(err, publicnet.ErrPrivate):
		return publicnet.ErrPrivate
	case errors.Is(err, errNoFile):
		return errNoFile
	case errors.As(err, &wrapped) && wrapped.Timeout():
		return errors.New("the server does not answer in time")
	}
	return errors.New("the server can't be reached")
}

// total reads the size out of "bytes 0-0/1234"; negative when it is not there.
func total(contentRange string) int64 {
	_, after, _ := strings.Cut(contentRange, "/")
	n, err := strconv.ParseInt(after, 10, 64)
	if err != nil {
		return -1
	}
	return n
}
