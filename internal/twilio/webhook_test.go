package twilio_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twilio"
)

func TestParseForm(t *testing.T) {
	t.Parallel()
	got, err := twilio.ParseForm([]byte("a=1&&b=x+y%20z&a=2;3&c&d=%zz%4&e=%C3%A9&=v"))
	require.NoError(t, err)
	require.Equal(t, url.Values{"a": {"1", "2;3"}, "b": {"x y z"}, "c": {""}, "d": {"%zz%4"}, "e": {"é"}, "": {"v"}}, got)
	_, err = twilio.ParseForm([]byte(strings.Repeat("a&", 2000)))
	require.ErrorIs(t, err, twilio.ErrTooManyParameters)
}

func FuzzParseForm(f *testing.F) {
	f.Add("a=1&b=+%20%2B")
	f.Add("a=%;&=&&b")
	f.Fuzz(func(t *testing.T, body string) {
		got, err := twilio.ParseForm([]byte(body))
		if err != nil {
			return
		}
		if want, err := url.ParseQuery(body); err == nil {
			require.Equal(t, want, got)
		}
	})
}

func inboundForm() url.Values {
	return url.Values{
		"MessageSid": {"SM0123"}, "AccountSid": {"AC1"}, "From": {"+14155550123"}, "To": {"+15005550006"}, "Body": {" hi "},
	}
}

func TestParseInbound(t *testing.T) {
	t.Parallel()
	in, err := twilio.ParseInbound(inboundForm())
	require.NoError(t, err)
	require.Equal(t, message.SMS, in.Channel)
	require.Equal(t, "+14155550123", string(in.From))
	require.Equal(t, " hi ", in.Body)

	f := inboundForm()
	scoped := "US.ENT." + strings.Repeat("a1", 60)
	for name, value := range map[string]string{
		"From": "whatsapp:" + scoped, "To": "whatsapp:+15005550006", "ProfileName": "Ada\x00 \xff", "WaId": "14155550123",
		"OptOutType": "Stop", "ButtonText": "Yes", "ButtonPayload": "yes", "OriginalRepliedMessageSid": "SM9", "NumMedia": "2",
		"MediaUrl0": "https://m/0", "MediaContentType0": "image/png", "MediaUrl1": "https://m/1", "MessageType": "button",
	} {
		f.Set(name, value)
	}
	in, err = twilio.ParseInbound(f)
	require.NoError(t, err)
	require.Equal(t, message.WhatsApp, in.Channel)
	require.Equal(t, scoped, string(in.From))
	require.Equal(t, "STOP", in.OptOutType)
	require.Equal(t, "SM9", in.OriginalRepliedMessageSID)
	require.Equal(t, "Ada\uFFFD \uFFFD", in.ProfileName)
	require.Equal(t, []twilio.Media{{URL: "https://m/0", ContentType: "image/png"}, {URL: "https://m/1"}}, in.Media)
}

// What a messaging service sends by RCS is our SMS, and so is the STOP that answers it.
func TestRCSIsOurSMS(t *testing.T) {
	t.Parallel()
	f := inboundForm()
	f.Set("From", "rcs:+14155550123")
	f.Set("To", "rcs:acme_agent")
	in, err := twilio.ParseInbound(f)
	require.NoError(t, err)
	require.Equal(t, message.SMS, in.Channel)
	require.Equal(t, "+14155550123", string(in.From))
	event, err := twilio.ParseStatus(url.Values{"SmsSid": {"SM1"}, "SmsStatus": {"failed"}, "ErrorCode": {"21610"}, "To": {"rcs:+14155550123"}})
	require.NoError(t, err)
	require.Equal(t, "+14155550123", string(event.To))
	require.Equal(t, message.SMS, event.Channel)
}

