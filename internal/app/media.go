package app

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	// mediaAtOnce is how many pictures and files are passed on at once. Each takes some tens of KiB here, but a connection and a call to
	// Twilio of the account that messages are sent by, whose calls at once are bounded.
	mediaAtOnce = 16
	// mediaTimeout is of one picture or file as a whole: shorter than the time-out of the listener, so that the end is ours to tell.
	mediaTimeout = writeTimeout - 10*time.Second
)

// mountMedia puts the pictures and files of replies on the private listener.
func (a *App) mountMedia(g *echo.Group) {
	few := boundMedia(mediaAtOnce)
	g.GET("/media/:sid/:n", a.giveMedia, few)
	g.HEAD("/media/:sid/:n", a.giveMedia, few)
}

// boundMedia lets so many in at once; whoever comes then is told to come again.
func boundMedia(most int64) echo.MiddlewareFunc {
	places := semaphore.NewWeighted(most)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !places.TryAcquire(1) {
				c.Response().Header().Set(echo.HeaderRetryAfter, "1")
				return c.JSON(http.StatusServiceUnavailable, problem{"too many pictures and files are fetched now: try again in a second"})
			}
			defer places.Release(1)
			return next(c)
		}
	}
}

// giveMedia passes on a picture or file of a reply: fetched from Twilio with the account's credentials, which never leave the
// process, as a download that no browser shows or runs by itself.
func (a *App) giveMedia(c echo.Context) error {
	if !reached(a.migrated) {
		return noLedger(c)
	}
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil || n < 0 || n > math.MaxInt32 {
		return c.JSON(http.StatusNotFound, problem{"the number of a picture or file counts from 0"})
	}
	media, sender, err := a.store.MediaOf(c.Request().Context(), c.Param("sid"), n)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return c.JSON(http.StatusNotFound, problem{"this reply has no such picture or file"})
	case err != nil:
		return a.failed(c, err)
	}
	account, ok := a.accountOf(sender)
	if !ok {
		return c.JSON(http.StatusServiceUnavailable, problem{"this process has no Twilio credentials of the sender " + sender})
	}
	return a.fetchMedia(c, account, media.URL, func(kind string) string { return fileName(c.Param("sid"), n, kind) })
}

func (a *App) fetchMedia(c echo.Context, account twilio.Config, link string, name func(kind string) string) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), mediaTimeout)
	defer cancel()
	client := twilio.New(account)
	defer client.Close()
	content, err := client.Media(ctx, link)
	if err != nil {
		return a.noMedia(c, err)
	}
	defer func() { _ = content.Body.Close() }()
	return a.passOn(c, name(content.Type), content)
}

// passOn writes a file while it arrives. One that ends too early, or is too large, shows in that the answer is cut off: its head has
// gone already.
func (a *App) passOn(c echo.Context, name string, content *twilio.MediaContent) error {
	header := c.Response().Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	header.Set("Cache-Control", "private, no-store")
	header.Set("Accept-Ranges", "none") // a part of a file is answered with all of it
	header.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	header.Set(echo.HeaderContentType, content.Type)
	if content.Size >= 0 {
		header.Set(echo.HeaderContentLength, strconv.FormatInt(content.Size, 10))
	}
	c.Response().WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(c.Response(), content.Body); err != nil {
		if c.Request().Context().Err() == nil { // else whoever asked has gone
			a.log.WarnContext(c.Request().Context(), "the media of a reply is cut off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// fileName has nothing in it that a person chose.
func fileName(sid string, n int, kind string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, sid)
	_, ending, _ := strings.Cut(kind, "/")
	return safe + "-" + strconv.Itoa(n) + "." + strings.TrimPrefix(ending, "x-")
}

func (a *App) noMedia(c echo.Context, err error) error {
	for cause, status := range map[error]int{
		twilio.ErrMediaGone: http.StatusNotFound, twilio.ErrMediaTooLarge: http.StatusRequestEntityTooLarge,
		twilio.ErrMediaType: http.StatusUnsupportedMediaType, twilio.ErrMediaContent: http.StatusUnsupportedMediaType,
		twilio.ErrMediaURL: http.StatusForbidden,
	} {
		if errors.Is(err, cause) {
			return c.JSON(status, problem{cause.Error()})
		}
	}
	if c.Request().Context().Err() == nil { // else whoever asked has gone
		a.log.WarnContext(c.Request().Context(), "the media of a reply can't be fetched", "error", err)
	}
	if failure, ok := twilio.AsError(err); ok && failure.Status == http.StatusTooManyRequests {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(max(1, int(failure.RetryAfter.Seconds()))))
		return c.JSON(http.StatusServiceUnavailable, problem{"Twilio has no time for it now"})
	}
	return c.JSON(http.StatusBadGateway, problem{"Twilio does not give it now"})
}

// accountOf is the Twilio account of a sender; false when it is not configured here.
func (a *App) accountOf(name string) (twilio.Config, bool) {
	for _, sender := range a.cfg.Senders {
		if sender.Name == name {
			account := a.account(sender)
			return account, account.Validate() == nil
		}
	}
	return twilio.Config{}, false
}

func (a *App) account(sender config.Sender) twilio.Config {
	account := twilio.Config{
		AccountSID: sender.Account.AccountSID, APIKey: sender.Account.APIKey, APISecret: sender.Account.APISecret.Reveal(),
		BaseURL: a.cfg.Twilio.APIURL, MaxIdleConnsPerHost: sender.Concurrency, SocketTimeout: a.cfg.Dispatch.SendTimeout,
		Reactions: a.reactions,
	}
	if len(sender.Account.AuthTokens) > 0 {
		account.AuthToken = sender.Account.AuthTokens[0].Reveal()
	}
	return account
}
