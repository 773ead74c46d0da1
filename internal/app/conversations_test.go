package app

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

	var made map[string]string
	require.Equal(t, http.StatusOK, h.post(sms+"/reply", jsonType, `{"text": "at noon", "by": "ana", "key": "k"}`, &made))
	again := made["message_id"]
	require.Equal(t, http.StatusOK, h.post(sms+"/reply", jsonType, `{"text": "at noon", "by": "ana", "key": "k"}`, &made))
	require.Equal(t, again, made["message_id"])
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
	require.Equal(t, http.StatusConflict, h.post(whatsapp+"/reply", jsonType, `{"text": "at noon", "by": "ana"}`, &wrong))
	require.Contains(t, wrong.Error, "template")
	require.Equal(t, http.StatusUnsupportedMediaType, h.post(sms+"/close", "text/plain", `{"by": "bo"}`, &wrong), "a form of a web page")
	for body, status := range map[string]int{
		`{"text": "x"}`: http.StatusBadRequest, `{"by": "ana"}`: http.StatusBadRequest, `{`: http.StatusBadRequest,
		`{"text": "x", "template": "y", "by": "ana"}`: http.StatusBadRequest, `{"tekst": "x", "by": "ana"}`: http.StatusBadRequest,
		`{"template": "no-such-template", "by": "ana"}`: http.StatusUnprocessableEntity,
	} {
		require.Equal(t, status, h.post(sms+"/reply", jsonType, body, &wrong), body)
		require.NotEmpty(t, wrong.Error)
	}
	require.Equal(t, http.StatusNotFound, h.admin("/api/v1/conversations/x", &wrong))
	require.Equal(t, http.StatusNotFound, h.post("/api/v1/conversations/x/close", jsonType, `{"by": "bo"}`, &wrong))
}
