package app

import (
	_ "embed"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
)

//go:embed openapi.json
var openAPI []byte

const (
	defaultPage = 100
	largestPage = 1000
)

// mountAPI puts the JSON API on the private listener. It is described by openapi.json, an OpenAPI 3.0 file, since
// Salesforce External Services reads no 3.1. The group has the guard, which lets the description pass.
func (a *App) mountAPI(g *echo.Group) {
	g.GET("/openapi.json", func(c echo.Context) error { return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, openAPI) })
	g.GET("/messages", a.listMessages)
	g.GET("/trace/:id", a.trace)
	a.mountConversations(g)
	a.mountConsent(g)
}

func (a *App) listMessages(c echo.Context) error {
	if !reached(a.migrated) {
		return noLedger(c)
	}
	limit, err := strconv.Atoi(orDefault(c.QueryParam("limit"), strconv.Itoa(defaultPage)))
	if err != nil || limit < 1 || limit > largestPage {
		return c.JSON(http.StatusBadRequest, problem{"limit must be a number from 1 to " + strconv.Itoa(largestPage)})
	}
	list := make([]view.Message, 0, limit)
	filter := store.MessageFilter{
		State: message.State(c.QueryParam("state")), To: address.Address(c.QueryParam("to")), Limit: limit,
	}
	err = a.store.Messages(c.Request().Context(), filter, func(m message.Message) error {
		list = append(list, view.NewMessage(m))
		return nil
	})
	if err != nil {
		return a.failed(c, err)
	}
	return c.JSON(http.StatusOK, map[string]any{"messages": list})
}

func (a *App) trace(c echo.Context) error {
	if !reached(a.migrated) {
		return noLedger(c)
	}
	trace, err := a.store.Trace(c.Request().Context(), c.Param("id"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return c.JSON(http.StatusNotFound, problem{"nothing has this id"})
	case err != nil:
		return a.failed(c, err)
	}
	letters, err := a.stream.FindDeadLetters(c.Request().Context(), view.AboutAny(trace))
	if err != nil { // the ledger's part is worth more than nothing
		a.log.WarnContext(c.Request().Context(), "the dead letters of a trace can't be read", "error", err)
	}
	return c.JSON(http.StatusOK, view.NewTrace(trace, letters...))
}

// problem is the body of every error of the API.
type problem struct {
	Error string `json:"error"`
}

func noLedger(c echo.Context) error {
	return c.JSON(http.StatusServiceUnavailable, problem{"this process has no role that uses the ledger, or is still starting"})
}

// failed answers for a ledger that did not: 503 when the same request may succeed later.
func (a *App) failed(c echo.Context, err error) error {
	a.log.ErrorContext(c.Request().Context(), "a request to the API failed", "path", c.Path(), "error", err)
	status := http.StatusInternalServerError
	if store.Temporary(err) {
		status = http.StatusServiceUnavailable
	}
	return c.JSON(status, problem{"the ledger does not answer now"})
}

func orDefault(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
