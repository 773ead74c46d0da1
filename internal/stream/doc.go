// Package stream holds all of Beckon's JetStream: the streams, their subjects and headers, the consumers, publishing
// with a confirmation from storage, fetching, and trimming. Nothing else in Beckon knows a stream by name.
//
// # Streams
//
// All are file storage with limits retention and discard new: when a stream is full the publisher is told, nothing old
// is lost (MARKS alone keeps the newest 1000 instead). No stream has an age limit, since that would delete what a consumer has not finished; Trim does that work.
//
//	stream         subjects                       a message is                         atomic batches
//	NOTIFICATIONS  notifications.<org>            one Salesforce envelope, checked XML yes
//	MESSAGES       messages.<sender>.<org>        ids of message rows, one a line      yes
//	CALLBACKS      callbacks.inbound.<sender>     one reply, the raw form body         yes
//	               callbacks.inbound.<sender>.optout   a delivery status that says that the person opted out
//	               callbacks.status.<sender>      one delivery status, the same        yes
//	DEADLETTERS    deadletters.<stream>.<org>     what could not be processed          no
//	MARKS          marks.ledger                   how far the ledger is                no
//
// NOTIFICATIONS and CALLBACKS refuse a repeated Nats-Msg-Id for ten minutes. That is a first sieve only: the truth about
// duplicates is the key table in Postgres. Only NOTIFICATIONS allows direct gets, which Trim bears: LastInbound, and what an
// operator reads of the dead letters, is answered by the stream's leader and never by a follower that lags.
//
// # Headers
//
//	Beckon-Org           organisation, 15 characters          NOTIFICATIONS, MESSAGES, DEADLETTERS
//	Beckon-Object        sObject API name                     NOTIFICATIONS
//	Beckon-Count         notifications in the envelope        NOTIFICATIONS
//	Beckon-Received      when the door took it in, RFC3339Nano, UTC   NOTIFICATIONS, CALLBACKS
//	Beckon-Encoding      zstd when the body is compressed     NOTIFICATIONS, CALLBACKS
//	Beckon-Sender        name of the sender, none: default    CALLBACKS
//	Beckon-Query         raw query of the callback URL        CALLBACKS
//	Beckon-Content-Type  content type of the callback         CALLBACKS
//	Beckon-Found         when a listing found a reply whose webhook was missed   CALLBACKS
//	Beckon-Stream, Beckon-Seq, Beckon-Subject, Beckon-Reason, Beckon-History, Beckon-Origin-*   DEADLETTERS
//	Beckon-Notification  the one notification of the envelope that is meant; none: all of it   DEADLETTERS
//	Beckon-First-Stored  when the message was stored for the first time, RFC3339Nano, UTC   DEADLETTERS, and what was put back
//	Beckon-Replay        replay, redecide or force: an operator put it on the belt again    NOTIFICATIONS, CALLBACKS, MESSAGES
//	Beckon-Replay-Id     the operator's order; Beckon-Replay-Only: notification ids, comma-separated; none: all
//	Nats-Msg-Id          duplicate key
//
// Bodies over 16 KiB are stored zstd-compressed; Delivery.Body gives them back.
//
// # Consumers
//
// Durable, pull, explicit acknowledgement, unlimited deliveries (failures of logic are counted by the stages, not here):
//
//	router             on NOTIFICATIONS
//	dispatcher         on MESSAGES, messages.default.>
//	dispatcher-<name>  on MESSAGES, messages.<name>.>, one for each other sender
//	inbound            on CALLBACKS, callbacks.inbound.>
//	status             on CALLBACKS, callbacks.status.>
//
// An acknowledgement is not synced by the server one by one: after a crash some acknowledged messages come again.
// Everything behind a consumer must be idempotent.
//
// # Publishing
//
// A publish returns nil only after JetStream has confirmed storage. Small messages go through a group committer, one a
// stream: it takes whatever waits, without lingering; one alone is published singly, several as one atomic batch, which
// the server syncs once. A refused batch (a duplicate id inside refuses all of it) is published again message by
// message, so that each caller gets an answer of its own. Large messages are published side by side at once.
//
// # Failure
//
// ErrTooLarge: it will never fit. ErrFull, ErrUnavailable: nothing was stored, try later. ErrNotConfirmed: it may or may
// not be stored, publish it again under the same id. Fetch outlives a deleted consumer and a server restart: it creates
// the consumer again, where it was last seen to be, and goes on, with growing pauses, until its context ends.
//
// # Durability
//
// A client cannot read the server's sync setting. On one server, a confirmation survives a power cut only with
// sync_interval: always; in a cluster use three replicas in separate failure domains.
//
// # Testing
//
// Every test runs on a real nats-server in the process that syncs each write (package streamtest).
package stream
