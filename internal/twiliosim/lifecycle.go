package twiliosim

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"
)

// step is one change of a message's status.
type step struct {
	status string
	code   int
	after  time.Duration
}

// plan is the life that lies before a message. It is in one worker's hands at a time.
type plan struct {
	message   *Message
	steps     []step
	duplicate bool
	drop      bool
	early     bool
	final     *step // with reordering: what the message is from the first step on
}

const day = 24 * time.Hour

// planFor decides how a message ends.
func (s *Simulator) planFor(m *Message, fault *Fault) *plan {
	d := s.cfg.Delays
	flags := s.cfg.Callbacks
	end := step{status: "delivered"}
	if m.WhatsApp() && !s.cfg.NoWindow && m.ContentSID == "" && !s.windowOpen(m) {
		end = step{status: "undelivered", code: codeOutsideWindow}
	}
	if fault != nil {
		switch fault.Kind {
		case Undelivered:
			end = step{status: "undelivered", code: fault.Code}
		case Failed:
			end = step{status: "failed", code: fault.Code}
		case DuplicateCallbacks:
			flags.Duplicate = true
		case ReorderCallbacks:
			flags.Reorder = true
		case DropCallbacks:
			flags.Drop = true
		case EarlyCallback:
			flags.Early = true
		case Refuse, RateLimit, ServerError, ServerErrorCreated, Slow, Hang, HangCreated, Reset, LoseAnswer, Junk,
			EmptyObject, Redirect:
		}
	}
	end.after = d.Delivered.pick()
	p := &plan{message: m, duplicate: flags.Duplicate, drop: flags.Drop, early: flags.Early}
	if end.status != "failed" {
		p.steps = append(p.steps, step{status: "sent", after: d.Sent.pick()})
	}
	p.steps = append(p.steps, end)
	if m.WhatsApp() && s.cfg.ReadReceipts && end.status == "delivered" {
		p.steps = append(p.steps, step{status: "read", after: d.Read.pick()})
	}
	if flags.Reorder {
		final := p.steps[len(p.steps)-1]
		p.final = &final
		slices.Reverse(p.steps)
	}
	return p
}

func (s *Simulator) windowOpen(m *Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.windows[windowKey{m.From, m.To}]
	return ok && time.Since(last) < day
}

func (s *Simulator) schedule(p *plan) {
	if len(p.steps) > 0 {
		s.queue.add(time.Now().Add(p.steps[0].after), p)
	}
}

func (s *Simulator) startWorkers() {
	for range s.cfg.Workers {
		s.wg.Go(func() {
			for {
				p, ok := s.queue.take(s.ctx)
				if !ok {
					return
				}
				s.advance(s.ctx, p)
				s.schedule(p)
			}
		})
	}
}

// advance carries out the first step that is left: the status changes, then the callback is posted.
func (s *Simulator) advance(ctx context.Context, p *plan) {
	now := p.steps[0]
	p.steps = p.steps[1:]
	form, link, alive := s.apply(p, now)
	if !alive {
		p.steps = nil
		return
	}
	if link == "" || p.drop {
		return
	}
	tries := 1
	if p.duplicate {
		tries = 2
	}
	for range tries {
		s.deliver(ctx, p.message, link, form)
	}
}

// apply changes the message and makes the callback's parameters; alive is false for a canceled or deleted message.
func (s *Simulator) apply(p *plan, now step) (form url.Values, link string, alive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := p.message
	if m.Status == "canceled" || s.bySID[m.SID] != m {
		return nil, "", false
	}
	shown := now
	if p.final != nil {
		shown = *p.final
	}
	m.Status, m.ErrorCode, m.Updated = shown.status, shown.code, time.Now()
	if m.Sent.IsZero() && m.Status != "failed" {
		m.Sent = m.Updated
	}
	s.write(entry{Status: &change{SID: m.SID, Status: m.Status, ErrorCode: m.ErrorCode, Sent: m.Sent, Updated: m.Updated}})
	s.notify()
	return s.statusForm(m, now), m.StatusCallback, true
}

// statusForm is what Twilio posts. Source: Twilio, "Outbound message status in status callbacks".
func (s *Simulator) statusForm(m *Message, now step) url.Values {
	form := url.Values{
		"AccountSid": {s.cfg.AccountSID}, "ApiVersion": {apiVersion}, "From": {m.From}, "To": {m.To},
		"MessageSid": {m.SID}, "SmsSid": {m.SID}, "MessageStatus": {now.status}, "SmsStatus": {now.status},
	}
	if m.MessagingServiceSID != "" {
		form.Set("MessagingServiceSid", m.MessagingServiceSID)
	}
	if now.code != 0 {
		form.Set("ErrorCode", itoa(now.code))
	}
	if !m.WhatsApp() {
		if now.status == "delivered" || now.status == "undelivered" {
			form.Set("RawDlrDoneDate", m.Updated.UTC().Format("0601021504"))
		}
		return form
	}
	form.Set("ChannelPrefix", strings.TrimSuffix(whatsapp, ":"))
	form.Set("ChannelInstallSid", "XE"+strings.Repeat("0", 32))
	if now.code != 0 {
		form.Set("ChannelStatusMessage", errorText(now.code))
	}
	if now.status == "read" || now.status == "delivered" {
		form.Set("EventType", strings.ToUpper(now.status))
	}
	return form
}
