package media

import (
	_ "embed" // the table
	"fmt"
	"mime"
	"net/url"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/message"
)

//go:embed types.yaml
var typesYAML []byte

// maxURL is the most bytes of a URL; longer ones are cut or refused somewhere on the way.
const maxURL = 2048

// Table says what each channel takes. It does not change after loading and is safe for concurrent use.
type Table struct {
	channels map[message.Channel]limits
}

type limits struct {
	Most          int                 `yaml:"most"`
	MaxBytes      int64               `yaml:"max_bytes"`
	MaxImageBytes int64               `yaml:"max_image_bytes"`
	Types         map[string][]string `yaml:"types"`
	Also          []string            `yaml:"also"`
	Captions      []string            `yaml:"captions"`
}

// Shipped is the table that is part of the program. It panics if that file is broken, which a test rules out.
func Shipped() *Table {
	var file struct {
		Channels map[message.Channel]limits `yaml:"channels"`
	}
	if err := yaml.Load(typesYAML, &file, yaml.WithKnownFields()); err != nil {
		panic(err)
	}
	return &Table{channels: file.Channels}
}

// Most is how many files a message on the channel may have.
func (t *Table) Most(channel message.Channel) int { return t.channels[channel].Most }

// CheckURL says what is wrong with the URL of a file for the channel, or nothing: it must be https with a host, and its ending, when
// it has one, of a type that the channel takes. An ending that is missing is no mistake, see Ending.
func (t *Table) CheckURL(channel message.Channel, text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "":
		return "is not an https URL"
	case u.User != nil:
		return "is a URL with a user or password in it"
	case len(text) > maxURL:
		return fmt.Sprintf("is a URL of more than %d bytes", maxURL)
	}
	return t.CheckEnding(channel, Ending(u.Path))
}

// Ending is the ending of a path in small letters and without its dot; empty when it has none.
func Ending(p string) string { return strings.ToLower(strings.TrimPrefix(path.Ext(p), ".")) }

// CheckEnding says what is wrong with an ending; an empty one is good.
func (t *Table) CheckEnding(channel message.Channel, ending string) string {
	if ending == "" {
		return ""
	}
	for _, endings := range t.channels[channel].Types {
		if slices.Contains(endings, ending) {
			return ""
		}
	}
	return "has an ending that " + name(channel) + " does not take"
}

// CheckType says what is wrong with a file of the content type, as a server writes it, and the size, negative when it is not known.
func (t *Table) CheckType(channel message.Channel, contentType string, size int64) string {
	l := t.channels[channel]
	kind, _, err := mime.ParseMediaType(contentType)
	if _, taken := l.Types[kind]; err != nil || !taken && !slices.Contains(l.Also, kind) {
		return "is of a content type that " + name(channel) + " does not take"
	}
	most := l.MaxBytes
	if l.MaxImageBytes > 0 && strings.HasPrefix(kind, "image/") {
		most = l.MaxImageBytes
	}
	if size > most {
		return fmt.Sprintf("is larger than %d bytes", most)
	}
	return ""
}

// CheckTotal says what is wrong with the size of all files of a message together.
func (t *Table) CheckTotal(channel message.Channel, size int64) string {
	if most := t.channels[channel].MaxBytes; size > most {
		return fmt.Sprintf("are larger than %d bytes together", most)
	}
	return ""
}

// HidesText tells whether the text of a message is not shown with a file of the ending; an empty one tells nothing.
func (t *Table) HidesText(channel message.Channel, ending string) bool {
	l := t.channels[channel]
	for kind, endings := range l.Types {
		if slices.Contains(endings, ending) {
			return len(l.Captions) > 0 && !slices.Contains(l.Captions, kind)
		}
	}
	return false
}

// name is the channel as people call it.
func name(channel message.Channel) string {
	switch channel {
	case message.SMS:
		return "MMS"
	case message.WhatsApp:
		return "WhatsApp"
	}
	return string(channel)
}
