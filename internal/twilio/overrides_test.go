package twilio_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twilio"
)

// A stand-in for Twilio may sign the URL as we gave it, fragment and all; Twilio itself signs it without.
func TestOurFragmentMayBeSigned(t *testing.T) {
	t.Parallel()
	const target = "https://example.com/twilio/status?message=1"
	form := url.Values{"MessageSid": {"SM1"}}
	body := []byte(form.Encode())
	verifier := twilio.NewVerifier([]string{"token"})
	const kind = "application/x-www-form-urlencoded"

	require.NoError(t, verifier.Verify(target, kind, body, twilio.Sign("token", target, form)))
	require.NoError(t, verifier.Verify(target, kind, body, rawSign("token", target+twilio.CallbackOverrides, "MessageSidSM1")))
	require.ErrorIs(t, verifier.Verify(target, kind, body, rawSign("token", target+"#rc=1", "MessageSidSM1")), twilio.ErrBadSignature)
	require.ErrorIs(t, verifier.Verify(target, kind, body, rawSign("other", target+twilio.CallbackOverrides, "MessageSidSM1")), twilio.ErrBadSignature)
}

func rawSign(token, target, params string) string {
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = mac.Write([]byte(target + params))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
