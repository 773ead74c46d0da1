// Package twiliosim is a stand-in for Twilio's messaging, faithful enough to develop, demonstrate and test against:
// the Messages API with Twilio's own error codes, signed status callbacks in realistic order and timing, inbound
// messages with STOP handling, and the ways in which the real thing goes wrong.
//
// A Simulator is an http.Handler. It serves
//
//	POST   /2010-04-01/Accounts/{account}/Messages.json         create
//	GET    /2010-04-01/Accounts/{account}/Messages.json         list: To, From, DateSent, PageSize, PageToken
//	GET    /2010-04-01/Accounts/{account}/Messages/{sid}.json   fetch
//	POST   /2010-04-01/Accounts/{account}/Messages/{sid}.json   redact (Body=) or cancel (Status=canceled)
//	DELETE /2010-04-01/Accounts/{account}/Messages/{sid}.json
//	GET    /2010-04-01/Accounts/{account}/Messages/{sid}/Media/{sid}
//	GET    /v1/Services/{sid}
//
// with basic authentication as Twilio's, and without any authentication, for people and scripts,
//
//	POST   /_sim/inbound    JSON Inbound: a person writes to us; answers with the SID and the webhook's status
//	POST   /_sim/media      a file with its Content-Type, for media_urls of an inbound message; answers with its url
//	POST   /_sim/faults     JSON Fault: the next calls go wrong
//	DELETE /_sim/faults
//	GET    /_sim/messages   JSON lines, oldest first; ?to= filters
//	GET    /_sim/stats
//
// # Going wrong on purpose
//
// Either the number decides (see MagicNumbers), so that a demo needs no set-up, or a Fault that is queued with AddFault
// or over HTTP. Faults include refusals, 429 with Retry-After, 5xx, slowness, no answer at all, and a message that is
// created though its answer is lost. Callbacks can be doubled, reordered, dropped, or sent before the answer.
//
// # Promises
//
// Close ends every goroutine and every call that hangs on purpose. Callbacks run in a fixed number of workers fed by a timer heap; one
// message's callbacks follow one another unless reordering is asked for. Locks are held for memory operations only.
//
// With Config.Journal the account outlives its process: every message is written to a file before its call is answered,
// and a simulator that is started on the file again has them all. Callbacks that were waiting then begin anew.
//
// What differs from Twilio: segments are counted roughly, media that we send are not fetched, media of people come from the API
// itself and not by a redirect, prices are absent, and a template's text is known only if Config.Templates has it.
//
// Tests drive it with the real client of internal/twilio; helper twiliosimtest starts one for a Go test.
package twiliosim
