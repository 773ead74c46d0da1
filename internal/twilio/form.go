package twilio

import (
	"errors"
	"net/url"
	"strings"
)

// maxParameters bounds a form. Twilio sends some forty; forty times that is not from Twilio.
const maxParameters = 1600

// ErrTooManyParameters says that a form has more parameters than any webhook of Twilio.
var ErrTooManyParameters = errors.New("twilio: the form has too many parameters")

// ParseForm reads a form as Twilio writes it and as its own libraries read it: only & separates (url.ParseQuery
// refuses a raw semicolon), a plus is a space, and a percent sign that starts no escape stands for itself. Values are not
// trimmed; bytes that are not UTF-8 stay. The only error is ErrTooManyParameters.
func ParseForm(body []byte) (url.Values, error) {
	form := url.Values{}
	rest := string(body)
	for count := 0; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if pair == "" {
			continue
		}
		if count++; count > maxParameters {
			return nil, ErrTooManyParameters
		}
		name, value, _ := strings.Cut(pair, "=")
		name = unescape(name)
		form[name] = append(form[name], unescape(value))
	}
	return form, nil
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			b.WriteByte(byte(unhex(s[i+1])<<4 | unhex(s[i+2])))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
