package dispatcher

import (
	"strconv"
	"time"

	"github.com/beckonhq/beckon/internal/media"
	"github.com/beckonhq/beckon/internal/mediaprobe"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// fileWait is how long a message waits for what a server says of its pictures and files, at a time.
const fileWait = 500 * time.Millisecond

// Files tells what is known of a picture or file, without blocking; *mediaprobe.Cache is one.
type Files interface {
	Ask(link string) (mediaprobe.Facts, mediaprobe.Answer)
}

// fileJudge holds pictures and files to what a channel takes. The zero value lets everything pass.
type fileJudge struct {
	files Files
	table *media.Table
}

func newFileJudge(files Files) fileJudge { return fileJudge{files, media.Shipped()} }

// gate refuses a channel that does not take a file of the message, by what the file's server says. While it is asked, the message waits
// a moment. A server that does not tell stops nothing: Twilio asks it too, from another place.
func (j fileJudge) gate(c *store.Candidate, channel message.Channel) ruling {
	why, pending := j.judge(channel, filesOf(c, channel))
	switch {
	case why != "":
		return ruling{refuse: message.ReasonBadMedia, words: why}
	case pending:
		return ruling{wait: fileWait}
	}
	return ruling{}
}

// filesOf are the files that go out with the message on the channel. An approved template has its own.
func filesOf(c *store.Candidate, channel message.Channel) []string {
	content := c.Message.Content
	switch {
	case !content.Has(channel):
	case channel == message.SMS:
		return content.SMS.Media
	case freeText(c, channel):
		return content.WhatsApp.Media
	}
	return nil
}

// judge says what is wrong with files, without their URLs; or that it is not known yet.
func (j fileJudge) judge(channel message.Channel, links []string) (why string, pending bool) {
	if j.files == nil {
		return "", false
	}
	total := int64(0)
	for i, link := range links {
		facts, answer := j.files.Ask(link)
		switch answer {
		case mediaprobe.Unknown:
		case mediaprobe.Pending:
			pending = true
		case mediaprobe.Known:
			if why := j.table.CheckType(channel, facts.ContentType, facts.Size); why != "" {
				return "file " + strconv.Itoa(i+1) + " " + why, false
			}
			total += max(facts.Size, 0)
		}
	}
	if why := j.table.CheckTotal(channel, total); why != "" {
		return "the files " + why, false
	}
	return "", pending
}

// orTemplate leaves the free text of WhatsApp out of a message whose files WhatsApp does not take, when it can go as its approved
// template: that has its own.
func (j fileJudge) orTemplate(c *store.Candidate) {
	content := c.Message.Content.WhatsApp
	if content == nil || content.ContentSID == "" || len(content.Media) == 0 || !freeText(c, message.WhatsApp) {
		return
	}
	if why, _ := j.judge(message.WhatsApp, content.Media); why != "" {
		template := *content // the message itself keeps what it has
		template.Text, template.Media = "", nil
		c.Message.Content.WhatsApp = &template
	}
}
