package router

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slow takes webhooks of one host never, and those of others at once.
type slow struct {
	mu          sync.Mutex
	taken, most int
	waiting     int
}

func (s *slow) Post(ctx context.Context, url, _, _ string) error {
	if url != "https://slow.example.com/" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken++
		return nil
	}
	s.mu.Lock()
	s.waiting++
	s.most = max(s.most, s.waiting)
	s.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (s *slow) counts() (taken, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken, s.most
}

func TestASlowServerHoldsUpItsOwnWebhooksOnly(t *testing.T) {
	t.Parallel()
	w := newReplyWorld(t)
	_, err := w.db.Exec(t.Context(), `insert into webhook (id, sid, url, body, due_at)
		select gen_random_uuid(), 'S' || n, 'https://slow.example.com/', '{}', now() - interval '1 hour' from generate_series(1, 100) n
		union all select gen_random_uuid(), 'F' || n, 'https://fast.example.com/' || n, '{}', now() from generate_series(1, 50) n`)
	require.NoError(t, err)
	config := w.replyConfig()
	server := &slow{}
	config.Webhooks, config.ReplyTick = server, time.Hour // what is free is used at once
	stop := w.run(config)
	require.Eventually(t, func() bool { return w.count(`select count(*) from webhook where state = 'delivered'`) == 50 }, patience, 10*time.Millisecond)
	taken, most := server.counts()
	require.Equal(t, 50, taken)
	require.Equal(t, webhooksToHost, most)
	stop()
	require.Equal(t, 100, w.count(`select count(*) from webhook where state = 'queued' and error = ''`), "what our end cut off is no failure of the server")
}
