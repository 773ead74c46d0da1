package templates

import (
	"strings"
	"time"
	_ "time/tzdata" // the static binary runs where no time zone files are

	"golang.org/x/text/language"
)

// Styles of date and time.
const (
	styleShort  = "short"
	styleMedium = "medium"
	styleLong   = "long"
	styleFull   = "full"
)

// date formats a date: options are the style (default medium) and a time zone.
func (f *formatter) date(value any, options ...string) (string, error) {
	m, style, err := f.moment(value, styleMedium, options)
	if err != nil {
		return "", err
	}
	if m.timeOnly {
		return "", reason("is a time of day, not a date")
	}
	return f.names.Replace(m.at.Format(f.dateLayout(style))), nil
}

// time formats a time of day: options are the style (default short) and a time zone.
func (f *formatter) time(value any, options ...string) (string, error) {
	m, style, err := f.moment(value, styleShort, options)
	if err != nil {
		return "", err
	}
	if m.dateOnly {
		return "", reason("is a date without a time of day")
	}
	layout := style
	if style == styleShort {
		layout = "15:04"
		if f.base() == "en" {
			layout = "3:04 PM"
		}
	}
	if !isLayout(layout) {
		return "", reason("time takes the style short or a Go layout")
	}
	return f.names.Replace(m.at.Format(layout)), nil
}

// moment reads the value and the options; a date without a time of day stays in every time zone what it is.
func (f *formatter) moment(value any, style string, options []string) (moment, string, error) {
	const most = 2
	if len(options) > most {
		return moment{}, "", reason("takes a value, a style and a time zone, no more")
	}
	m, err := asMoment(value)
	if err != nil {
		return moment{}, "", err
	}
	if len(options) > 0 {
		style = options[0]
	}
	if !isStyle(style) && !isLayout(style) {
		return moment{}, "", reason("unknown style: take short, medium, long, full or a Go layout")
	}
	if len(options) == most && !m.dateOnly && !m.timeOnly {
		zone, err := time.LoadLocation(options[1])
		if err != nil || options[1] == "" || options[1] == "Local" {
			return moment{}, "", reason("unknown time zone")
		}
		m.at = m.at.In(zone)
	}
	return m, style, nil
}

func isStyle(style string) bool {
	switch style {
	case styleShort, styleMedium, styleLong, styleFull:
		return true
	}
	return false
}

// isLayout tells a Go layout, which names parts of the reference time in digits or names, from a misspelt style.
func isLayout(text string) bool {
	return strings.ContainsAny(text, "123456") || strings.Contains(text, "Jan") || strings.Contains(text, "Mon")
}

func (f *formatter) base() string {
	base, _ := f.tag.Base()
	return base.String()
}

// dateLayout is the Go layout of a style, after CLDR's date formats; English is American unless its region says
// otherwise.
func (f *formatter) dateLayout(style string) string {
	layouts := map[string]string{} // other languages: ISO 8601
	region, confidence := f.tag.Region()
	switch american := confidence != language.Exact || region.String() == "US"; {
	case f.base() == "en" && american:
		layouts = map[string]string{
			styleShort: "1/2/2006", styleMedium: "Jan 2, 2006", styleLong: "January 2, 2006", styleFull: "Monday, January 2, 2006",
		}
	case f.base() == "en":
		layouts = map[string]string{
			styleShort: "02/01/2006", styleMedium: "2 Jan 2006", styleLong: "2 January 2006", styleFull: "Monday, 2 January 2006",
		}
	case f.base() == "es":
		layouts = map[string]string{
			styleShort: "2/1/2006", styleMedium: "2 Jan 2006", styleLong: "2 de January de 2006", styleFull: "Monday, 2 de January de 2006",
		}
	}
	if layout, ok := layouts[style]; ok {
		return layout
	}
	if isStyle(style) {
		return time.DateOnly
	}
	return style
}

// dateNames translates the English names of months and days that package time writes.
func dateNames(base string) *strings.Replacer {
	if base != "es" {
		return strings.NewReplacer()
	}
	return strings.NewReplacer(
		"January", "enero", "February", "febrero", "March", "marzo", "April", "abril", "May", "mayo", "June", "junio",
		"July", "julio", "August", "agosto", "September", "septiembre", "October", "octubre", "November", "noviembre",
		"December", "diciembre", "Monday", "lunes", "Tuesday", "martes", "Wednesday", "miércoles", "Thursday", "jueves",
		"Friday", "viernes", "Saturday", "sábado", "Sunday", "domingo",
		"Jan", "ene", "Feb", "feb", "Mar", "mar", "Apr", "abr", "Jun", "jun", "Jul", "jul", "Aug", "ago", "Sep", "sept",
		"Oct", "oct", "Nov", "nov", "Dec", "dic", "Mon", "lun", "Tue", "mar", "Wed", "mié", "Thu", "jue", "Fri", "vie",
		"Sat", "sáb", "Sun", "dom",
	)
}
