package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
)

// post sends a body of a content type to the private listener and reads the JSON answer into value, unless that is nil.
func (h *house) post(path, kind, body string, value any) int {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.AdminURL()+path, strings.NewReader(body))
	require.NoError(h.t, err)
	request.Header.Set("Content-Type", kind)
	res, err := h.client.Do(request)
	require.NoError(h.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(h.t, err)
	if value != nil {
		require.NoError(h.t, json.Unmarshal(answer, value), string(answer))
	}
	return res.StatusCode
}

func TestConversationsAPI(t *testing.T) {
	t.Parallel()
	h := start(t, withPostgres(t), config.RoleRouter)
	h.healthy()
	var list struct{ Conversations []view.Conversation }
	require.Equal(t, http.StatusOK, h.admin("/api/v1/conversations", &list))
	require.NotNil(t, list.Conversations)
	for sid, at := range map[string]time.Time{"SM1": time.Now(), "SM2": time.Now().Add(-25 * time.Hour)} {
		channel := message.SMS
		if sid == "SM2" {
			channel = message.WhatsApp
		}
		_, err := h.store.ApplyReply(t.Context(), store.Reply{
			SID: sid, Sender: "default", Channel: channel, From: "+14155550100", Body: "when?", Received: at,
			Media: []store.Media{{URL: "https://api.twilio.com/secret", ContentType: "image/png"}},
		})
		require.NoError(t, err)
	}
	require.Equal(t, http.StatusOK, h.admin("/api/v1/conversations?state=open&with=%2B14155550100", &list))
	require.Len(t, list.Conversations, 2)
	sms, whatsapp := "/api/v1/conversations/"+list.Conversations[0].ID, "/api/v1/conversations/"+list.Conversations[1].ID
	const jsonType = "application/json; charset=utf-8"

	var made struct {
		ID   string `json:"message_id"`
		Made bool
	}
	require.Equal(t, http.StatusOK, h.post(sms+"/reply", jsonType, `{"text": "at noon", "by": "ana", "key": "k"}`, &made))
	again := made.ID
	require.True(t, made.Made)
	require.Equal(t, http.StatusOK, h.post(sms+"/reply", jsonType, `{"text": "at noon", "by": "ana", "key": "k"}`, &made))
	require.Equal(t, again, made.ID)
	require.False(t, made.Made)
	require.Equal(t, http.StatusOK, h.post(sms+"/assign", jsonType, `{"to": "bo", "by": "ana"}`, nil))
	var whole view.WholeConversation
	require.Equal(t, http.StatusOK, h.post(sms+"/close", jsonType, `{"by": "bo"}`, &whole))
	require.Equal(t, http.StatusOK, h.admin(sms, &whole))
	require.Equal(t, "bo", whole.AssignedTo)
	require.Equal(t, "closed", whole.State)
	require.Len(t, whole.Turns, 2)
	require.Equal(t, "at noon", whole.Turns[1].Text)
	require.Equal(t, "human", whole.Turns[1].Origin)
	require.Equal(t, "/api/v1/media/SM1/0", whole.Turns[0].Media[0].Path)
	_, body := h.get(h.AdminURL() + sms)
	require.NotContains(t, body, "secret", "where Twilio keeps it is told to nobody")

	var wrong problem
	require.Equal(t, http.StatusConflict, h.post(sms+"/reply", jsonType, `{"text": "at one", "by": "ana", "key": "k"}`, &wrong))
	require.Contains(t, wrong.Error, "key")
	require.Equal(t, http.StatusConflict, h.post(sms+"/reply", jsonType, `{"text": "at one", "by": "bo", "seen": "SM1"}`, &wrong), "ana was quicker")
	require.Contains(t, wrong.Error, "look again")
	require.Equal(t, http.StatusOK, h.post(sms+"/reply", jsonType, `{"text": "at one", "by": "bo", "seen": "`+whole.Newest+`"}`, nil))
	require.Equal(t, http.StatusConflict, h.post(whatsapp+"/reply", jsonType, `{"text": "at noon", "by": "ana"}`, &wrong))
	require.Contains(t, wrong.Error, "template")
	require.Equal(t, http.StatusUnsupportedMediaType, h.post(sms+"/close", "text/plain", `{"by": "bo"}`, &wrong), "a form of a web page")
	for body, status := range map[string]int{
		`{"text": "x"}`: http.StatusBadRequest, `{"by": "ana"}`: http.StatusBadRequest, `{`: http.StatusBadRequest,
		`{"text": "x", "template": "y", "by": "ana"}`: http.StatusBadRequest, `{"tekst": "x", "by": "ana"}`: http.StatusBadRequest,
		`{"template": "no-such-template", "by": "ana"}`: http.StatusUnprocessableEntity, `{"text": " \n", "by": "ana"}`: http.StatusUnprocessableEntity,
		`{"text": "` + strings.Repeat("x", 1601) + `", "by": "ana"}`: http.StatusUnprocessableEntity,
	} {
		require.Equal(t, status, h.post(sms+"/reply", jsonType, body, &wrong), body)
		require.NotEmpty(t, wrong.Error)
	}
	require.Equal(t, http.StatusNotFound, h.admin("/api/v1/conversations/x", &wrong))
	require.Equal(t, http.StatusNotFound, h.post("/api/v1/conversations/x/close", jsonType, `{"by": "bo"}`, &wrong))
}

