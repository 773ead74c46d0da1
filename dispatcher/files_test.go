package dispatcher

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/mediaprobe"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// told is what servers say of files: nothing of those that are not in it.
type told map[string]mediaprobe.Facts

func (t told) Ask(link string) (mediaprobe.Facts, mediaprobe.Answer) {
	facts, known := t[link]
	switch {
	case link == asking:
		return facts, mediaprobe.Pending
	case known:
		return facts, mediaprobe.Known
	}
	return facts, mediaprobe.Unknown
}

const (
	asking = "https://example.com/asking.jpg"
	away   = "https://example.com/away.jpg"
	fine   = "https://example.com/good.jpg"
	large  = "https://example.com/large.jpg"
	page   = "https://example.com/page.jpg"
)

func servers() told {
	return told{
		fine: {ContentType: "image/jpeg", Size: 3 << 20}, large: {ContentType: "image/jpeg", Size: 6 << 20},
		page: {ContentType: "text/html", Size: -1},
	}
}

func TestFilesAreHeldToTheirChannel(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := bare(everySender())
	l.files.files = servers()
	l.gates = []gate{{"files", l.files.gate}}
	const wa, text = message.WhatsApp, message.SMS
	wrote := map[message.Channel]time.Time{wa: now.Add(-time.Hour)}
	for name, c := range map[string]struct {
		sms, whatsApp []string
		template      bool // there is an approved one
		closed        bool
		want          store.Verdict
	}{
		"no files":                            {want: store.Verdict{Send: wa, FreeText: true}},
		"a good picture":                      {whatsApp: []string{fine}, want: store.Verdict{Send: wa, FreeText: true}},
		"a server that is away":               {whatsApp: []string{away}, want: store.Verdict{Send: wa, FreeText: true}},
		"a server that is asked":              {whatsApp: []string{asking}, template: true, want: store.Verdict{Wait: fileWait, On: wa}},
		"a page, and SMS is left":             {whatsApp: []string{page}, sms: []string{fine}, want: store.Verdict{Send: text, Index: 1}},
		"too large, and the template is left": {whatsApp: []string{large}, template: true, want: store.Verdict{Send: wa}},
		"the template has its own":            {whatsApp: []string{asking}, template: true, closed: true, want: store.Verdict{Send: wa}},
		"nothing is left": {whatsApp: []string{page}, sms: []string{away, large}, want: store.Verdict{
			Suppress: message.ReasonBadMedia, Detail: "file 1 is of a content type that WhatsApp does not take",
		}},
		"too large together": {whatsApp: []string{page}, sms: []string{fine, fine}, want: store.Verdict{
			Suppress: message.ReasonBadMedia, Detail: "file 1 is of a content type that WhatsApp does not take",
		}},
	} {
		m := both(person, "x")
		m.Content.SMS.Media, m.Content.WhatsApp.Media = c.sms, c.whatsApp
		if !c.template {
			m.Content.WhatsApp.ContentSID = ""
		}
		candidate := store.Candidate{Message: m, LastInbound: wrote, Now: now}
		if c.closed {
			candidate.LastInbound = nil
		}
		got := l.judge(candidate)
		got.Answers = nil
		require.Equal(t, c.want, got, name)
		require.Equal(t, "free text", m.Content.WhatsApp.Text, "the message keeps what it has")
	}
	why, _ := l.files.judge(text, []string{fine, fine})
	require.Equal(t, "the files are larger than 5242880 bytes together", why)
}

// The picture that WhatsApp does not take costs the message neither its template nor its other channel, and nothing goes to Twilio that
// would fail there.
func TestBadFilesAreNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	config.Files = servers()
	w.run(config)
	w.written(whatsAppFrom)
	m := both(person, "by SMS")
	m.Content.WhatsApp.Media = []string{large}
	sent, _ := w.sim.Message(w.becomes(w.queue(m)[0], message.Delivered).SID)
	require.Equal(t, contentSID, sent.ContentSID)
	require.Empty(t, sent.MediaURLs)

	m.Content.WhatsApp.ContentSID = ""
	require.Equal(t, message.SMS, w.becomes(w.queue(m)[0], message.Delivered).Channel)

	m.Channels = []message.Channel{message.WhatsApp}
	ended := w.becomes(w.queue(m)[0], message.Suppressed)
	require.Equal(t, message.ReasonBadMedia, ended.Reason)
	require.Equal(t, "file 1 is larger than 5242880 bytes", ended.Detail)
	require.Equal(t, int64(2), w.sim.Stats().Creates)
}

// With the real cache: a server that can't be asked (here since its address is private) holds the message up for a moment only.
func TestFilesOfASilentServerGoOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	cache, err := mediaprobe.NewCache(mediaprobe.New(false), config.Metrics)
	require.NoError(t, err)
	t.Cleanup(cache.Close)
	config.Files = cache
	w.run(config)
	m := sms(person, "look")
	m.Content.SMS.Media = []string{"https://127.0.0.1:1/a.jpg"}
	sent, _ := w.sim.Message(w.becomes(w.queue(m)[0], message.Delivered).SID)
	require.Equal(t, m.Content.SMS.Media, sent.MediaURLs)
}
