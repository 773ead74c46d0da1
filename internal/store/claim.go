package store

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// Candidate is a queued message that a dispatcher wants to send, with all that its gates may look at, read under the
// address lock.
type Candidate struct {
	Message     message.Message
	Tries       int             // refusals on Channel that count against it
	Channel     message.Channel // of the attempt before; empty before the first one
	ExpiresAt   time.Time       // then it is too late
	Paused      bool            // its rule is
	PausedFor   time.Duration   // since when; 0 when it is not
	Permitted   bool            // sending was permitted before: the time runs
	NextChannel int             // index into Message.Channels of the first one not tried in vain
	Consent     consent.State
	LastInbound map[message.Channel]time.Time // when the person last wrote to the sender
	// WindowDenied is when the newest of the messages was written of whose window WhatsApp has said that it is not open; zero for none.
	WindowDenied time.Time
	Live         map[message.Channel]message.State // attempts to this address in sending or unknown
	Now          time.Time                         // the database's clock

	limits     []message.Cap // by the law of the place
	rival      bool          // an older message to the same person that this claim does not take
	suspicions []suspicion
	crowded    bool // too many look-ups are open for another one
}

// Verdict is what the gates say of a candidate. Exactly one of Send, Suppress, Expire and Wait is set.
type Verdict struct {
	Send     message.Channel // send on this channel
	Index    int             // of Send in the message's channels
	FreeText bool            // the free text of a WhatsApp message instead of its template
	Closes   time.Time       // of Send: when its hours close; zero: not before it is too late anyway
	Suppress message.Reason  // never send, for this reason
	Detail   string
	Expire   bool            // it is too late
	Wait     time.Duration   // look again after this time
	On       message.Channel // of a message that waits: the channel that it waits for; younger ones wait behind it
	Defer    bool            // of a message that waits: sending is not permitted before; it holds up nobody, and its time begins then
	Behind   message.Reason  // why it waits, when that may take long; empty otherwise
	Answers  []GateAnswer    // of the gates that did not let it pass, to be kept; none for a short wait
}

// Claimed is a message with a fresh attempt in state sending, committed: the caller must send it now.
type Claimed struct {
	Message   message.Message
	AttemptID string
	Channel   message.Channel
	Index     int // of Channel in the message's channels
	FreeText  bool
	WindowAt  time.Time // of free text: the person's message whose window it relies on; zero otherwise
	Tries     int       // refusals before, on this channel, that count against the message
	Expires   time.Time // by our clock: then it is too late
	Closes    time.Time // by our clock: then it must not leave Twilio any more, though it is not too late; zero: never
}

// ClaimRequest names the messages to claim; those of another sender are left alone. Lease is how long other dispatchers leave
// an attempt alone.
type ClaimRequest struct {
	IDs    []string
	Sender string
	Lease  time.Duration
	Judge  func(Candidate) Verdict       // pure
	Limits func(Candidate) []message.Cap // what the law adds to the caps of a message; pure; nil: nothing
	Pace   time.Duration                 // the sender's rate: time for each segment; 0 for none

	rate *pacer        // by Pace, while the claim runs
	caps *ledgerOfCaps // the same
}

// ClaimResult is what became of the messages that were still queued and due; the others are somebody else's.
type ClaimResult struct {
	Claimed    []Claimed
	Suppressed []message.Reason
	Expired    int
	Waiting    int
	Held       []string      // ids that the sender's rate does not let through yet: nothing of them has changed
	HeldFor    time.Duration // until the first of them may be claimed
	Suspect    int           // may have been sent in a gap: they are looked up, no call is to be made
}

// Claim judges queued messages and, in one transaction under the locks of their addresses, makes an attempt in state
// sending for each one that may go, and stores suppression and waiting for the others.
func (s *Store) Claim(ctx context.Context, request ClaimRequest) (*ClaimResult, error) {
	var result *ClaimResult
	err := s.inTx(ctx, "claim messages", func(tx pgx.Tx) error {
		result = &ClaimResult{}
		candidates, err := lockQueued(ctx, tx, request)
		if err != nil {
			return err
		}
		if len(candidates) == 0 {
			return s.checkMark(ctx, tx)
		}
		rivals, err := s.readGateFacts(ctx, tx, request.Sender, candidates)
		if err != nil {
			return err
		}
		all := inOrder(candidates, rivals)
		if err := s.readStanding(ctx, tx, all); err != nil {
			return err
		}
		for _, c := range all {
			if request.Limits != nil {
				c.limits = request.Limits(*c)
			}
		}
		if request.caps, err = lockCaps(ctx, tx, candidates); err != nil {
			return err
		}
		if request.rate, err = lockRate(ctx, tx, request); err != nil {
			return err
		}
		return writeVerdicts(ctx, tx, request, all, result)
	})
	return result, err
}

