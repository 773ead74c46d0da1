// Package dispatcher is stage 3: it turns messages into calls to Twilio, exactly one outcome each, and takes in what comes
// back: delivery statuses, replies, opt-outs.
//
//	MESSAGES  -> claim (gates, attempt in `sending`, committed) -> call Twilio -> record the outcome
//	CALLBACKS -> status: states move forward      -> replies: conversation, consent
//	scheduler -> due rows on the belt, dead leases, what is too late, old stream messages
//	look-ups  -> unknown outcomes
//	opt-ins that wait to be confirmed -> one question each (double opt-in)
//	polls     -> messages whose callbacks did not come; listings -> replies whose webhooks did not come
//
// # The send protocol
//
//	          claim                 2xx with SID            callbacks
//	queued ----------> sending ----------------> accepted -----------> sent, delivered, read, undelivered, failed
//	   ^                 |  |  \
//	   |   4xx, 429, no  |  |   `--- time-out, reset, 5xx, junk, dead dispatcher ---> unknown
//	   |   connection    |  |                                                           |
//	   `-----------------'  `--> failed, suppressed            found at Twilio: accepted |
//	   ^                                                                                 |
//	   `------------------- two listings, apart in time, don't show it: absent <---------'
//
// States live on attempts and move forward only, whatever the order of callbacks; steps may be skipped, since callbacks get
// lost. The database refuses anything else. An attempt goes
//
//	from      to
//	sending   unknown, canceled (the call never began), refused (Twilio said no), or any state below
//	unknown   absent (proven), or any state below
//	accepted  sent, undelivered, failed, delivered, read
//	sent      undelivered, failed, delivered, read
//	undelivered, failed    delivered, read: the failure was reported too soon
//	delivered read
//	absent    accepted and what follows it: a late callback proved the proof wrong
//
// A message's state derives from its attempts: it is delivered or read when any attempt is, else it follows the newest one.
// It is queued again, for a new attempt, when the newest attempt was refused, canceled, absent, undelivered or failed and may be
// tried again: on the same channel within the budget of the table of reactions, or on the next channel. Suppressed and expired are
// a message's own: consent forbids it, or its time is over. The database lets a message out of a final state only when an attempt
// says so.
//
//   - Of two messages to one address the older one goes first, unless it waits for a later time.
//   - A message whose time is over is not sent. Twilio is told how much of it is left. An unknown outcome ends only with a proof.
//   - An attempt is committed in state sending before the call, with a lease, and there is at most one attempt in sending
//     or unknown per sender, channel and address.
//   - The gates (consent, WhatsApp window, address free) are judged inside the claim, under the address lock that a STOP
//     takes too. After the claim and right before the call the dispatcher reads consent once more, and again until CALLBACKS
//     holds no reply, and no status that tells of an opt-out, that is newer than the reading; replies that nobody has worked
//     on are waited for. So an opt-out that was durably received before the call starts stops it, a reply as well as an
//     operator's.
//   - The call gives up at a deadline well inside the lease; the deadline is checked again right before writing. What
//     remains is a process frozen between that check and the kernel's write for longer than the lease.
//   - An unclear outcome is a state of its own, looked up at Twilio after a wait, and never sent again before it is proven
//     absent. In doubt it stays unknown.
//
// # Lanes
//
// Each sender has a lane: its part of MESSAGES, slots for calls in flight, a circuit breaker, a rate, a Twilio client. A lane
// waits for nothing that belongs to another one. All else is one per process: statuses, replies, scheduler, look-ups. See
// Lane and breaker.
//
// # How it fails
//
// When Postgres or NATS is away, nothing is claimed and nothing is acknowledged; outcomes of calls in flight are kept in
// memory and stored when it is back, or, if the process dies, found by the look-up. A callback that can't be read, and what
// is no id on the belt, goes to DEADLETTERS. When Twilio can't be reached, or refuses the account or the sender, the
// breaker opens: messages stay where they are, nothing is counted against them, and single ones find out when it is over.
//
// # How it is tested
//
// With twilio-go against our Twilio simulator, a real Postgres and an in-process nats-server.
package dispatcher
