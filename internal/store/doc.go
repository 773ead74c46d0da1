// Package store is all of Beckon's SQL: the ledger in Postgres.
//
// # What it takes and gives
//
// The router calls Decide with envelopes and a pure function; the dispatcher calls Claim, Record, ApplyStatus and
// ApplyInbound, and its scheduler Sweep, ExpireLeases and DueLookups. Commands read with Messages and Trace. Types are those
// of the vocabulary packages; nothing above this package sees SQL or pgx.
//
// # What it promises
//
//   - Every exported write is one transaction and may be repeated: a repetition after a crash changes nothing.
//   - Locks are taken in one order everywhere, so that writers can't block one another for good: notification keys, actions,
//     records (org, id), attempts (id), messages (id, or skipping locked ones), addresses, belt, the rate of a sender. Deadlocks and serialization failures that
//     happen all the same are tried again a few times.
//   - A state of an attempt moves forward only, and a message leaves a final state only when an attempt says so; the database
//     refuses anything else.
//   - consent, delivery_event, audit, replayed and gate_answer are only ever added to; the database refuses anything else.
//
// # Tables
//
// The first migration describes each table. In short: notification and decision say what Salesforce told us and how it
// ended; record is the last-known copy; message, attempt and delivery_event are the history of sending; belt and
// live_attempt are small tables of what is in motion, poll of what stays behind; sender_rate holds the rate of senders that have
// one; replayed, audit, gate_answer and trial are about operators; conversation, inbound and consent are what people told us.
//
// # Failure
//
// Errors wrap the driver's. Temporary tells whether the same call may succeed later (no connection, fail-over, a full
// server); everything else is a fault of the data or of the program.
//
// # Tests
//
// Against a real Postgres, an empty database for each test (internal/pgtest).
package store
