package twilio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MaxMedia is the size of the largest picture or file that is fetched, in bytes: what WhatsApp carries of pictures, sound and
// films.
const MaxMedia = 16 << 20

const (
	mediaRedirects = 3                // bounds how often Twilio may send us on to where it stores the file
	mediaBegins    = 20 * time.Second // the time in which the first bytes must be here
	sniffed        = 512              // bytes, as many as http.DetectContentType looks at
)

// Errors of Media.
var (
	ErrMediaURL      = errors.New("the link of the media does not lead to this account at Twilio: it is not fetched")
	ErrMediaType     = errors.New("the media is of a type that is not passed on")
	ErrMediaContent  = errors.New("the media is not of the type that it is said to be: it is not passed on")
	ErrMediaTooLarge = fmt.Errorf("the media is larger than %d MiB", MaxMedia>>20)
	ErrMediaGone     = errors.New("the media is not at Twilio any more")
)

// errMediaLate ends a request whose answer does not begin in time.
var errMediaLate = fmt.Errorf("the media does not begin to arrive: %w", context.DeadlineExceeded)

// MediaContent is a picture or file that a person sent, while it arrives.
type MediaContent struct {
	Type string // one of the permitted ones, without parameters
	Size int64  // in bytes, never more than MaxMedia; negative when the server does not tell
	// Body has to be closed. It fails with ErrMediaTooLarge after MaxMedia, and with an *Error when less than Size comes.
	Body io.ReadCloser
}

// mediaTypes are passed on; anything that a browser might run is not among them.
func mediaTypes() []string {
	return []string{
		"image/jpeg", "image/png", "image/gif", "image/webp", "image/heic", "audio/ogg", "audio/mpeg", "audio/mp4", "audio/aac",
		"audio/amr", "audio/3gpp", "video/mp4", "video/3gpp", "video/quicktime", "application/pdf", "text/vcard", "text/x-vcard", "text/plain",
	}
}

// Media fetches a picture or file of an inbound message with our credentials. Only a link to our own account at the configured
// API is followed, since the link comes from outside; from there on, without credentials and over https, only to where Twilio
// stores media. It returns when the first bytes are here; the rest is not held in memory, and is read until ctx ends. The errors are
// the ones above, or an *Error.
func (c *Client) Media(ctx context.Context, link string) (*MediaContent, error) {
	one, _, err := c.begin(ctx, "fetch media")
	if err != nil {
		return nil, err
	}
	target, err := c.mediaURL(link)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancelCause(ctx) // ends with the body
	late := time.AfterFunc(orDefault(c.cfg.MediaTimeout, mediaBegins), func() { end(errMediaLate) })
	content, err := one.openMedia(ctx, target)
	late.Stop()
	if err != nil {
		end(nil)
		return nil, err
	}
	content.Body = endingBody{content.Body, end}
	return content, nil
}

// openMedia follows the link to the server that has the file and looks at its head and first bytes.
func (c *call) openMedia(ctx context.Context, target *url.URL) (*MediaContent, error) {
	response, err := c.client.getMedia(ctx, target, true)
	for range mediaRedirects {
		if err != nil || response.StatusCode/100 != 3 {
			break
		}
		_ = response.Body.Close()
		if target, err = target.Parse(response.Header.Get("Location")); err != nil || !storesMedia(target) {
			return nil, ErrMediaURL
		}
		response, err = c.client.getMedia(ctx, target, false)
	}
	if err != nil {
		return nil, c.fail(NotSent, 0, err)
	}
	content, err := c.checkMedia(response)
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return content, nil
}

// mediaURL accepts a link to media of our account at the configured API only.
func (c *Client) mediaURL(link string) (*url.URL, error) {
	target, err := url.Parse(link)
	if err != nil || target.Scheme != c.base.Scheme || !strings.EqualFold(target.Host, c.base.Host) || target.User != nil {
		return nil, ErrMediaURL
	}
	rest, ours := strings.CutPrefix(target.EscapedPath(), strings.TrimSuffix(c.base.Path, "/")+"/2010-04-01/Accounts/"+c.cfg.AccountSID+"/Messages/")
	parts := strings.Split(rest, "/")
	if !ours || len(parts) != 3 || parts[1] != "Media" || !isIdentifier(parts[0]) || !isIdentifier(parts[2]) {
		return nil, ErrMediaURL
	}
	return target, nil
}

