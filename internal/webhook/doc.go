// Package webhook posts signed notices to servers of the operator's choice.
//
// A request is signed by the Standard Webhooks scheme (standardwebhooks.com): the headers webhook-id, webhook-timestamp and
// webhook-signature, an HMAC-SHA256 over id, timestamp and body. The receiver checks it with any library of that scheme, and tells
// a repetition by its id.
//
// Addresses inside our own network are refused (internal/publicnet); an operator may allow them. Redirects are not followed. Errors
// hold neither body nor secret.
//
// Tests run against a real server.
package webhook
