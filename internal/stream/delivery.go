package stream

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/beckonhq/beckon/internal/notification"
)

// Delivery is one message that a consumer got. It must be answered with Ack, Nak or Term, or it is delivered again when
// AckWait has passed since the delivery or the last InProgress.
type Delivery struct {
	Subject    string
	Data       []byte    // as stored; Body gives it decompressed
	Seq        uint64    // in its stream
	Deliveries uint64    // how often it was delivered, this time included
	Stored     time.Time // for the first time: before it became a dead letter and was put back

	header nats.Header
	reply  string
	nc     *nats.Conn
	codec  *codec
}

// OptOut tells whether it is a delivery status that was published as KindOptOut.
func (d *Delivery) OptOut() bool {
	return strings.HasPrefix(d.Subject, subjectCallbacks+string(KindInbound)+".") && strings.HasSuffix(d.Subject, suffixOptOut)
}

// Get returns a header's first value, "" when there is none.
func (d *Delivery) Get(name string) string { return d.header.Get(name) }

// Header returns a copy of all headers.
func (d *Delivery) Header() map[string]string {
	header := make(map[string]string, len(d.header))
	for name := range d.header {
		header[name] = d.header.Get(name)
	}
	return header
}

// Body returns the data decompressed, at most 64 MiB. Its error is ErrBadMessage.
func (d *Delivery) Body() ([]byte, error) { return d.codec.decode(d.Data, d.Get(HeaderEncoding)) }

// Envelope reads back the headers that PublishNotification wrote. Its error is ErrBadMessage.
func (d *Delivery) Envelope() (Envelope, error) {
	count, err := strconv.Atoi(d.Get(HeaderCount))
	if err != nil {
		return Envelope{}, fmt.Errorf("%w: sequence %d: header %s: %w", ErrBadMessage, d.Seq, HeaderCount, err)
	}
	received, err := time.Parse(time.RFC3339Nano, d.Get(HeaderReceived))
	if err != nil {
		return Envelope{}, fmt.Errorf("%w: sequence %d: header %s: %w", ErrBadMessage, d.Seq, HeaderReceived, err)
	}
	return Envelope{
		Org: notification.OrgID(d.Get(HeaderOrg)), Object: d.Get(HeaderObject), Count: count,
		MsgID: d.Get(nats.MsgIdHdr), Received: received,
	}, nil
}

// MessageIDs returns the ids of message rows that a delivery from MESSAGES carries.
func (d *Delivery) MessageIDs() []string { return strings.Fields(string(d.Data)) }

// Ack says that the message is finished. It does not wait for the server.
func (d *Delivery) Ack() error { return d.answer("+ACK") }

// Nak asks for a new delivery after the delay; it keeps its place among the unfinished until then, so only for short
// waits.
func (d *Delivery) Nak(delay time.Duration) error {
	if delay <= 0 {
		return d.answer("-NAK")
	}
	return d.answer(`-NAK {"delay": ` + strconv.FormatInt(delay.Nanoseconds(), 10) + `}`)
}

// Term says that the message shall never be delivered again; the reason goes to the server's advisory and must hold no
// personal value.
func (d *Delivery) Term(reason string) error { return d.answer("+TERM " + reason) }

// InProgress restarts AckWait.
func (d *Delivery) InProgress() error { return d.answer("+WPI") }

func (d *Delivery) answer(verb string) error {
	if err := d.nc.Publish(d.reply, []byte(verb)); err != nil {
		return fmt.Errorf("answer delivery of sequence %d: %w", d.Seq, err)
	}
	return nil
}
