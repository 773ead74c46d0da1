// Package rule is the router's brain: rule files in, decisions out.
//
// It takes a folder (an fs.FS) of rule files, `*.yaml` with CEL expressions, checks them all at once, and gives a Set.
// Decide then says for one notification which rules match and which messages they ask for. Everything is a pure
// function of its arguments: no clock, no network, no database, so the router, `beckon rules test`, `rules explain`
// and a backtest share the very same code.
//
//	set, err := rule.Load(os.DirFS("rules"), rule.Options{Templates: templates})
//	// err is a *LoadError that lists every mistake of every file as file:line:column: message
//	decision := rule.Decide(set, rule.Input{Notification: n, Org: org, Object: "Opportunity",
//		Received: received, Known: known, Previous: rule.Snapshot{Fields: last, Seen: true}})
//	next, moved := set.NextSnapshot(in) // the last-known copy to store for the next decision
//
// What a rule sees:
//
//   - record.X is the text of field X of this notification; null when it was sent as nil or left out. has(record.X) and
//     "X" in record are false then. An unknown field is never an error at run time.
//   - previous.X is the last-known value of the record, null when there is none.
//   - changed("X") is true when X was sent (also: sent as null) and differs from the last-known value. On the first
//     sight of a record it is true when X is not null. A field that is absent counts as null only if the same action
//     ever carried it (Input.Known), or every WSDL of the object lists it; otherwise it was not sent and did not change.
//   - notification.id, .object and .org are text, notification.received_at is a timestamp.
//   - Field values are text. With the object's WSDL in the sub-folder `wsdl/` numbers are double or int, checkboxes are
//     bool, dates are timestamps (all of them or null), and a misspelt field is an error at load.
//   - Comparing a field for equality with a literal of another type (record.Won == true where Won is text) is an error
//     at load, since it would be false for ever. Fields have to be named in full, so that what a rule reads is known.
//   - The strings and math extensions of cel-go are there (lowerAscii, split, trim, math.greatest ...).
//
// Promises: an expression that fails at run time does not match and is an error of its own rule only, never of its
// neighbours; even a panic stays inside its rule. The error text names the key and the kind of failure, never a field
// value. Cost, length and nesting of an expression are limited. A Set is immutable and safe for concurrent use.
//
// A folder holds tests beside its rules, in `*_test.yaml`: LoadTests reads them and RunTests plays them against a Set.
//
// How it is tested: table tests for each line above, golden files of mistakes in testdata/bad, a fuzz target over Load,
// a benchmark of Decide, and the shipped example rules must pass their own tests.
package rule
