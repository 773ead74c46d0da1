package twilio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// MaxMedia is the size of the largest picture or file that is fetched, in bytes: what WhatsApp carries of pictures, sound and
// films.
const MaxMedia = 16 << 20

// mediaRedirects bounds how often Twilio may send us on to where it stores the file.
const mediaRedirects = 3

// Errors of Media.
var (
	ErrMediaURL      = errors.New("the link of the media does not lead to this account at Twilio: it is not fetched")
	ErrMediaType     = errors.New("the media is of a type that is not passed on")
	ErrMediaTooLarge = fmt.Errorf("the media is larger than %d MiB", MaxMedia>>20)
	ErrMediaGone     = errors.New("the media is not at Twilio any more")
)

// MediaContent is a picture or file that a person sent.
type MediaContent struct {
	Type string // one of the permitted ones, without parameters
	Data []byte
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
// stores media. The errors are the ones above, or an *Error.
func (c *Client) Media(ctx context.Context, link string) (MediaContent, error) {
	one, _, err := c.begin(ctx, "fetch media")
	if err != nil {
		return MediaContent{}, err
	}
	target, err := c.mediaURL(link)
	if err != nil {
		return MediaContent{}, err
	}
	response, err := c.getMedia(ctx, target, true)
	for range mediaRedirects {
		if err != nil || response.StatusCode/100 != 3 {
			break
		}
		_ = response.Body.Close()
		if target, err = target.Parse(response.Header.Get("Location")); err != nil || !storesMedia(target) {
			return MediaContent{}, ErrMediaURL
		}
		response, err = c.getMedia(ctx, target, false)
	}
	if err != nil {
		return MediaContent{}, one.fail(NotSent, 0, err)
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusGone:
		return MediaContent{}, ErrMediaGone
	case response.StatusCode != http.StatusOK:
		return MediaContent{}, one.fail(kindOf(response.StatusCode), response.StatusCode, ErrUndecodable)
	}
	return readMedia(one, response)
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

// storesMedia tells whether a redirect leads to where Twilio stores media: its own host names, or its bucket.
func storesMedia(target *url.URL) bool {
	host := strings.ToLower(target.Host)
	bucket := strings.HasSuffix(host, ".amazonaws.com") && strings.HasPrefix(target.Path, "/media.twiliocdn.com/")
	return target.Scheme == "https" && target.User == nil && (strings.HasSuffix(host, ".twiliocdn.com") || bucket)
}

func (c *Client) getMedia(ctx context.Context, target *url.URL, ours bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the request cannot be built")
	}
	if ours {
		request.SetBasicAuth(c.cfg.credentials())
	}
	return c.transport.RoundTrip(request) // which follows no redirect by itself
}

func readMedia(one *call, response *http.Response) (MediaContent, error) {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	permitted := false
	for _, one := range mediaTypes() {
		permitted = permitted || one == kind
	}
	switch {
	case err != nil || !permitted:
		return MediaContent{}, ErrMediaType
	case response.ContentLength > MaxMedia:
		return MediaContent{}, ErrMediaTooLarge
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, MaxMedia+1))
	switch {
	case err != nil:
		return MediaContent{}, one.fail(NotSent, 0, err)
	case len(data) > MaxMedia:
		return MediaContent{}, ErrMediaTooLarge
	}
	return MediaContent{Type: kind, Data: data}, nil
}
