package templates

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/media"
	"github.com/beckonhq/beckon/internal/message"
)

// files are the pictures and files of a template on one channel: URLs, for each language or for all.
type files struct {
	any    []*text
	byLang localized[[]*text]
}

func (f *files) in(lang string) []*text {
	if list, ok := f.byLang.inherited(lang); ok {
		return list
	}
	return f.any
}

// texts are all URLs in all languages.
func (f *files) texts() []*text {
	all := f.any
	for _, tag := range f.byLang.tags {
		all = append(slices.Clip(all), f.byLang.values[tag]...)
	}
	return all
}

// media reads the key media: for each channel a list of URLs, or one for each language.
func (p *fileParser) media(n *yaml.Node, out *entry) {
	table := media.Shipped()
	for _, f := range p.fields(n, "media has sms and whatsapp") {
		channel := message.Channel(f.key.Value)
		switch {
		case channel != message.SMS && channel != message.WhatsApp:
			p.at(f.key, "unknown key %q: media has sms and whatsapp", f.key.Value)
			continue
		case channel == message.SMS && len(out.sms.tags) == 0:
			p.at(f.key, "media of sms goes with its text, which is not here")
		case channel == message.WhatsApp && len(out.whatsapp.text.tags) == 0:
			p.at(f.key, "media of whatsapp goes with its text, which is not here: an approved template has its own media")
		}
		var found files
		if f.value.Kind == yaml.MappingNode {
			p.languages(f.value, func(tag string, value *yaml.Node) { found.byLang.add(tag, p.urls(table, channel, value)) })
		} else {
			found.any = p.urls(table, channel, f.value)
		}
		if out.media == nil {
			out.media = make(map[message.Channel]*files)
		}
		out.media[channel] = &found
	}
}

func (p *fileParser) urls(table *media.Table, channel message.Channel, n *yaml.Node) []*text {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.at(n, "must be a list of https URLs, or one for each language")
		return nil
	}
	if most := table.Most(channel); len(n.Content) > most {
		p.at(n, "%d files are too many: %s takes %d in one message", len(n.Content), channel, most)
	}
	var list []*text
	for _, item := range n.Content {
		source, ok := p.scalar(item)
		if !ok {
			continue
		}
		if why := checkSource(table, channel, source); why != "" {
			p.at(item, "the URL %s", why)
		}
		if t := p.compile(item, source, fallbackLanguage); t != nil {
			list = append(list, t)
		}
	}
	return list
}

// checkSource says what is wrong with a URL as far as its fixed parts tell.
func checkSource(table *media.Table, channel message.Channel, source string) string {
	before, _, dynamic := strings.Cut(source, "{{")
	if !dynamic {
		return table.CheckURL(channel, source)
	}
	const scheme = "https://"
	if before != "" && !strings.HasPrefix(before, scheme) && !strings.HasPrefix(scheme, before) {
		return "is not an https URL"
	}
	return table.CheckEnding(channel, fixedEnding(source))
}

// fixedEnding is the ending that a URL has whatever its variables say; empty when there is none.
func fixedEnding(source string) string {
	if strings.ContainsAny(source, "?#") {
		source, _, _ = strings.Cut(strings.ReplaceAll(source, "#", "?"), "?")
	}
	found := regexp.MustCompile(`\.([A-Za-z0-9]+)$`).FindStringSubmatch(source[strings.LastIndex(source, "}}")+1:])
	if found == nil {
		return ""
	}
	return media.Ending(found[0])
}

// files renders the URLs of a channel and holds them to what the channel takes. All mistakes are reported.
func (j *job) files(channel message.Channel, lang string) ([]string, bool) {
	list := j.template.media[channel]
	if list == nil {
		return nil, true
	}
	table := media.Shipped()
	var urls []string
	good := true
	for _, t := range list.in(lang) {
		link, ok := j.text(channel, lang, t)
		if !ok {
			good = false
			continue
		}
		link = strings.TrimSpace(link)
		if why := table.CheckURL(channel, link); why != "" {
			j.fail(channel, lang, failure{variable: strings.Join(t.variables, ", "), reason: reason("the URL of a file " + why)})
			good = false
			continue
		}
		urls = append(urls, link)
	}
	return urls, good
}

// FixedFile is a picture or file whose URL has no variable in it.
type FixedFile struct {
	Template, File string
	Channel        message.Channel
	URL            string
}

// FixedFiles lists the pictures and files whose URLs are the same for everybody, sorted by template.
func (s *Set) FixedFiles() []FixedFile {
	var out []FixedFile
	for _, name := range s.Names() {
		t := s.byName[name]
		for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
			if list := t.media[channel]; list != nil {
				for _, one := range list.texts() {
					if !strings.Contains(one.source, "{{") {
						out = append(out, FixedFile{Template: name, File: t.file, Channel: channel, URL: strings.TrimSpace(one.source)})
					}
				}
			}
		}
	}
	return out
}

// lintMedia warns of files whose type no name tells, and of those beside which nobody sees the text.
func lintMedia(t *entry) []Warning {
	table := media.Shipped()
	var out []Warning
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		list := t.media[channel]
		if list == nil {
			continue
		}
		for _, one := range list.texts() {
			ending := fixedEnding(one.source)
			var words string
			switch {
			case ending == "":
				words = "the URL has no ending that tells the type of the file: it fails when the channel does not take it"
			case table.HidesText(channel, ending):
				words = "WhatsApp shows no text beside such a file: the file alone arrives"
			default:
				continue
			}
			out = append(out, Warning{
				Template: t.name, Channel: channel, File: t.file, Line: one.line, Column: one.column, Message: words,
			})
		}
	}
	return out
}
