package app

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
	"github.com/beckonhq/beckon/templates"
)

const (
	defaultTurns   = 50
	largestRequest = 64 << 10 // bytes of a request's body
)

func (a *App) mountConversations(g *echo.Group) {
	g.GET("/conversations", a.listConversations)
	g.GET("/conversations/:id", a.showConversation)
	g.POST("/conversations/:id/reply", a.answerConversation)
	g.POST("/conversations/:id/assign", a.assignConversation)
	g.POST("/conversations/:id/close", a.closeConversation)
	a.mountMedia(g)
}

// limitOf reads the query parameter limit.
func limitOf(c echo.Context, standard int) (int, error) {
	limit, err := strconv.Atoi(orDefault(c.QueryParam("limit"), strconv.Itoa(standard)))
	if err != nil || limit < 1 || limit > largestPage {
		return 0, errors.New("limit must be a number from 1 to " + strconv.Itoa(largestPage))
	}
	return limit, nil
}

func (a *App) listConversations(c echo.Context) error {
	if !reached(a.migrated) {
		return noLedger(c)
	}
	filter, err := a.conversationFilter(c)
	if err != nil {
		return c.JSON(http.StatusBadRequest, problem{err.Error()})
	}
	list, next := []view.Conversation{}, ""
	page := filter.Limit
	filter.Limit++ // one more tells whether there is another page
	var last store.Cursor
	err = a.store.Conversations(c.Request().Context(), filter, func(one store.Conversation) error {
		if len(list) == page {
			next = writeCursor(last)
			return nil
		}
		list, last = append(list, view.NewConversation(one)), one.Cursor()
		return nil
	})
	if err != nil {
		return a.failed(c, err)
	}
	return c.JSON(http.StatusOK, map[string]any{"conversations": list, "next": next})
}

// conversationFilter reads the query of a listing.
func (a *App) conversationFilter(c echo.Context) (store.ConversationFilter, error) {
	f := store.ConversationFilter{State: store.ConversationState(c.QueryParam("state")), AssignedTo: c.QueryParam("assigned_to")}
	if with := c.QueryParam("with"); with != "" {
		f.With = address.Address(with)
		if number, err := address.Parse(with, a.cfg.DefaultRegion); err == nil { // else an id of WhatsApp
			f.With = number
		}
	}
	if !slices.Contains([]store.ConversationState{"", store.ConversationOpen, store.ConversationClosed}, f.State) {
		return f, errors.New("state must be open or closed")
	}
	switch c.QueryParam("marked") {
	case "", "false":
	case "true":
		f.Marked = true
	default:
		return f, errors.New("marked must be true or false")
	}
	var err error
	if f.After, err = readCursor(c.QueryParam("after")); err != nil {
		return f, err
	}
	f.Limit, err = limitOf(c, defaultPage)
	return f, err
}

// writeCursor and readCursor: where the next page begins, opaque to others.
func writeCursor(c store.Cursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.LastInboundAt.UTC().Format(time.RFC3339Nano) + " " + c.ID))
}

func readCursor(text string) (store.Cursor, error) {
	if text == "" {
		return store.Cursor{}, nil
	}
	wrong := errors.New("after must be the next of a page before")
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return store.Cursor{}, wrong
	}
	at, id, _ := strings.Cut(string(plain), " ")
	c := store.Cursor{ID: id}
	if c.LastInboundAt, err = time.Parse(time.RFC3339Nano, at); err != nil || uuid.Validate(id) != nil {
		return store.Cursor{}, wrong
	}
	return c, nil
}

func (a *App) showConversation(c echo.Context) error {
	if !reached(a.migrated) {
		return noLedger(c)
	}
	limit, err := limitOf(c, defaultTurns)
	if err != nil {
		return c.JSON(http.StatusBadRequest, problem{err.Error()})
	}
	var before time.Time
	if text := c.QueryParam("before"); text != "" {
		if before, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return c.JSON(http.StatusBadRequest, problem{"before must be the time of a message, as in at"})
		}
	}
	return a.giveConversation(c, before, limit)
}

func (a *App) giveConversation(c echo.Context, before time.Time, limit int) error {
	one, err := a.store.Conversation(c.Request().Context(), c.Param("id"))
	if err != nil {
		return a.refused(c, err)
	}
	newest, err := a.store.Newest(c.Request().Context(), one.ID) // before the turns, so that it never names what they lack
	if err != nil {
		return a.failed(c, err)
	}
	turns, err := a.store.Turns(c.Request().Context(), one, before, limit)
	if err != nil {
		return a.failed(c, err)
	}
	return c.JSON(http.StatusOK, view.NewWholeConversation(one, turns, newest))
}

