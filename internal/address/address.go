package address

import (
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// MaxLength is the most bytes of an address (Twilio: From of a WhatsApp message with a business-scoped user id).
const MaxLength = 140

// ErrInvalid says that a text is not a phone number that can exist. It never carries the text.
var ErrInvalid = errors.New("not a valid phone number")

// Address is a person's or a sender's address: +E.164, or a WhatsApp business-scoped id such as US.1A2B.
//
// Printing an Address (String, LogValue) gives the masked form; convert with string(a) where the real one must go out:
// to Postgres, to Twilio, and to an operator who asked for it.
type Address string

// Parse reads a phone number as written in a CRM field and returns it in E.164. A number without a country code is
// taken as one of region (ISO 3166-1, for example US). The error is ErrInvalid.
func Parse(text, region string) (Address, error) {
	number, err := phonenumbers.Parse(strings.TrimSpace(text), region)
	if err != nil || !phonenumbers.IsValidNumber(number) {
		return "", ErrInvalid
	}
	return Address(phonenumbers.Format(number, phonenumbers.E164)), nil
}

// ParsePerson is Parse for an address that a person may be known by: it also takes a WhatsApp business-scoped id as it is, such as
// US.1A2B or US.ENT.1A2B, and Twilio's prefix whatsapp:.
func ParsePerson(text, region string) (Address, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "whatsapp:")
	if isScoped(text) {
		return Address(text), nil
	}
	return Parse(text, region)
}

// isScoped tells whether a text is a business-scoped id: a country, a dot, perhaps ENT and another dot, and letters and digits.
func isScoped(text string) bool {
	country, id, _ := strings.Cut(text, ".")
	id = strings.TrimPrefix(id, "ENT.")
	const letters = 2
	return len(text) <= MaxLength && len(country) == letters && id != "" &&
		strings.Trim(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" &&
		!strings.ContainsFunc(id, func(c rune) bool { return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') })
}

// AsWritten keeps a text that is no phone number as an address, so that an operator can see what the record had: cut to
// MaxLength bytes, without bytes that can't be stored. Nothing is ever sent to it.
func AsWritten(text string) Address {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
	for len(text) > MaxLength {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return Address(text)
}

// Pattern is a regular expression, for Go and Postgres, that finds the address as people write it: with the country code or
// without, with spaces, brackets and dashes between the digits.
func (a Address) Pattern() string {
	number, err := phonenumbers.Parse(string(a), "")
	if err != nil {
		return regexp.QuoteMeta(string(a))
	}
	digits := strings.Split(phonenumbers.GetNationalSignificantNumber(number), "")
	return strings.Join(digits, `[^0-9<>&"]{0,3}`) + `([^0-9]|$)`
}

// Masked shows the last two characters only.
func (a Address) Masked() string {
	const shown = 2
	if len(a) <= shown {
		return strings.Repeat("*", len(a))
	}
	return "***" + string(a[len(a)-shown:])
}

// String is Masked, so that an address in an error text or a log line does not give the person away.
func (a Address) String() string { return a.Masked() }

// LogValue is Masked.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.Masked()) }
