package dispatcher

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
	accountPause = 30 * time.Second // of a message after an error that concerns the account or the sender
)

// deadline is when a call must be over, by two clocks: the monotonic one, which nobody can set, and the wall clock, which has
// gone on when a machine wakes up from a sleep in which the monotonic one stood still.
type deadline struct {
	at   time.Time // with the monotonic clock's reading
	wall time.Time // without it
}

func deadlineIn(d time.Duration) deadline {
	at := time.Now().Add(d)
	return deadline{at: at, wall: at.Round(0)}
}

// over tells whether either clock has come to it. A wall clock that was set forward ends it early, which costs a try and no more.
func (d deadline) over() bool {
	now := time.Now()
	return !now.Before(d.at) || !now.Round(0).Before(d.wall)
}

// send makes the one call of an attempt, tells the breaker of it and hands the outcome to the recorder.
func (l *lane) send(ctx context.Context, c store.Claimed, due deadline, admitted leave) {
	ctx, cancel := context.WithDeadline(ctx, due.at)
	defer cancel()
	if late(c, 0) {
		l.breaker.release(admitted, 1)
		l.recorder.put(canceled(c, message.Expired, message.ReasonValidity))
		return
	}
	if due.over() { // frozen since the claim: the lease may be over soon
		l.breaker.release(admitted, 1)
		l.recorder.put(canceled(c, message.Queued, message.ReasonRetry))
		return
	}
	began := time.Now()
	result, err := l.Twilio.Send(ctx, l.request(c))
	l.metrics.calls.Observe(time.Since(began).Seconds())
	if err == nil {
		l.works(admitted.era, c.Channel)
		l.metrics.took(c.Message.Rule)
		l.recorder.put(store.Outcome{
			MessageID: c.Message.ID, AttemptID: c.AttemptID, State: message.Accepted, SID: result.SID,
			MessageState: message.Accepted,
		})
		return
	}
	outcome := l.classify(c, err)
	l.learn(admitted.era, c.Channel, failureOf(err))
	l.Log.WarnContext(ctx, "Twilio did not take a message", "message", c.Message.ID, "attempt", c.AttemptID, "to", c.Message.To,
		"becomes", outcome.MessageState, "error", err)
	l.recorder.put(outcome)
}

func (l *lane) request(c store.Claimed) twilio.Request {
	request := twilio.Request{To: string(c.Message.To), Channel: c.Channel, ValidityPeriod: remaining(c)}
	if l.PublicURL != "" {
		query := url.Values{"message": {c.Message.ID}, "attempt": {c.AttemptID}}
		request.StatusCallback = l.PublicURL + "/twilio/status?" + query.Encode() + twilio.CallbackOverrides
	}
	switch c.Channel {
	case message.SMS:
		request.From, request.MessagingServiceSID = string(l.Sender.SMSFrom), l.Sender.MessagingServiceSID
		request.Body, request.MediaURL = c.Message.Content.SMS.Text, c.Message.Content.SMS.Media
	case message.WhatsApp:
		request.From = string(l.Sender.WhatsAppFrom)
		content := c.Message.Content.WhatsApp
		if c.FreeText || content.ContentSID == "" {
			request.Body, request.MediaURL = content.Text, content.Media
		} else {
			request.ContentSID, request.ContentVariables = content.ContentSID, content.Variables
		}
	}
	return request
}

// failureOf is what the adapter says of a failed call.
func failureOf(err error) *twilio.Error {
	failure, ok := twilio.AsError(err)
	if !ok { // not from the adapter: assume the worst
		failure = &twilio.Error{Kind: twilio.Unclear, Cause: err}
	}
	return failure
}

// classify is the one place that says what a failed call means for the attempt and the message; learn is the one that says
// what it means for others.
func (d *Dispatcher) classify(c store.Claimed, err error) store.Outcome {
	failure := failureOf(err)
	o := store.Outcome{
		MessageID: c.Message.ID, AttemptID: c.AttemptID, ErrorCode: failure.Code, Detail: failure.Rule.Meaning, NextChannel: c.Index,
	}
	switch failure.Kind {
	case twilio.Unclear:
		o.State, o.MessageState, o.Reason = message.Unknown, message.Unknown, message.ReasonUnclear
		o.Detail, o.LookupAfter = failure.Error(), d.ReconcileAfter
	case twilio.NotSent:
		o.State, o.Detail = message.Refused, failure.Error()
		notSent(&o, c, failure)
	case twilio.Refused:
		o.State = message.Refused
		d.refused(&o, c, failure)
		if failure.Rule.Alert {
			d.metrics.alert(failure.Code)
		}
	}
	if o.MessageState == message.Queued && late(c, o.RetryAfter) {
		o.MessageState, o.Reason = message.Expired, message.ReasonValidity
	}
	return o
}

