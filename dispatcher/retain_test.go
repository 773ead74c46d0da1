package dispatcher

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// What is older than its time loses its content, by whichever dispatcher takes the job.
func TestRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.reply(url.Values{"Body": {"hello"}})
	config := w.config()
	config.Keep = map[store.RetentionKind]time.Duration{store.RetainReplies: time.Hour}
	w.exec(`insert into mark (name, at, next_at) values ('retention', now(), now() + interval '1 day')`)
	w.run(config)
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from inbound where body = 'hello'`) == 1 }))
	w.exec(`update inbound set received_at = now() - interval '2 hours'`)
	d, err := New(w.config())
	require.NoError(t, err)
	require.NoError(t, d.retain(t.Context(), store.RetainReplies, time.Hour))
	require.Zero(t, w.number(`select count(*) from inbound where body <> ''`))
}
