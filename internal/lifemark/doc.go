// Package lifemark watches over the life of both stores: whether the ledger (Postgres) is the one, and as far, as the belt
// (JetStream) remembers, and whether the streams are what the ledger remembers.
//
// # Takes and gives
//
// The ledger has one row that says which database it is and a position that grows. A process that sends moves the position on
// every few seconds and stores it in the stream MARKS, with the time until which something may be sent on the strength of it.
// Only when that is confirmed may it send, and only until then: a licence. So the belt always knows a position at least as high
// as that of any claim, but for the claims of the last few seconds, and an upper bound of the time of every call.
//
// Each look reads the belt's mark first and the ledger's second. A ledger with a lower position, or another id, is older than
// what was sent: it was restored. A ledger with the right position that is another copy, or on another server, while a licence
// was open, may lack the last seconds. In both cases nothing is decided or claimed: Licence fails, and what Standing guards stops.
//
// Recover ends a hold. It notes the gap, the time of which the ledger lacks what was sent, sets back the consumers of
// notifications and callbacks to its begin, and moves the position on. Until the consumers have caught up nothing is claimed.
// Messages that may have been sent in the gap are looked up at Twilio before they are sent (package store, Candidate).
//
// The streams are compared with how the ledger saw them last: made anew, or with a lower last sequence, is a loss. Streams and
// consumers that are gone are made anew. What travelled is put on the belt again. A loss of CALLBACKS holds the sending, since an
// opt-out may have been in it, until an operator has settled it.
//
// # Failure
//
// While a store is away nothing is found; the licence runs out by itself. A finding stays until the stores agree again.
//
// # Limits
//
// A backup of the database's files, taken in the very seconds in which all dispatchers died, and put back in the same place on
// the same server, is not told from the original. When both stores are put back to one moment, neither knows: run beckon recover
// with the times.
//
// # Testing
//
// The judgement is a pure function with a table. The rest runs on a real Postgres, copied and put back, and a real nats-server.
package lifemark
