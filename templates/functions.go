package templates

import (
	"fmt"
	"slices"
	"strings"
	"text/template"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Function describes one function of templates, for documentation and help.
type Function struct {
	Name    string
	Usage   string
	Summary string
}

// Functions lists the functions that templates have besides text/template's own, in the order of the documentation.
func Functions() []Function {
	return []Function{
		{"date", `{{date .at "long" "America/New_York"}}`, "date: short, medium, long, full or a Go layout; optional time zone"},
		{"time", `{{time .at "short" "Europe/Madrid"}}`, "time of day: short or a Go layout; optional time zone"},
		{"number", `{{number .n 2}}`, "number with the language's separators; optional decimals, 0 to 9"},
		{"currency", `{{currency .amount "EUR"}}`, "amount with the sign or code of an ISO 4217 currency"},
		{"default", `{{default "there" .first_name}}`, "the last value, or the first when the last is null or empty"},
		{"title", `{{title .s}}`, "first letter of each word in capitals, the others small"},
		{"upper", `{{upper .s}}`, "capitals"},
		{"lower", `{{lower .s}}`, "small letters"},
		{"trim", `{{trim .s}}`, "without white space at both ends"},
		{"truncate", `{{truncate 20 .s}}`, `at most so many characters; "..." marks a cut`},
	}
}

// listFunction is added to every range, so that only lists can be gone through.
const listFunction = "beckon_list"

// formatter holds the functions of one language. Safe for concurrent use.
type formatter struct {
	tag    language.Tag
	names  *strings.Replacer // English names of months and days to the language's
	spaces *strings.Replacer // CLDR's special characters in numbers to plain ones
}

func newFormatter(tag language.Tag) *formatter {
	base, _ := tag.Base()
	return &formatter{
		tag:    tag,
		names:  dateNames(base.String()),
		spaces: strings.NewReplacer("\u00a0", " ", "\u202f", " ", "\u2212", "-", "\u200e", "", "\u200f", ""),
	}
}

func (f *formatter) functions() template.FuncMap {
	return template.FuncMap{
		"date":       f.date,
		"time":       f.time,
		"number":     f.number,
		"currency":   f.currency,
		"default":    orDefault,
		"title":      func(v any) (string, error) { return f.convert(v, cases.Title(f.tag)) },
		"upper":      func(v any) (string, error) { return f.convert(v, cases.Upper(f.tag)) },
		"lower":      func(v any) (string, error) { return f.convert(v, cases.Lower(f.tag)) },
		"trim":       trim,
		"truncate":   truncate,
		"print":      noNulls(fmt.Sprint),
		"println":    noNulls(fmt.Sprintln),
		"printf":     printf,
		"html":       noNulls(template.HTMLEscaper),
		"js":         noNulls(template.JSEscaper),
		"urlquery":   noNulls(template.URLQueryEscaper),
		listFunction: list,
	}
}

func (f *formatter) convert(value any, to cases.Caser) (string, error) {
	text, err := asText(value)
	if err != nil {
		return "", err
	}
	return to.String(text), nil
}

func (f *formatter) number(value any, decimals ...int) (string, error) {
	n, err := asNumber(value)
	if err != nil {
		return "", err
	}
	const most = 9
	switch {
	case len(decimals) == 0:
		return f.digits(n, number.MaxFractionDigits(most)), nil
	case len(decimals) > 1 || decimals[0] < 0 || decimals[0] > most:
		return "", reason("number takes a value and 0 to 9 decimals")
	}
	return f.digits(n, number.Scale(decimals[0])), nil
}

// digits writes a number with the separators of the language (CLDR), but with plain spaces and minus signs: the
// no-break spaces of CLDR would turn a whole SMS into UCS-2.
func (f *formatter) digits(n float64, opts ...number.Option) string {
	return f.spaces.Replace(message.NewPrinter(f.tag).Sprint(number.Decimal(n, opts...)))
}

// currency writes an amount with as many decimals as the currency has (ISO 4217, from CLDR).
func (f *formatter) currency(value, code any) (string, error) {
	n, err := asNumber(value)
	if err != nil {
		return "", err
	}
	name, err := asText(code)
	if err != nil {
		return "", err
	}
	unit, err := currency.ParseISO(strings.TrimSpace(name))
	if err != nil {
		return "", reason("is no ISO 4217 currency code")
	}
	scale, _ := currency.Standard.Rounding(unit)
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	digits, symbol := f.digits(n, number.Scale(scale)), f.symbol(unit)
	switch {
	case !f.symbolFirst():
		return sign + digits + " " + symbol, nil
	case symbol == unit.String():
		return sign + symbol + " " + digits, nil
	}
	return sign + symbol + digits, nil
}

// symbol is a currency's sign where it can't be mistaken, else its code: "$" is the dollar of the language's region, or
// the US dollar for a language without one.
func (f *formatter) symbol(unit currency.Unit) string {
	switch unit.String() {
	case "EUR":
		return "€"
	case "GBP":
		return "£"
	case "JPY":
		return "¥"
	}
	home := "USD"
	if region, confidence := f.tag.Region(); confidence == language.Exact {
		if own, ok := currency.FromRegion(region); ok {
			home = own.String()
		}
	}
	if unit.String() != home {
		return unit.String()
	}
	switch home {
	case "USD", "CAD", "AUD", "NZD", "MXN", "ARS", "CLP", "COP":
		if f.symbolFirst() {
			return "$"
		}
	}
	return home
}

// symbolFirst tells whether the language writes the sign before the amount: English, and Spanish in America.
func (f *formatter) symbolFirst() bool {
	base, _ := f.tag.Base()
	if base.String() == "en" {
		return true
	}
	return base.String() == "es" && (f.tag.String() == "es-419" || f.tag.Parent().String() == "es-419")
}

// noNulls keeps text/template's own functions from writing null in their ways.
func noNulls(write func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		if slices.Contains(args, nil) {
			return "", errNull
		}
		return write(args...), nil
	}
}

func printf(format string, args ...any) (string, error) {
	return noNulls(func(args ...any) string { return fmt.Sprintf(format, args...) })(args...)
}

func orDefault(fallback, value any) any {
	if value == nil || value == "" {
		return fallback
	}
	return value
}

func trim(value any) (string, error) {
	text, err := asText(value)
	return strings.TrimSpace(text), err
}

// truncate cuts at characters and marks the cut with three full stops: the one-character ellipsis is not in GSM-7.
func truncate(most int, value any) (string, error) {
	text, err := asText(value)
	if err != nil || utf8.RuneCountInString(text) <= most {
		return text, err
	}
	if most < 0 {
		return "", reason("truncate takes a length of 0 or more")
	}
	const mark = "..."
	runes := []rune(text)
	if most <= len(mark) {
		return string(runes[:most]), nil
	}
	return strings.TrimRight(string(runes[:most-len(mark)]), " ") + mark, nil
}

// list lets a range go through lists only: a number or a long list would let a template run for long.
func list(value any) ([]any, error) {
	const most = 1000
	items, ok := value.([]any)
	switch {
	case value == nil:
		return nil, errNull
	case !ok:
		return nil, reason("range takes a list")
	case len(items) > most:
		return nil, reason("range takes a list of at most 1000")
	}
	return items, nil
}
