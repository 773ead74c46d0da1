// Package protocol is a model of the send protocol, small enough that a test looks at every order in which its steps can happen:
// claim, barrier, call, record, callbacks, dead leases and look-ups, by several dispatchers side by side, with a crash possible
// at every step, a belt that loses and repeats, a Twilio that takes late, refuses, or answers in vain, a listing that lags, and
// a STOP at any moment. Nothing of it runs in the product.
//
// # What is checked
//
// In every world that can be reached: no message reaches Twilio twice; no attempt is noted absent that Twilio has or may still
// get; one attempt to an address at most is in sending or unknown; no call begins when a STOP was durable at the last look; no
// attempt adopts another's message. And from every world a way leads to an end of every message, so that none is lost.
//
// # How it maps to the code
//
//	action of the model                          code
//	claims                                       Dispatcher.claim, judge (dispatcher/claim.go, gates.go); Store.Claim (internal/store/claim.go)
//	has caught up with the replies,              Dispatcher.consentNow (dispatcher/claim.go) with barrier.wait (dispatcher/barrier.go)
//	  reads consent, sees a newer reply
//	gives the claim back, finds an opt-out       Dispatcher.recheck (dispatcher/claim.go)
//	checks the deadline, writes the request      Dispatcher.send (dispatcher/send.go), twilio.Client.Send
//	can't connect, gets ...                      Dispatcher.classify (dispatcher/send.go)
//	records ...                                  recorder (dispatcher/recorder.go); Store.Record (internal/store/record.go)
//	the lease is over                            Store.ExpireLeases (internal/store/unknown.go), by Dispatcher.tick (dispatcher/scheduler.go)
//	lists Twilio's messages                      Dispatcher.lookUp (scheduler.go) with Store.DueLookups; Dispatcher.find (reconcile.go)
//	notes that it saw nothing                    Store.NoteAbsence
//	notes the attempt absent, adopts             Dispatcher.reconcile, adopt (dispatcher/reconcile.go) with Store.Record
//	a callback reports the delivery              Store.ApplyStatus (internal/store/status.go)
//	the door stores a STOP, the STOP is applied  ingest; Dispatcher.applyReply (callbacks.go) with Store.ApplyReply
//	the sweeper puts it on the belt              Dispatcher.sweep (scheduler.go) with Store.Sweep (internal/store/belt.go)
//	crashes                                      kill -9; a dispatcher that makes no more steps is one that is frozen
//
// TestConformance of package dispatcher walks through the model and the real store side by side and compares them.
//
// # What is left out
//
// Fallback to another channel (its attempts cannot be taken for one another), look-ups in doubt (they only wait), the back-off
// between tries (the model tries again at once, which is more than can happen), and times in which a look-up is kept from other
// dispatchers (the same). All messages go to one address and say the same, the worst case for a listing.
//
// # Assumptions
//
// Each is a field of Without, and a test shows what breaks without it: a process does not freeze between its last check of the
// deadline and the kernel's write; a host's sleep counts against the deadline. Beyond that: bytes that were written arrive within
// TCP_USER_TIMEOUT or never, and Twilio's listing shows a message some time after it took it, see TestLagThatTheProofBears.
package protocol
