package media_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/media"
	"github.com/beckonhq/beckon/internal/message"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	table := media.Shipped()
	require.Equal(t, 10, table.Most(message.SMS))
	require.Equal(t, 1, table.Most(message.WhatsApp))
	for link, want := range map[string][2]string{ // on SMS, on WhatsApp
		"https://example.com/a.JPG":                           {},
		"https://example.com/a":                               {},
		"https://example.com/a.jpg?x=1.exe":                   {},
		"https://example.com/a.gif":                           {"", "has an ending that WhatsApp does not take"},
		"https://example.com/a.docx":                          {"has an ending that MMS does not take", ""},
		"https://example.com/a.exe":                           {"has an ending that MMS does not take", "has an ending that WhatsApp does not take"},
		"http://example.com/a.jpg":                            {"is not an https URL", "is not an https URL"},
		"https:///a.jpg":                                      {"is not an https URL", "is not an https URL"},
		"/a.jpg":                                              {"is not an https URL", "is not an https URL"},
		"https://me:pw@example.com/a.jpg":                     {"is a URL with a user or password in it", "is a URL with a user or password in it"},
		"https://example.com/" + strings.Repeat("a", 2048-19): {"is a URL of more than 2048 bytes", "is a URL of more than 2048 bytes"},
	} {
		require.Equal(t, want, [2]string{table.CheckURL(message.SMS, link), table.CheckURL(message.WhatsApp, link)}, link)
	}
}

func TestCheckType(t *testing.T) {
	t.Parallel()
	table := media.Shipped()
	const mb = 1 << 20
	for _, c := range []struct {
		channel message.Channel
		kind    string
		size    int64
		want    string
	}{
		{message.SMS, "image/jpeg", 5 * mb, ""},
		{message.SMS, "image/jpeg", 5*mb + 1, "is larger than 5242880 bytes"},
		{message.WhatsApp, "image/jpeg", 5*mb + 1, "is larger than 5242880 bytes"},
		{message.WhatsApp, "video/mp4", 16 * mb, ""},
		{message.WhatsApp, "video/mp4", 16*mb + 1, "is larger than 16777216 bytes"},
		{message.WhatsApp, "audio/ogg; codecs=opus", -1, ""},
		{message.WhatsApp, "image/gif", 1, "is of a content type that WhatsApp does not take"},
		{message.SMS, "text/html; charset=utf-8", 1, "is of a content type that MMS does not take"},
		{message.SMS, "", 1, "is of a content type that MMS does not take"},
	} {
		require.Equal(t, c.want, table.CheckType(c.channel, c.kind, c.size), c)
	}
}

func TestCheckTotalAndText(t *testing.T) {
	t.Parallel()
	table := media.Shipped()
	require.Empty(t, table.CheckTotal(message.SMS, 5<<20))
	require.Equal(t, "are larger than 5242880 bytes together", table.CheckTotal(message.SMS, 5<<20+1))
	require.Empty(t, table.CheckType(message.SMS, "text/x-vcard", 1))
	for ending, hides := range map[string]bool{"jpg": false, "mp4": false, "pdf": true, "ogg": true, "": false, "exe": false} {
		require.Equal(t, hides, table.HidesText(message.WhatsApp, ending), ending)
		require.False(t, table.HidesText(message.SMS, ending), ending)
	}
}
