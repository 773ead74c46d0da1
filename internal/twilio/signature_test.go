package twilio_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "github.com/twilio/twilio-go/client"

	"github.com/beckonhq/beckon/internal/twilio"
)

const form = "application/x-www-form-urlencoded; charset=UTF-8"

// The example of Twilio's page "Security", section "Validating requests", whose answer is published there.
func TestVerifyPublishedExample(t *testing.T) {
	t.Parallel()
	body := "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
	verifier := twilio.NewVerifier([]string{"12345"})
	require.NoError(t, verifier.Verify("https://mycompany.com/myapp.php?foo=1&bar=2", form, []byte(body), "RSOYDt4T1cUTdK1PDd93/VVr8B8="))
}

func TestVerify(t *testing.T) {
	t.Parallel()
	const token, link = "tok_en", "https://beckon.example/twilio/messages?a=%2F&b=x%20y"
	tests := []struct{ name, body string }{
		{"plain", "Body=hello&From=%2B14155550123"},
		{"empty", ""},
		{"empty values", "Body=&From="},
		{"no equals sign", "Body&From=1"},
		{"plus and %20", "Body=a+b%20c%2B"},
		{"unicode", "Body=%F0%9F%8E%89+caf%C3%A9&ProfileName=%E6%9D%8E"},
		{"spaces around", "Body=++two++&A=%09"},
		{"percent and ampersand", "Body=100%25+%26+%3D"},
		{"apostrophe", "Body=don%27t+*~-_."},
		{"newline", "Body=a%0Ab%0D%0A"},
	}
	validator := sdk.NewRequestValidator(token)
	verifier := twilio.NewVerifier([]string{"", "old", token})
	for _, test := range tests {
		values, err := url.ParseQuery(test.body)
		require.NoError(t, err)
		signature := twilio.Sign(token, link+"#rc=3", values)
		require.True(t, validator.ValidateBody(link, []byte(test.body), signature), test.name)
		require.NoError(t, verifier.Verify(link, form, []byte(test.body), signature), test.name)
		require.ErrorIs(t, verifier.Verify(link+"x", form, []byte(test.body), signature), twilio.ErrBadSignature, test.name)
		require.ErrorIs(t, verifier.Verify(link, form, []byte(test.body+"&Z=1"), signature), twilio.ErrBadSignature, test.name)
		require.ErrorIs(t, twilio.NewVerifier([]string{"other"}).Verify(link, form, []byte(test.body), signature), twilio.ErrBadSignature)
	}
	require.ErrorIs(t, twilio.NewVerifier([]string{""}).Verify(link, form, nil, twilio.Sign("", link, nil)), twilio.ErrBadSignature)
	require.ErrorIs(t, verifier.Verify(link, form, nil, ""), twilio.ErrBadSignature)
	require.ErrorIs(t, verifier.Verify(link, form, nil, "not base64!"), twilio.ErrBadSignature)
	good := twilio.Sign(token, link, url.Values{"A": {"1"}})
	require.ErrorIs(t, verifier.Verify(link, "application/json", []byte("A=1"), good), twilio.ErrBadSignature)
}

// Twilio's Node library signs a repeated key as the sorted set of its values; its Go library takes the first value.
func TestVerifyRepeatedKeys(t *testing.T) {
	t.Parallel()
	const link = "https://beckon.example/cb"
	signature := twilio.Sign("t", link, url.Values{"M": {"b", "a", "b"}, "A": {"1"}})
	require.Equal(t, twilio.Sign("t", link+"A1MaMb", nil), signature)
	require.NoError(t, twilio.NewVerifier([]string{"t"}).Verify(link, form, []byte("M=a&M=b&A=1&M=a"), signature))
	require.Error(t, twilio.NewVerifier([]string{"t"}).Verify(link, form, []byte("M=a&A=1"), signature))
	// By UTF-16 units an emoji (D83C...) sorts before U+FF01, by bytes after it.
	require.Equal(t, twilio.Sign("t", link+"K\U0001F389K\uFF01", nil),
		twilio.Sign("t", link, url.Values{"K": {"\uFF01", "\U0001F389"}}))
}