// lockQueued locks those of the messages that are queued, due, and not in another dispatcher's hands. It skips locked
// messages, but not those whose row on the belt is locked: that is the router or a sweeper, noting the sequence of the very
// delivery that brought the message here.
func lockQueued(ctx context.Context, tx pgx.Tx, request ClaimRequest) ([]*Candidate, error) {
	rows, err := tx.Query(ctx, `select `+candidateColumns+`
		from message m where m.id = any ($1::text[]::uuid[]) and m.state = 'queued' and m.not_before <= now() and m.sender = $2
		order by m.created_at, m.id for update skip locked`, request.IDs, request.Sender)
	if err != nil {
		return nil, fmt.Errorf("lock messages: %w", err)
	}
	candidates, err := pgx.CollectRows(rows, scanCandidate)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return candidates, nil
}

const candidateColumns = `m.id::text, m.org, m.notification_id, m.record_id, m.object, m.contact_id, m.rule,
	m.template, m.language, m.purpose, m.channels, m.next_channel, m.sender, m.recipient, m.content, m.hours, m.caps, m.attempts, m.tries, m.channel,
	m.not_before, coalesce(m.permitted_at, m.not_before) + m.expires_after, m.permitted_at is not null, m.created_at, now(),
	coalesce((select greatest(now() - p.paused_at, '1 microsecond') from rule_pause p where p.rule = m.rule), '0'), m.program, m.origin, m.origin_key,
	m.detail`

func scanCandidate(row pgx.CollectableRow) (*Candidate, error) {
	var c Candidate
	var content []byte
	m := &c.Message
	err := row.Scan(&m.ID, (*string)(&m.Org), (*string)(&m.NotificationID), (*string)(&m.RecordID), &m.Object, &m.ContactID,
		&m.Rule, &m.Template, &m.Language, (*string)(&m.Purpose), &m.Channels, &c.NextChannel, &m.Sender, (*string)(&m.To), &content, &m.Hours, &m.Caps,
		&m.Attempts, &c.Tries, (*string)(&c.Channel), &m.NotBefore, &c.ExpiresAt, &c.Permitted, &m.CreatedAt, &c.Now, &c.PausedFor, &m.Program,
		(*string)(&m.Origin), &m.OriginKey, &m.Detail)
	if err != nil {
		return nil, err
	}
	m.State, c.Paused = message.Queued, c.PausedFor > 0
	return &c, json.Unmarshal(content, &m.Content)
}

// readGateFacts takes the address locks, in order, and then reads what the gates look at, and which older messages to the same
// people wait too.
func (s *Store) readGateFacts(ctx context.Context, tx pgx.Tx, sender string, candidates []*Candidate) (rivals []*Candidate, err error) {
	byAddress := map[string][]*Candidate{}
	add := func(c *Candidate) {
		c.Consent = nil
		c.LastInbound = map[message.Channel]time.Time{}
		c.Live = map[message.Channel]message.State{}
		byAddress[string(c.Message.To)] = append(byAddress[string(c.Message.To)], c)
	}
	for _, c := range candidates {
		add(c)
	}
	addresses := make([]string, 0, len(byAddress))
	for a := range byAddress {
		addresses = append(addresses, a)
	}
	var p pipeline
	queueAddressLocks(&p, addresses)
	queueRivals(&p, sender, candidates, func(c *Candidate) {
		add(c)
		rivals = append(rivals, c)
	})
	var a, channel, phase string
	said := func(a string, mark consent.Mark) {
		for _, c := range byAddress[a] {
			c.Consent = append(c.Consent, mark)
		}
	}
	queueConsent(&p, addresses, said)
	checked := s.queueErased(&p, addresses, said)
	var at time.Time
	var denied *time.Time
	// A window is a person's, by whatever address they wrote. The lateral keeps to the index, however many conversations there are.
	p.query(`select p.asked, c.channel, max(c.last_inbound_at), max(c.window_denied_at)
		from same_person($2) p cross join lateral (select k.channel, k.last_inbound_at, k.window_denied_at from conversation k
			where k.address = p.known and k.sender = $1 and k.last_inbound_at is not null offset 0) c group by 1, 2`,
		func(rows pgx.Rows) error {
			return each(rows, []any{&a, &channel, &at, &denied}, func() error {
				for _, c := range byAddress[a] {
					c.LastInbound[message.Channel(channel)] = at
					if denied != nil && message.Channel(channel) == message.WhatsApp {
						c.WindowDenied = *denied
					}
				}
				return nil
			})
		}, sender, addresses)
	p.query(`select address, channel, phase from live_attempt where sender = $1 and address = any ($2)`,
		func(rows pgx.Rows) error {
			return each(rows, []any{&a, &channel, &phase}, func() error {
				for _, c := range byAddress[a] {
					c.Live[message.Channel(channel)] = message.State(phase)
				}
				return nil
			})
		}, sender, addresses)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("read what the gates look at: %w", err)
	}
	if err := checked(); err != nil {
		return nil, err
	}
	return rivals, nil
}