func TestConversationsArePaged(t *testing.T) {
	t.Parallel()
	h := start(t, withPostgres(t), config.RoleRouter)
	h.healthy()
	at := time.Now().Add(-time.Hour)
	says := func(n int, at time.Time) {
		_, err := h.store.ApplyReply(t.Context(), store.Reply{
			SID: fmt.Sprint("SM", n, at.UnixNano()), Sender: "default", Channel: message.SMS, From: address.Address(fmt.Sprint("+1415555010", n)),
			Body: "hello", Received: at,
		})
		require.NoError(t, err)
	}
	for n := range 5 {
		says(n, at) // all at one time
	}
	var seen []string
	var page struct {
		Conversations []view.Conversation
		Next          string
	}
	for link := "/api/v1/conversations?limit=2"; link != ""; {
		page.Next = ""
		require.Equal(t, http.StatusOK, h.admin(link, &page))
		for _, c := range page.Conversations {
			seen = append(seen, c.With)
		}
		if len(seen) == 2 {
			says(9, time.Now()) // newer than all
		}
		if link = ""; page.Next != "" {
			link = "/api/v1/conversations?limit=2&after=" + page.Next
		}
	}
	require.ElementsMatch(t, []string{"+14155550100", "+14155550101", "+14155550102", "+14155550103", "+14155550104"}, seen)

	require.Equal(t, http.StatusOK, h.admin("/api/v1/conversations?with=(415)+555-0100", &page))
	require.Len(t, page.Conversations, 1, "as people write it")
	path := "/api/v1/conversations/" + page.Conversations[0].ID
	says(0, time.Now())
	var whole view.WholeConversation
	require.Equal(t, http.StatusOK, h.admin(path+"?limit=1", &whole))
	require.Len(t, whole.Turns, 1)
	newest := whole.Turns[0].At
	require.Equal(t, http.StatusOK, h.admin(path+"?before="+newest.Format(time.RFC3339Nano), &whole))
	require.Len(t, whole.Turns, 1)
	require.True(t, whole.Turns[0].At.Before(newest))
	var wrong problem
	for _, query := range []string{"state=ajar", "marked=perhaps", "after=x", "after=eA", "limit=0", "limit=x"} {
		require.Equal(t, http.StatusBadRequest, h.admin("/api/v1/conversations?"+query, &wrong), query)
	}
	require.Equal(t, http.StatusBadRequest, h.admin(path+"?before=noon", &wrong))
}
