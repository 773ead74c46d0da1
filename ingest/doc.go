// Package ingest is stage 1, the only door: it takes SOAP from Salesforce and callbacks from Twilio, checks them, makes
// them durable in JetStream, and only then answers. It holds no database connection: Postgres can be down and nothing
// is refused.
//
//	Salesforce --POST /salesforce/outbound-messages[/<secret>]--> check, decode --> NOTIFICATIONS --> <Ack>true</Ack>
//	Twilio     --POST /twilio/messages-------------------------> signature -----> CALLBACKS -----> <Response/>
//	Twilio     --POST /twilio/status---------------------------> signature -----> CALLBACKS -----> 204
//
// # Promises
//
//   - An acknowledgement is sent only after JetStream confirmed that the whole envelope is stored. Every other way out,
//     a panic too, is a SOAP fault without one, and Salesforce sends the envelope again.
//   - What is stored is the XML as it came, after the decoder accepted it whole, with the text of SessionId (a bearer
//     token of the organisation) removed.
//   - One organisation that is not configured, a missing or wrong client certificate (where certificates are pinned), a wrong
//     path secret, a forged signature: refused, counted, nothing else.
//   - The answer is never a redirect, and Host and X-Forwarded headers are never believed.
//   - Work in progress is bounded in number and in bytes; Twilio's callbacks have slots of their own, so that a flood of
//     envelopes does not keep an opt-out waiting.
//   - A refusal says and logs why, never a value from the body.
//
// # How it fails
//
// The table of answers stands in errors.go. In short, for Salesforce:
//
//	never acceptable            status  fault   reason label
//	no client certificate       403     Client  no_client_cert
//	not a pinned one            403     Client  wrong_client_cert
//	not the endpoint or secret  404     Client  not_found
//	not a POST                  405     Client  method
//	JSON or a compressed body   415     Client  media_type
//	larger than the limits      413     Client  too_large
//	not an outbound message     400     Client  malformed
//	unknown organisation        403     Client  unknown_org
//
//	try again
//	body cut off or too slow    408     Server  unreadable
//	too much at once            503     Server  busy, with Retry-After
//	JetStream away or full      503     Server  unavailable, full
//	no confirmation in time     503     Server  not_confirmed
//	a bug                       500     Server  internal
//
// Twilio gets the same statuses as plain text, and 403 bad_signature or no_public_url, 400 no_sid.
//
// A repeated envelope is acknowledged and, within ten minutes, not stored again; the router decides each notification
// once whatever comes.
//
// # Tests
//
// A real HTTP server before a real nats-server that syncs each write: every row of the table, the server stopped under
// load, secrets, repeated envelopes, signatures, concurrency; a fuzz target that no garbage is acknowledged; benchmarks
// against raw JetStream publishing of the same bytes.
package ingest
