// Package salesforce is the SOAP adapter: it reads the outbound messages that Salesforce posts, and writes the answers.
//
// It takes the bytes of one request body and gives a notification.Envelope ([Decode]), the acknowledgement ([AckBody])
// or a SOAP fault ([FaultBody]). [Encode] and [ParseResponse] are the other side of the wire, for simulators and tests.
// It does no I/O of its own, knows no organisation list and keeps no state.
//
// # What Decode promises
//
// An envelope is accepted whole or refused whole. What is refused gives a [*MalformedError], which says what is wrong
// and at which byte, and never repeats a value. Accepted is what Salesforce sends and what a proxy may make of it: a
// byte order mark, white space before the XML declaration or no declaration, any line ends, any prefixes, namespaces
// declared anywhere, attributes in any order, comments, CDATA, stray text between elements, ids of 15 or 18 characters.
//
// Refused is every document that is not well-formed with namespaces (unbound prefixes and doubled attributes too),
// another encoding than UTF-8, a DOCTYPE and every processing instruction (SOAP 1.1 section 3 forbids both), names
// outside ASCII (Salesforce has none), SOAP 1.2, and whatever exceeds the [Limits].
//
// # Choices where the format leaves a question
//
//   - Unknown elements beside the known ones, and a SOAP Header, are skipped: a later release may add some. A known name
//     in a foreign namespace is refused, since skipping it could lose a notification that is then acknowledged.
//   - SessionId is a bearer token. It is skipped, and the result shares no memory with the body.
//   - An sObject without xsi:type takes the type of the others. When none has one, Object is empty and the envelope is
//     still accepted: a deleted record "contains no data", and refusing it would only make Salesforce repeat it for
//     24 hours. Two different types in one envelope are refused.
//   - The same notification id twice is kept twice. A receiver decides each id once anyway, and nothing is lost.
//   - The same field twice in one sObject is refused: neither value is more right than the other.
//   - A name in fieldsToNull becomes a Null field. Such an element with nothing in it is skipped.
//   - A field that holds elements (a compound) is refused; no real capture shows one, and skipping would drop data.
//   - Field namespaces are urn:sobject.*.soap.sforce.com (enterprise and partner). Other namespaces are refused there.
//
// # Speed and memory
//
// The document is scanned once, mostly by byte searches. The sObjects of an envelope repeat the same tags, so a field that
// is spelt like one of an earlier sObject is read by comparing (quickField); all else goes the general way.
//
// Values are copied into blocks that an envelope's fields share, names are kept once per envelope, and all fields lie in
// a few slices, so a field costs no allocation of its own. The price: one retained value keeps its block, of at most
// 32 KiB, alive.
//
// # Tests
//
// Golden shapes in testdata, a table of refusals, a differential test and a fuzz target against a reference decoder on
// encoding/xml, a round trip through Encode, and benchmarks beside encoding/xml.
package salesforce