// notSent queues a message again whose call did not get to Twilio, or that Twilio had no time for (429). Nothing is wrong with
// the message, so that no number of these makes it fail.
func notSent(o *store.Outcome, c store.Claimed, failure *twilio.Error) {
	o.MessageState, o.Reason = message.Queued, message.ReasonRetry
	o.RetryAfter = max(backoff(c.Message.Attempts), failure.RetryAfter)
}

// refused follows the table of reactions: Twilio has said that there is no message, and why.
func (d *Dispatcher) refused(o *store.Outcome, c store.Claimed, failure *twilio.Error) {
	switch failure.Rule.Stop {
	case twilio.StopAll, twilio.StopSender: // nothing is wrong with this message: it waits until account or sender work again
		o.MessageState, o.Reason, o.RetryAfter = message.Queued, message.ReasonRetry, accountPause
		return
	case twilio.StopNothing:
	}
	switch failure.Reaction {
	case twilio.Retry, twilio.Defer:
		d.retry(o, c, failure)
	case twilio.OptOut:
		o.MessageState, o.Reason = message.Suppressed, message.ReasonOptedOut
		o.Consent = &consent.Entry{
			Org: c.Message.Org, Address: c.Message.To, Channel: c.Channel, Action: consent.OptOut, Source: consent.FromErrorCode,
			Evidence: "attempt " + c.AttemptID, Note: failure.Rule.Meaning,
		}
	case twilio.Permanent, twilio.Alert, twilio.Content, twilio.SoftFail, twilio.Reconcile:
		o.MessageState, o.Reason = message.Failed, message.ReasonRejected
		if next := nextChannel(c); failure.Rule.Fallback && next > 0 {
			o.MessageState, o.Reason, o.NextChannel = message.Queued, message.ReasonFallback, next
		}
		if errors.Is(failure, twilio.ErrVariables) {
			badVariables(o, c, failure)
		}
		if failure.Rule.Window {
			windowClosed(o, c)
		}
	}
}

// retry queues a message again with back-off, until its tries are used up.
func (d *Dispatcher) retry(o *store.Outcome, c store.Claimed, failure *twilio.Error) {
	tries := d.Tries
	if failure.Rule.Retries > 0 {
		tries = failure.Rule.Retries
	}
	wait := max(retryWait(c, &failure.Rule), failure.RetryAfter)
	next := nextChannel(c)
	other := failure.Rule.Fallback && next > 0
	switch {
	case other && (c.Tries >= tries || late(c, wait)): // a try that would come too late is left to the other channel
		o.MessageState, o.Reason, o.NextChannel = message.Queued, message.ReasonFallback, next
	case c.Tries >= tries:
		o.MessageState, o.Reason = message.Failed, message.ReasonRetriesExhausted
	default:
		o.Try, o.MessageState, o.Reason, o.RetryAfter = true, message.Queued, message.ReasonRetry, wait
	}
}

// retryWait is how long a message waits before its next try.
func retryWait(c store.Claimed, rule *twilio.Rule) time.Duration {
	if rule.Reaction == twilio.Defer {
		return deferral(rule)
	}
	return max(backoff(c.Tries+1), jitter(doubled(rule.RetryAfter, c.Tries)))
}

// backoff doubles from a second to five minutes, a tenth up or down.
//
// Source: Twilio, "Best practices for scaling with Messaging Services": doubling with 10 % jitter.
func backoff(attempt int) time.Duration {
	wait := firstRetry << min(max(attempt-1, 0), 10)
	wait = min(wait, longestRetry)
	return jitter(wait)
}

// jitter is a tenth up or down.
func jitter(wait time.Duration) time.Duration {
	return wait + time.Duration((rand.Float64()-0.5)*0.2*float64(wait)) //nolint:gosec // jitter needs no secrecy
}

// nextChannel is the index of the next channel with content, 0 when there is none.
func nextChannel(c store.Claimed) int {
	for i := c.Index + 1; i < len(c.Message.Channels); i++ {
		if c.Message.Content.Has(c.Message.Channels[i]) {
			return i
		}
	}
	return 0
}