// addressLockClass sets the address locks apart from any other advisory lock in the database.
const addressLockClass = 0x62656b // "bek"

// queueAddressLocks takes a lock for each address until the end of the transaction, in an order that is the same
// everywhere. Sending to an address, and consent for it, change under this lock only.
func queueAddressLocks(p *pipeline, addresses []string) {
	keys := make([]int32, 0, len(addresses))
	for _, a := range addresses {
		h := fnv.New32a()
		_, _ = h.Write([]byte(a))
		keys = append(keys, int32(h.Sum32()))
	}
	slices.Sort(keys)
	p.exec(`select pg_advisory_xact_lock($1, k) from unnest($2::integer[]) k`, addressLockClass, slices.Compact(keys))
}

type liveKey struct {
	channel message.Channel
	to      address.Address
}

// attemptColumns holds new attempts column by column.
type attemptColumns struct {
	ids, messages, orgs, channels, addresses []string
	numbers, tries                           []int32
	countries                                []string
	windows                                  []*time.Time // null without free text
	segments                                 []int32
	categories                               []string
}

func (a *attemptColumns) add(c Claimed) {
	a.ids, a.messages = append(a.ids, c.AttemptID), append(a.messages, c.Message.ID)
	a.orgs, a.channels = append(a.orgs, string(c.Message.Org)), append(a.channels, string(c.Channel))
	a.addresses, a.numbers = append(a.addresses, string(c.Message.To)), append(a.numbers, int32(c.Message.Attempts))
	a.tries = append(a.tries, int32(c.Tries))
	a.countries = append(a.countries, c.Message.To.Country())
	var window *time.Time
	if !c.WindowAt.IsZero() {
		window = &c.WindowAt
	}
	a.windows = append(a.windows, window)
	a.segments, a.categories = append(a.segments, int32(smsSegments(c))), append(a.categories, category(c))
}

func (a *attemptColumns) queue(p *pipeline, request ClaimRequest) {
	p.exec(`insert into attempt (id, message_id, number, org, sender, channel, address, state, country, window_at, segments, category)
		select id::uuid, message_id::uuid, number, org, $7, channel, address, 'sending', country, window_at, segments, category
		from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $8::text[], $9::timestamptz[], $10::integer[],
			$11::text[]) u (id, message_id, number, org, channel, address, country, window_at, segments, category)`,
		a.ids, a.messages, a.numbers, a.orgs, a.channels, a.addresses, request.Sender, a.countries, a.windows, a.segments,
		a.categories)
	p.exec(`insert into live_attempt (attempt_id, sender, channel, address, phase, lease_until)
		select id::uuid, $4, channel, address, 'sending', now() + $5::interval
		from unnest($1::text[], $2::text[], $3::text[]) u (id, channel, address)`,
		a.ids, a.channels, a.addresses, request.Sender, request.Lease)
	p.exec(`with done as (delete from belt where message_id = any ($1::text[]::uuid[]))
		update message m set state = 'sending', reason = '', detail = '', error_code = 0, channel = u.channel,
			attempt_id = u.attempt_id::uuid, attempts = u.number, tries = u.tries,
			permitted_at = coalesce(m.permitted_at, m.not_before), updated_at = now()
		from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[]) u (id, attempt_id, channel, number, tries)
		where m.id = u.id::uuid`,
		a.messages, a.ids, a.channels, a.numbers, a.tries)
}
