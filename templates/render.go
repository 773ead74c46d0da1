package templates

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/segment"
)

// maxText is Twilio's limit of a body, in characters (error 21617).
const maxText = 1600

// Render renders a template for every channel that it has. Content holds what could be rendered; the error joins a
// *RenderError for each thing that could not, or is ErrNotFound. So an error beside content that is not empty means
// that another channel, or WhatsApp's other form, is still good; with an error and no content there is nothing to send.
// Variables are text, numbers, bool, time.Time, lists and maps; the map is not changed.
func (s *Set) Render(name, language string, vars map[string]any) (message.Content, error) {
	t := s.byName[name]
	if t == nil {
		return message.Content{}, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	j := job{template: t, asked: language, vars: make(map[string]any, len(vars)), refused: make(map[string]error)}
	for key, value := range vars {
		clean, err := plain(value)
		if err != nil {
			j.refused[key] = err
			continue
		}
		j.vars[key] = clean
	}
	var content message.Content
	if len(t.sms.tags) > 0 {
		content.SMS = j.sms()
	}
	if t.whatsapp.present {
		content.WhatsApp = j.whatsApp()
	}
	return content, errors.Join(j.errs...)
}

// job is one call of Render.
type job struct {
	template *entry
	asked    string
	vars     map[string]any
	refused  map[string]error // variables of a type that templates can't show
	errs     []error
}

func (j *job) sms() *message.SMSContent {
	lang := choose(j.asked, j.template.sms.tags)
	body, ok := j.body(message.SMS, lang, j.template.sms.values[lang])
	if !ok {
		return nil
	}
	files, ok := j.files(message.SMS, lang)
	if !ok {
		return nil
	}
	size := segment.Count(body)
	return &message.SMSContent{Text: body, Language: lang, Encoding: size.Encoding, Segments: size.Segments, Media: files}
}

// whatsApp renders both forms in one language, so that a person is not written to in another one inside the window.
func (j *job) whatsApp() *message.WhatsAppContent {
	w := &j.template.whatsapp
	lang := choose(j.asked, w.languages)
	out := message.WhatsAppContent{Language: lang}
	sid, ok := w.sids.inherited(lang)
	if !ok {
		sid = w.anySID
	}
	if sid != "" {
		if values, ok := j.contentVariables(lang); ok {
			out.ContentSID, out.Variables = sid, values
		}
	}
	if t, ok := w.text.inherited(lang); ok {
		body, good := j.body(message.WhatsApp, lang, t)
		files, fit := j.files(message.WhatsApp, lang)
		if good && fit {
			out.Text, out.Media = body, files
		}
	}
	if out.ContentSID == "" && out.Text == "" {
		return nil
	}
	return &out
}

// body renders a text that a person reads, composed (NFC) since a decomposed accent costs more and looks the same.
func (j *job) body(channel message.Channel, lang string, t *text) (string, bool) {
	body, ok := j.text(channel, lang, t)
	if !ok {
		return "", false
	}
	body = norm.NFC.String(body)
	var why reason
	switch {
	case strings.TrimSpace(body) == "":
		why = "the text is empty"
	case utf8.RuneCountInString(body) > maxText:
		why = reason(fmt.Sprintf("the text is longer than %d characters", maxText))
	default:
		return body, true
	}
	j.fail(channel, lang, failure{reason: why})
	return "", false
}

func (j *job) text(channel message.Channel, lang string, t *text) (string, bool) {
	for _, name := range t.variables {
		if err := j.refused[name]; err != nil {
			j.fail(channel, lang, failure{variable: name, reason: err})
			return "", false
		}
	}
	out, why := t.render(j.vars)
	if why != nil {
		j.fail(channel, lang, *why)
		return "", false
	}
	return out, true
}

// contentVariables renders the variables of the approved template and holds them to WhatsApp's rules (Twilio errors
// 21656 and 63013, see message.VariableProblem). All mistakes are reported.
func (j *job) contentVariables(lang string) (map[string]string, bool) {
	good := true
	var out map[string]string
	for _, v := range j.template.whatsapp.variables {
		value, ok := j.text(message.WhatsApp, lang, v.text[lang])
		if !ok {
			good = false
			continue
		}
		if why := message.VariableProblem(value); why != "" {
			j.fail(message.WhatsApp, lang, failure{variable: v.name, reason: reason(why)})
			good = false
			continue
		}
		if out == nil {
			out = make(map[string]string, len(j.template.whatsapp.variables))
		}
		out[v.key] = value
	}
	if _, why := message.VariablesProblem(out); good && why != "" {
		j.fail(message.WhatsApp, lang, failure{reason: reason("the content variables " + why)})
		return nil, false
	}
	return out, good
}

func (j *job) fail(channel message.Channel, lang string, why failure) {
	j.errs = append(j.errs, &RenderError{
		Template: j.template.name, Channel: channel, Language: lang, Variable: why.variable, Reason: why.reason.Error(),
	})
}

// Warning is something in a template that works and may cost more than the writer thinks.
type Warning struct {
	Template string
	Channel  message.Channel
	Language string
	File     string
	Line     int
	Column   int
	Message  string
}

// Lint looks at the fixed parts of the SMS texts: characters that force UCS-2, which more than doubles the price, with
// their place in the text, and texts that need several segments before any variable is filled in; and at Beckon's own
// texts that could not be used. Sorted by template and language.
func (s *Set) Lint() []Warning {
	var out []Warning
	for _, name := range s.Names() {
		t := s.byName[name]
		out = append(out, lintMedia(t)...)
		out = append(out, s.lintOwn(t)...)
		for _, lang := range slices.Sorted(maps.Keys(t.sms.values)) {
			one := t.sms.values[lang]
			for _, words := range lintText(one) {
				out = append(out, Warning{
					Template: name, Channel: message.SMS, Language: lang,
					File: t.file, Line: one.line, Column: one.column, Message: words,
				})
			}
		}
	}
	return out
}

func lintText(t *text) []string {
	var out []string
	static := norm.NFC.String(t.static)
	for _, r := range segment.NonGSM(static) {
		place := utf8.RuneCountInString(static[:strings.IndexRune(static, r)]) + 1
		out = append(out, fmt.Sprintf("character %d, %q (%U), is not in GSM-7: the whole message is sent as UCS-2, 70 characters a segment", place, r, r))
	}
	if size := segment.Count(static); size.Segments > 1 {
		out = append(out, fmt.Sprintf("%d segments (%s) before any variable is filled in", size.Segments, size.Encoding))
	}
	return out
}
