package salesforcesim

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// Org is one Salesforce organisation: its records and its outbound message queue. It is safe for concurrent use.
type Org struct {
	cfg    Config
	org    notification.OrgID
	client *http.Client
	wake   chan struct{} // one token: there may be something new to deliver

	mu          sync.Mutex
	running     bool
	rng         *rand.Rand
	ids         *idMaker
	lanes       []*lane
	turn        int // the lane that is asked first, so that none starves
	records     map[recordKey]map[string]string
	items       map[notification.ID]*item
	deliveries  []Delivery
	stats       Stats
	outstanding int           // items that still have an attempt before them or under way
	changed     chan struct{} // closed and replaced when outstanding reaches zero
}

type recordKey struct {
	object string
	id     notification.ID
}

// Saved says what a Save caused.
type Saved struct {
	Record        notification.ID   // the record's id, made up when the record had none
	Notifications []notification.ID // one for each outbound message of the object, in the order of Config.Definitions
}

// New makes an organisation with an empty queue. Nothing is sent before Run. The error wraps ErrConfig or
// notification.ErrBadID and names everything that is wrong.
func New(cfg Config) (*Org, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	org, err := notification.ParseOrgID(cfg.OrgID)
	if err != nil {
		return nil, fmt.Errorf("%w: OrgID: %w", ErrConfig, err)
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 1)) //nolint:gosec // a simulator must be repeatable, not unguessable
	o := &Org{
		cfg:     cfg,
		org:     org,
		client:  newClient(cfg.HTTPClient),
		wake:    make(chan struct{}, 1),
		rng:     rng,
		ids:     newIDMaker(rng.Uint64()),
		records: map[recordKey]map[string]string{},
		items:   map[notification.ID]*item{},
		changed: make(chan struct{}),
	}
	for _, d := range cfg.Definitions {
		action, err := o.actionID(d)
		if err != nil {
			return nil, err
		}
		o.lanes = append(o.lanes, &lane{def: d, action: action})
	}
	return o, nil
}

func (o *Org) actionID(d Definition) (notification.ID, error) {
	if d.ActionID == "" {
		return o.ids.next(actionPrefix), nil
	}
	id, err := notification.ParseID(d.ActionID)
	if err != nil {
		return "", fmt.Errorf("%w: ActionID of %s: %w", ErrConfig, d.Object, err)
	}
	return id, nil
}

// newClient copies the client so that it follows no redirect: no source says that Salesforce does.
func newClient(given *http.Client) *http.Client {
	client := http.Client{}
	if given != nil {
		client = *given
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// ID is the organisation that the simulator plays.
func (o *Org) ID() notification.OrgID { return o.org }

// Save creates or changes a record of the object and queues a notification for each outbound message of that object.
// The fields given are merged into the stored record; its id is the field Id (15 or 18 characters), or made up. The
// error wraps ErrUnknownObject, ErrBadValue or notification.ErrBadID; then nothing was changed or queued.
func (o *Org) Save(object string, record Record) (Saved, error) {
	fields, err := wireFields(record)
	if err != nil {
		return Saved{}, fmt.Errorf("save %s: %w", object, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	lanes := o.lanesOf(object)
	if len(lanes) == 0 {
		return Saved{}, fmt.Errorf("save %s: %w", object, ErrUnknownObject)
	}
	id, err := o.recordID(object, fields["Id"])
	if err != nil {
		return Saved{}, fmt.Errorf("save %s: field Id: %w", object, err)
	}
	if err := checkWritable(object, id, fields); err != nil {
		return Saved{}, fmt.Errorf("save %s: %w", object, err)
	}
	key := recordKey{object, id}
	if o.records[key] == nil {
		o.records[key] = map[string]string{}
	}
	maps.Copy(o.records[key], fields)

	saved := Saved{Record: id}
	now := time.Now()
	for _, l := range lanes {
		saved.Notifications = append(saved.Notifications, o.enqueue(l, id, now))
	}
	o.signal()
	return saved, nil
}

// Delete removes a record: notifications of it that are still queued go out without data. As in Salesforce, the
// deletion itself sends nothing. The id has 15 or 18 characters; the error wraps ErrUnknownRecord or
// notification.ErrBadID.
func (o *Org) Delete(object, id string) error {
	parsed, err := notification.ParseID(id)
	if err != nil {
		return fmt.Errorf("delete %s: %w", object, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := recordKey{object, parsed}
	if _, ok := o.records[key]; !ok {
		return fmt.Errorf("delete %s: %w", object, ErrUnknownRecord)
	}
	delete(o.records, key)
	return nil
}

// Drain waits until every queued notification is acknowledged or dropped, repeats after an acknowledgement included.
// The error is ctx's.
func (o *Org) Drain(ctx context.Context) error {
	for {
		o.mu.Lock()
		outstanding, changed := o.outstanding, o.changed
		o.mu.Unlock()
		if outstanding == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("drain with %d notifications outstanding: %w", outstanding, ctx.Err())
		}
	}
}

func (o *Org) lanesOf(object string) []*lane {
	var lanes []*lane
	for _, l := range o.lanes {
		if l.def.Object == object {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

func (o *Org) recordID(object, given string) (notification.ID, error) {
	if given == "" {
		return o.ids.record(object), nil
	}
	return notification.ParseID(given)
}

func (o *Org) enqueue(l *lane, record notification.ID, now time.Time) notification.ID {
	it := &item{
		id:     o.ids.next(notificationPrefix),
		record: record,
		dropAt: now.Add(o.cfg.DropAfter),
		state:  Pending,
	}
	o.items[it.id] = it
	o.outstanding++
	o.stats.Queued++
	l.push(&parcel{items: []*item{it}, due: o.firstAttempt(now)})
	return it.id
}

// firstAttempt is the end of the current linger period, so that what is saved within one period goes out together.
func (o *Org) firstAttempt(now time.Time) time.Time {
	if o.cfg.Linger == 0 {
		return now
	}
	return now.Truncate(o.cfg.Linger).Add(o.cfg.Linger)
}

// settle takes n items out of what Drain waits for.
func (o *Org) settle(n int) {
	o.outstanding -= n
	if n > 0 && o.outstanding == 0 {
		close(o.changed)
		o.changed = make(chan struct{})
	}
}

func (o *Org) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
