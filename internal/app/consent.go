package app

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/view"
)

func (a *App) mountConsent(g *echo.Group) {
	g.GET("/consent/:address", a.showConsent)
	g.POST("/consent", a.addConsent)
}

func (a *App) showConsent(c echo.Context) error {
	if !reached(a.migrated) {
		return noLedger(c)
	}
	program := cmp.Or(c.QueryParam("program"), message.DefaultProgram)
	if !consent.IsProgram(program) {
		return c.JSON(http.StatusBadRequest, problem{"program must be a name in kebab-case, or brand/name"})
	}
	text, err := url.PathUnescape(c.Param("address")) // the router leaves what stands for a plus as it came
	if err != nil {
		return noAddress(c)
	}
	who, err := address.ParsePerson(text, a.cfg.DefaultRegion)
	if err != nil {
		return noAddress(c)
	}
	return a.giveConsent(c, who, program)
}

func noAddress(c echo.Context) error {
	return c.JSON(http.StatusBadRequest, problem{"the address must be a phone number such as +14155550123, or a WhatsApp id"})
}

func (a *App) giveConsent(c echo.Context, who address.Address, program string) error {
	held, err := a.store.ConsentOf(c.Request().Context(), who)
	if err != nil {
		return a.failed(c, err)
	}
	double := view.DoubleOptIn{On: a.cfg.AsksToConfirm(), Within: a.cfg.Consent.ConfirmWithin}
	return c.JSON(http.StatusOK, view.NewConsent(held, program, double))
}

// consentRequest is the body of an entry: who said what about what, and the proof.
type consentRequest struct {
	Address    string     `json:"address"`
	Action     string     `json:"action"`
	Channel    string     `json:"channel"`
	Program    string     `json:"program"`
	Brand      string     `json:"brand"`
	OccurredAt *time.Time `json:"occurred_at"`
	Disclosure string     `json:"disclosure"`
	SourceURL  string     `json:"source_url"`
	IP         string     `json:"ip"`
	Language   string     `json:"language"`
	Note       string     `json:"note"`
	By         string     `json:"by"`
	Key        string     `json:"key"`
}

// longestKey is that of the caller's name for an entry, in bytes.
const longestKey = 500

// addConsent adds an entry, as the commands do. With a key, a second call about the same is the same entry.
func (a *App) addConsent(c echo.Context) error {
	var request consentRequest
	if answered, err := a.read(c, &request); answered {
		return err
	}
	if strings.TrimSpace(request.By) == "" {
		return c.JSON(http.StatusBadRequest, problem{`give "by": somebody has to answer for the entry`})
	}
	if len(request.Key) > longestKey || strings.ContainsRune(request.Key, 0) {
		return c.JSON(http.StatusBadRequest, problem{fmt.Sprintf("the key must be a text of at most %d bytes", longestKey)})
	}
	who, err := address.ParsePerson(request.Address, a.cfg.DefaultRegion)
	if err != nil {
		return noAddress(c)
	}
	word := consent.Word{
		Address: who, Action: consent.Action(request.Action), Channel: request.Channel, Program: request.Program, Brand: request.Brand,
		Language: request.Language, Note: request.Note, Proof: consent.Proof{
			Disclosure: request.Disclosure, SourceURL: request.SourceURL, IP: request.IP, Operator: request.By,
		},
	}
	if request.OccurredAt != nil {
		word.OccurredAt = *request.OccurredAt
	}
	entry, err := word.Entry(time.Now())
	if err != nil {
		return c.JSON(http.StatusBadRequest, problem{err.Error()})
	}
	entry.Source, entry.Ask = consent.FromAPI, a.cfg.AsksToConfirm()
	entry.Evidence = cmp.Or(request.Key, uuid.Must(uuid.NewV7()).String())
	if err := a.store.AddConsent(c.Request().Context(), entry); err != nil {
		return a.failed(c, err)
	}
	return a.giveConsent(c, who, entry.Scope.Program())
}