func TestVerifyRawSemicolon(t *testing.T) {
	t.Parallel()
	signature := twilio.Sign("t", "https://x.example/", url.Values{"Body": {"a;b"}, "C": {"%zz"}})
	require.NoError(t, twilio.NewVerifier([]string{"t"}).Verify("https://x.example/", form, []byte("Body=a;b&C=%zz"), signature))
}

func TestVerifyPorts(t *testing.T) {
	t.Parallel()
	verifier := twilio.NewVerifier([]string{"t"})
	validator := sdk.NewRequestValidator("t")
	tests := []struct {
		given, signed string
		good          bool
	}{
		{"https://x.example/a?b=1", "https://x.example:443/a?b=1", true},
		{"https://x.example:443/a?b=1", "https://x.example/a?b=1", true},
		{"http://x.example/a", "http://x.example:80/a", true},
		{"http://x.example:80/a", "http://x.example/a", true},
		{"https://x.example:8443/a", "https://x.example:8443/a", true},
		{"https://x.example:8443/a", "https://x.example/a", true},
		{"https://u:p@x.example/a", "https://u:p@x.example:443/a", true},
		{"https://x.example/a", "https://x.example:80/a", false},
		{"https://x.example/a", "http://x.example/a", false},
		{"https://x.example/a?c=d:1", "https://x.example/a?c=d", false},
	}
	for _, test := range tests {
		signature := twilio.Sign("t", test.signed, nil)
		require.Equal(t, test.good, verifier.Verify(test.given, form, nil, signature) == nil, test)
		require.Equal(t, test.good, validator.Validate(test.given, nil, signature), test)
	}
	require.NoError(t, verifier.Verify("https://[::1]/a", form, nil, twilio.Sign("t", "https://[::1]:443/a", nil)))
	require.NoError(t, verifier.Verify("https://[::1]:443/a", form, nil, twilio.Sign("t", "https://[::1]/a", nil)))
}

func TestVerifyJSON(t *testing.T) {
	t.Parallel()
	validator := sdk.NewRequestValidator("t")
	verifier := twilio.NewVerifier([]string{"t"})
	body := []byte(`{"a": "1;2"}`)
	for _, link := range []string{"https://x.example/cb", "https://x.example/cb?x=1;2"} {
		signed, signature := twilio.SignBody("t", link, body)
		require.NoError(t, verifier.Verify(signed, "application/json", body, signature))
		if !strings.Contains(link, ";") {
			require.True(t, validator.ValidateBody(signed, body, signature))
		}
		require.Error(t, verifier.Verify(signed, "application/json", append(body, ' '), signature))
		require.Error(t, verifier.Verify(link, "application/json", body, twilio.Sign("t", link, nil)), "a body that nothing covers")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("https://x.example/a?b=c", "Body=a+b&From=%2B1", "tok")
	f.Add("http://x.example:80", "A=1;2&A=%zz", "t")
	f.Add("://", "=&&=", "t")
	f.Add("https://x.example/?bodySHA256=", "Body=%F0%9F%8E%89", "t")
	f.Fuzz(func(t *testing.T, link, body, token string) {
		values, err := twilio.ParseForm([]byte(body))
		if err != nil || token == "" {
			return
		}
		if strings.Contains(link, "SHA256") {
			return
		}
		verifier := twilio.NewVerifier([]string{token})
		signature := twilio.Sign(token, link, values)
		require.NoError(t, verifier.Verify(link, form, []byte(body), signature))
		require.Error(t, verifier.Verify(link, form, []byte(body+"&Extra=1"), signature))
		require.Error(t, twilio.NewVerifier([]string{token + "x"}).Verify(link, form, []byte(body), signature))
	})
}

func BenchmarkVerify(b *testing.B) {
	body := []byte("MessageSid=SM0123456789abcdef0123456789abcdef&Body=hello+there&From=%2B14155550123&To=%2B15005550006&NumMedia=0&AccountSid=AC1")
	values, _ := twilio.ParseForm(body)
	signature := twilio.Sign("t", "https://x.example/a", values)
	verifier := twilio.NewVerifier([]string{"t"})
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if verifier.Verify("https://x.example/a", form, body, signature) != nil {
			b.Fatal("bad signature")
		}
	}
}
