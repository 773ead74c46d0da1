// Package router is stage 2: it turns notifications into messages.
//
//	NOTIFICATIONS -> decode -> decide (rules, templates; one transaction) -> MESSAGES
//
// # What it takes
//
// Envelopes from the stream NOTIFICATIONS, in their order; the running set of rules and templates, which may change between
// two envelopes; the ledger.
//
// # What it promises
//
//   - Each notification id (organisation and id) is decided once, however often it arrives: the ledger holds the key.
//   - The decision, the last-known copy of the record and the messages are one transaction. Envelopes that wait are decided
//     together, in document order.
//   - After the commit the messages' ids go on the belt; only then is the envelope acknowledged. A crash in between leads to
//     a redelivery, which finds duplicates and puts on the belt what still lies.
//   - Rules and templates are pure: what they make depends on the notification and the last-known copy only.
//
// # How it fails
//
// When Postgres or NATS is away it waits and tries again; nothing is counted against a notification. When the decision of a
// group fails for another reason, its envelopes are decided one by one, then their notifications one by one, and only the
// culprit goes to DEADLETTERS. An envelope of which the process dies is tried alone from its third delivery on (trial.go).
// What an operator put back is a group of its own, and may be decided again (store, decide_again.go).
//
// # How it is tested
//
// Against a real Postgres and an in-process nats-server; the rules have their own package and tests.
package router
