// Package demo plays one story through the whole of Beckon: a deal is won, the customer is welcomed on WhatsApp, one
// without WhatsApp gets an SMS, Salesforce repeats itself, people reply and opt out, an offer needs consent, a reminder waits for the
// morning, a survey ends with a human's answer.
//
// It takes nothing but a place to write to. In this process and below one temporary directory it starts Beckon with all
// roles (embedded NATS, private Postgres, the shipped rules and templates), two simulators, of Salesforce and of Twilio, and a
// server that takes webhooks, all on free loopback ports. Every line of the transcript is written when what it says was observed, in the
// ledger, at the simulators or in an answer; nothing is played back. A step waits for a bounded time and then fails with
// what did not happen.
//
// Run promises to leave nothing behind, however it ends: no process, no socket, no file.
//
// It fails with an error that wraps ErrDidNotHappen, or with the reason why a part did not start, for example that no
// Postgres is installed.
//
// The test plays the whole story, reads the transcript, and looks into the ledger of a story that keeps running.
package demo
