// Package twilio is all that Beckon knows of Twilio: sending and looking up messages, what its error codes mean for
// us, and reading and verifying what it posts to our webhooks.
//
// # Calls
//
// Client wraps the API package of twilio-go with a transport of ours, because the library's own client has no context,
// follows redirects when it is given another http.Client, leaves error bodies open, hides Retry-After, takes any 2xx
// for success and refuses credentials with punctuation in them. A send makes one HTTP request and never repeats it:
// there is no idempotency key at Twilio, so whether to try again is the caller's decision. (Look-ups are harmless; net/http
// may repeat one whose kept-alive connection broke.) Every failure is an *Error
// whose Kind says what the caller may conclude:
//
//	NotSent   certainly no message was created: the request never left, or Twilio said 429
//	Refused   certainly no message was created: Twilio said 4xx
//	Unclear   a message may exist: look it up (List), never send again blindly
//
// # Reactions
//
// What to do about an error code is data (reactions.yaml), with a safe default for codes that nobody has seen yet.
// An operator can give another file to LoadReactions.
//
// # Webhooks
//
// Verifier checks X-Twilio-Signature over the URL as configured; ParseForm, ParseInbound and ParseStatus read the body.
// They accept what Twilio really sends: parameters we do not know, raw semicolons, WhatsApp ids instead of numbers.
//
// No credential, address or text of a message stands in an error of this package.
//
// Tests run the real client against the simulator in internal/twiliosim over real HTTP, compare signatures with
// twilio-go's validator, and fuzz the form parser and the verifier.
package twilio
