package twilio

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's signature is HMAC-SHA1
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// bodyHashParameter of the URL's query says that the body is not a form, and carries its SHA-256.
const bodyHashParameter = "bodySHA256"

// CallbackOverrides is the fragment of our status callback URLs. It asks Twilio to try five times, whatever went wrong: by
// default it tries twice, and only when it can't connect. Source: Twilio, "Webhooks: Connection Overrides".
const CallbackOverrides = "#rc=5&rp=all"

// Verifier checks that a webhook request comes from Twilio. It is safe for concurrent use.
//
// Source: Twilio, "Validating Signatures from Twilio", and the behaviour of its Node library where that page is silent.
type Verifier struct {
	tokens []string
}

// NewVerifier takes the auth tokens that may have signed: the primary one of the account, and during rotation the next.
// Empty tokens are left out; without any token nothing verifies.
func NewVerifier(tokens []string) *Verifier {
	kept := slices.DeleteFunc(slices.Clone(tokens), func(token string) bool { return token == "" })
	return &Verifier{tokens: kept}
}

// Verify checks X-Twilio-Signature. The URL is the one that Twilio was given: our configured public URL with the
// request's path and raw query, never built from the Host header. With or without a port it is the same. If its query
// has bodySHA256, the signature covers the URL and the hash covers the body; else all parameters of the form are
// signed, a repeated one as the sorted set of its values, untrimmed. Twilio leaves the fragment out; a signature over the
// URL with our own fragment, CallbackOverrides, is as good a proof and verifies too. The error is ErrBadSignature.
func (v *Verifier) Verify(target, contentType string, body []byte, signature string) error {
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || len(given) != sha1.Size {
		return ErrBadSignature
	}
	target, _, _ = strings.Cut(target, "#")
	params := ""
	if hash, ok := bodyHash(target); ok {
		if !hashMatches(body, hash) {
			return ErrBadSignature
		}
	} else if len(body) > 0 {
		if !isForm(contentType) {
			return ErrBadSignature
		}
		form, err := ParseForm(body)
		if err != nil {
			return ErrBadSignature
		}
		params = concatenate(form)
	}
	matched := 0
	for _, token := range v.tokens {
		for _, spelling := range append(spellings(target), target+CallbackOverrides) {
			matched |= subtle.ConstantTimeCompare(digest(token, spelling, params), given)
		}
	}
	if matched != 1 {
		return ErrBadSignature
	}
	return nil
}

// Sign makes the signature that Twilio would send for a form posted to a URL; the fragment is not signed. For simulators and tests.
func Sign(token, target string, form url.Values) string {
	target, _, _ = strings.Cut(target, "#")
	return base64.StdEncoding.EncodeToString(digest(token, target, concatenate(form)))
}

// SignBody makes the signature for a body that is not a form. It returns the URL with bodySHA256 added, which is the
// one to post to, and the signature.
func SignBody(token, target string, body []byte) (signed, signature string) {
	target, fragment, hasFragment := strings.Cut(target, "#")
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	sum := sha256.Sum256(body)
	signed = target + separator + bodyHashParameter + "=" + hex.EncodeToString(sum[:])
	signature = Sign(token, signed, nil)
	if hasFragment {
		signed += "#" + fragment
	}
	return signed, signature
}

func digest(token, target, params string) []byte {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(target))
	mac.Write([]byte(params))
	return mac.Sum(nil)
}

// concatenate writes name and value of each parameter, names sorted, each name with the sorted set of its values.
func concatenate(form url.Values) string {
	var b strings.Builder
	for _, name := range slices.SortedFunc(maps.Keys(form), compareUTF16) {
		values := form[name]
		if len(values) > 1 {
			values = slices.Clone(values)
			slices.SortFunc(values, compareUTF16)
			values = slices.Compact(values)
		}
		for _, value := range values {
			b.WriteString(name)
			b.WriteString(value)
		}
	}
	return b.String()
}

// compareUTF16 orders as Java and JavaScript do, by UTF-16 code units. For ASCII that is the order of bytes.
func compareUTF16(a, b string) int {
	if isASCII(a) && isASCII(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// bodyHash finds bodySHA256 in the query.
func bodyHash(target string) (string, bool) {
	_, query, ok := strings.Cut(target, "?")
	if !ok || !strings.Contains(query, bodyHashParameter) {
		return "", false
	}
	form, err := ParseForm([]byte(query))
	if err != nil {
		return "", false
	}
	hash := form.Get(bodyHashParameter)
	return hash, hash != ""
}

func hashMatches(body []byte, hash string) bool {
	want, err := hex.DecodeString(hash)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(body)
	return subtle.ConstantTimeCompare(sum[:], want) == 1
}

func isForm(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), formType)
}

// spellings are the URL as given, without its port, and with the scheme's standard port if it has none: Twilio is not
// consistent about the port when it signs. All other bytes stay as they are.
func spellings(target string) []string {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		return []string{target}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	host := authority[strings.LastIndexByte(authority, '@')+1:]
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		bare := authority[:len(authority)-len(host)+colon]
		return []string{target, scheme + "://" + bare + tail}
	}
	port := ":80"
	if strings.EqualFold(scheme, "https") {
		port = ":443"
	}
	return []string{target, scheme + "://" + authority + port + tail}
}
