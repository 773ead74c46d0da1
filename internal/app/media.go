package app

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

// giveMedia passes on a picture or file of a reply: fetched from Twilio with the account's credentials, which never leave the
// process, as a download that no browser shows or runs by itself.
func (a *App) giveMedia(c echo.Context) error {
	if !reached(a.migrated) {
		return noLedger(c)
	}
	ctx := c.Request().Context()
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil || n < 0 || n > math.MaxInt32 {
		return c.JSON(http.StatusNotFound, problem{"the number of a picture or file counts from 0"})
	}
	media, sender, err := a.store.MediaOf(ctx, c.Param("sid"), n)
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
	client := twilio.New(account)
	defer client.Close()
	content, err := client.Media(ctx, media.URL)
	if err != nil {
		return a.noMedia(c, err)
	}
	header := c.Response().Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	header.Set("Cache-Control", "private, no-store")
	header.Set("Content-Disposition", `attachment; filename="`+fileName(c.Param("sid"), n, content.Type)+`"`)
	return c.Blob(http.StatusOK, content.Type, content.Data)
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
		twilio.ErrMediaType: http.StatusUnsupportedMediaType, twilio.ErrMediaURL: http.StatusForbidden,
	} {
		if errors.Is(err, cause) {
			return c.JSON(status, problem{cause.Error()})
		}
	}
	a.log.WarnContext(c.Request().Context(), "the media of a reply can't be fetched", "error", err)
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
	}
	if len(sender.Account.AuthTokens) > 0 {
		account.AuthToken = sender.Account.AuthTokens[0].Reveal()
	}
	return account
}