// storesMedia tells whether a redirect leads to where Twilio stores media: its own host names, or its bucket. A bucket is named by the
// path only: anybody can have one whose name is part of the host, and machines have names of that domain too.
func storesMedia(target *url.URL) bool {
	host := strings.ToLower(target.Host)
	s3 := regexp.MustCompile(`^s3([.-][a-z0-9-]+)?\.amazonaws\.com$`)
	bucket := s3.MatchString(host) && strings.HasPrefix(target.EscapedPath(), "/media.twiliocdn.com/")
	return target.Scheme == "https" && target.User == nil && (strings.HasSuffix(host, ".twiliocdn.com") || bucket)
}

func (c *Client) getMedia(ctx context.Context, target *url.URL, ours bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the request cannot be built")
	}
	request.Header.Set("User-Agent", "beckon")
	request.Header.Set("Accept-Encoding", "identity") // the size that is told is then the size
	request.Close = true                              // whatever follows the body on its connection is nobody's
	if ours {
		request.SetBasicAuth(c.cfg.credentials())
	}
	return c.transport.RoundTrip(request) // which follows no redirect by itself
}

// checkMedia looks at the answer as far as its first bytes, and leaves the body to the caller.
func (c *call) checkMedia(response *http.Response) (*MediaContent, error) {
	switch {
	case response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusGone:
		return nil, ErrMediaGone
	case response.StatusCode != http.StatusOK:
		return nil, c.failStatus(response, nil)
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case err != nil || !slices.Contains(mediaTypes(), kind) || !plain(response.Header.Get("Content-Encoding")):
		return nil, ErrMediaType
	case response.ContentLength > MaxMedia:
		return nil, ErrMediaTooLarge
	}
	body := &mediaBody{Closer: response.Body, call: c, from: bufio.NewReaderSize(response.Body, sniffed), left: MaxMedia}
	first, err := body.from.Peek(sniffed)
	switch {
	case err != nil && !errors.Is(err, io.EOF): // which says that this is all
		return nil, c.fail(NotSent, 0, err)
	case !looksLike(kind, first):
		return nil, ErrMediaContent
	}
	return &MediaContent{Type: kind, Size: response.ContentLength, Body: body}, nil
}

// plain tells whether a content coding is none: a file that was packed would arrive as something else than its type says.
func plain(coding string) bool { return coding == "" || strings.EqualFold(coding, "identity") }

// looksLike tells whether the first bytes of a file are nothing else than its type says. Many types have no mark that is known here;
// text that is said to be a picture has none either, and is refused.
func looksLike(kind string, first []byte) bool {
	found, _, err := mime.ParseMediaType(http.DetectContentType(first))
	if err != nil {
		return false
	}
	family := func(kind string) string {
		name, _, _ := strings.Cut(kind, "/")
		if name == "audio" || kind == "application/ogg" { // containers of films hold sound alone, too
			return "video"
		}
		return name
	}
	switch {
	case found == "application/octet-stream": // not known
		return family(kind) != "text"
	case family(kind) == "text":
		return found == "text/plain"
	case family(kind) == "application":
		return found == kind
	}
	return family(found) == family(kind)
}

// mediaBody is the body of a file, as far as it may be long.
type mediaBody struct {
	io.Closer

	call *call
	from *bufio.Reader
	left int64
}

// Read fails with ErrMediaTooLarge instead of giving a byte too many, or with an *Error.
func (b *mediaBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return 0, ErrMediaTooLarge
	case err != nil && !errors.Is(err, io.EOF):
		return n, b.call.fail(NotSent, 0, err)
	}
	return n, err
}

// endingBody ends its request when it is closed.
type endingBody struct {
	io.ReadCloser

	end context.CancelCauseFunc
}

// Close closes the connection, also before the end of the body.
func (b endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.end(nil)
	return err
}