// answerRequest is the body of a reply: a text, or a template with its variables.
type answerRequest struct {
	Text     string         `json:"text"`
	Template string         `json:"template"`
	Language string         `json:"language"`
	Vars     map[string]any `json:"vars"`
	By       string         `json:"by"`
	Key      string         `json:"key"`
	Seen     string         `json:"seen"`
}

func (a *App) answerConversation(c echo.Context) error {
	var request answerRequest
	if answered, err := a.read(c, &request); answered {
		return err
	}
	if (request.Text == "") == (request.Template == "") {
		return c.JSON(http.StatusBadRequest, problem{"give either text or template"})
	}
	content, err := a.content(request)
	if err != nil {
		return c.JSON(http.StatusUnprocessableEntity, problem{err.Error()})
	}
	id, made, err := a.store.AnswerConversation(c.Request().Context(), store.Answer{
		ConversationID: c.Param("id"), Content: content, Template: request.Template, Language: request.Language, By: request.By,
		Key: request.Key, Seen: request.Seen, Pause: a.cfg.Replies.Pause,
	})
	if err != nil {
		return a.refused(c, err)
	}
	return c.JSON(http.StatusOK, map[string]any{"message_id": id, "made": made})
}

// content is what a request says, for every channel.
func (a *App) content(request answerRequest) (message.Content, error) {
	if request.Template == "" {
		return templates.FreeText(request.Text)
	}
	set, err := a.texts()
	if err != nil {
		return message.Content{}, errors.New("the templates can't be read now: see the log")
	}
	if !set.Has(request.Template) {
		return message.Content{}, errors.New("there is no such template")
	}
	content, err := set.Render(request.Template, request.Language, request.Vars)
	if content.SMS != nil || content.WhatsApp != nil { // a channel that can't be rendered is missing: the ledger says so if it is the one
		return content, nil
	}
	return content, err
}

func (a *App) assignConversation(c echo.Context) error {
	var request struct {
		To *string `json:"to"`
		By string  `json:"by"`
	}
	if answered, err := a.read(c, &request); answered {
		return err
	}
	if request.To == nil || request.By == "" {
		return c.JSON(http.StatusBadRequest, problem{`give "to" (empty for nobody) and "by"`})
	}
	if err := a.store.AssignConversation(c.Request().Context(), c.Param("id"), *request.To, request.By); err != nil {
		return a.refused(c, err)
	}
	return a.giveConversation(c, time.Time{}, 1)
}

func (a *App) closeConversation(c echo.Context) error {
	var request struct {
		By string `json:"by"`
	}
	if answered, err := a.read(c, &request); answered {
		return err
	}
	if request.By == "" {
		return c.JSON(http.StatusBadRequest, problem{`give "by"`})
	}
	if err := a.store.CloseConversation(c.Request().Context(), c.Param("id"), request.By); err != nil {
		return a.refused(c, err)
	}
	return a.giveConversation(c, time.Time{}, 1)
}

// read reads the JSON body of a request that changes something. It demands the content type of JSON, which no form of a web page
// can send. answered tells that the request was refused.
func (a *App) read(c echo.Context, into any) (answered bool, err error) {
	if !reached(a.migrated) {
		return true, noLedger(c)
	}
	kind, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON {
		return true, c.JSON(http.StatusUnsupportedMediaType, problem{"the content type must be application/json"})
	}
	decoder := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, largestRequest))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(into)
	if _, end := decoder.Token(); err != nil || !errors.Is(end, io.EOF) { // what follows a value was meant for something
		return true, c.JSON(http.StatusBadRequest, problem{"the body is not the JSON that is wanted here: see /api/v1/openapi.json"})
	}
	return false, nil
}

// refused answers for a ledger that said no, or could not say anything.
func (a *App) refused(c echo.Context, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return c.JSON(http.StatusNotFound, problem{"there is no conversation with this id"})
	case errors.Is(err, store.ErrOptedOut), errors.Is(err, store.ErrWindow), errors.Is(err, store.ErrNoContent),
		errors.Is(err, store.ErrKeyUsed), errors.Is(err, store.ErrNotSeen):
		return c.JSON(http.StatusConflict, problem{err.Error()})
	case errors.Is(err, store.ErrNobody):
		return c.JSON(http.StatusBadRequest, problem{err.Error()})
	}
	return a.failed(c, err)
}
