package store

// queueDeniedWindows notes what WhatsApp said of attempts with free text: that the window which they relied on was not open. It is
// said of the person's message that the window came from, as the claim had read it, so that no two clocks are compared, and a
// message that the person has written since opens a window of its own. It holds for all addresses of the person, as the window does.
// The rows are locked in one order everywhere.
func queueDeniedWindows(p *pipeline, attempts []string) {
	if len(attempts) == 0 {
		return
	}
	p.exec(`update conversation c set window_denied_at = greatest(c.window_denied_at, u.window_at)
		from (select k.id, max(a.window_at) as window_at from attempt a
			cross join lateral same_person(array[a.address]) p
			join conversation k on k.sender = a.sender and k.channel = a.channel and k.address = p.known
			where a.id = any ($1::text[]::uuid[]) and a.window_at is not null group by k.id) u
		where c.id = u.id and c.id = any (array(
			select k.id from attempt a cross join lateral same_person(array[a.address]) p
			join conversation k on k.sender = a.sender and k.channel = a.channel and k.address = p.known
			where a.id = any ($1::text[]::uuid[]) and a.window_at is not null order by k.id for update of k))`, attempts)
}