func TestParseInboundProblems(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, value, problem string }{
		{"MessageSid", "", "MessageSid is missing"},
		{"MessageSid", "../x", "MessageSid is not a SID"},
		{"From", "", "From is missing"},
		{"To", "", "To is missing"},
		{"From", "messenger:123", "From is of a channel"},
		{"From", "whatsapp:", "From is empty"},
		{"From", "whatsapp:US." + strings.Repeat("x", 138), "From is empty or longer"},
		{"From", "+1\n2", "From has control"},
	}
	for _, test := range tests {
		f := inboundForm()
		f.Set(test.name, test.value)
		_, err := twilio.ParseInbound(f)
		var problem *twilio.ParameterError
		require.ErrorAs(t, err, &problem, test.problem)
		require.ErrorContains(t, err, test.problem)
		require.Equal(t, test.name, problem.Name)
	}
}

// What the person said matters more than what surrounds it.
func TestParseInboundForgives(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"AccountSid": "", "NumMedia": "x", "OriginalRepliedMessageSid": "../x", "ExternalUserId": strings.Repeat("x", 141), "SmsSid": "../x",
	} {
		f := inboundForm()
		f.Set(name, value)
		f.Set("MediaUrl0", "https://m/0")
		in, err := twilio.ParseInbound(f)
		require.NoError(t, err, name)
		require.Equal(t, " hi ", in.Body)
		require.Empty(t, in.OriginalRepliedMessageSID)
		require.Empty(t, in.ExternalUserID)
		require.Equal(t, name == "NumMedia", len(in.Media) == 1, name)
	}
	f := inboundForm()
	f.Set("MessageSid", "../x")
	f.Set("SmsSid", "SM2")
	in, err := twilio.ParseInbound(f)
	require.NoError(t, err)
	require.Equal(t, "SM2", in.MessageSID)
	f.Del("SmsSid")
	f.Del("To")
	in, err = twilio.ParseInbound(f)
	require.Error(t, err)
	require.Empty(t, in.MessageSID)
	require.Equal(t, "+14155550123", string(in.From), "what can be read is read all the same")
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	event, err := twilio.ParseStatus(url.Values{
		"SmsSid": {"SM1"}, "SmsStatus": {"undelivered"}, "ErrorCode": {"30003"}, "To": {"whatsapp:+1"}, "From": {"whatsapp:+2"},
		"AccountSid": {"AC1"}, "RawDlrDoneDate": {"2611212230"},
	})
	require.NoError(t, err)
	require.Equal(t, twilio.StatusEvent{
		SID: "SM1", Status: "undelivered", ErrorCode: 30003, To: "+1", From: "+2", Channel: message.WhatsApp,
		AccountSID: "AC1", RawDone: "2611212230",
	}, event)
	_, err = twilio.ParseStatus(url.Values{"MessageSid": {"SM1"}})
	require.ErrorContains(t, err, "MessageStatus is missing")
	_, err = twilio.ParseStatus(url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"sent"}, "ErrorCode": {"x"}})
	require.ErrorContains(t, err, "ErrorCode is not a number")
	event, err = twilio.ParseStatus(url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"sent"}, "From": {"whatsapp:+2"}})
	require.NoError(t, err)
	require.Equal(t, message.WhatsApp, event.Channel)
}

func FuzzParseInbound(f *testing.F) {
	f.Add("MessageSid=SM1&AccountSid=AC1&From=%2B1&To=%2B2&Body=x&NumMedia=99999")
	f.Fuzz(func(t *testing.T, body string) {
		values, err := twilio.ParseForm([]byte(body))
		if err != nil {
			return
		}
		in, err := twilio.ParseInbound(values)
		if err != nil {
			return
		}
		for _, text := range []string{in.Body, string(in.From), in.ProfileName} {
			require.True(t, utf8.ValidString(text) && !strings.ContainsRune(text, 0), "not storable")
		}
	})
}

func TestStatusToState(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]message.State{
		"accepted": message.Accepted, "scheduled": message.Accepted, "queued": message.Accepted, "sending": message.Accepted,
		"sent": message.Sent, "partially_delivered": message.Sent, "delivered": message.Delivered, "read": message.Read,
		"undelivered": message.Undelivered, "failed": message.Failed, "canceled": message.Failed,
	} {
		got, known := twilio.StatusToState(status)
		require.True(t, known, status)
		require.Equal(t, want, got, status)
	}
	for _, status := range []string{"", "received", "receiving", "new_word"} {
		_, known := twilio.StatusToState(status)
		require.False(t, known, status)
	}
}
