// Package salesforcesim plays the sending side of Salesforce: the outbound message queue of one organisation.
//
// It takes record changes (Save, Delete), queues one notification for each outbound message definition of the object,
// and posts them as SOAP envelopes to one endpoint, as Salesforce's documentation and captured traffic describe it:
//
//   - up to 100 notifications an envelope, one object type each, ids with right prefixes and checksums;
//   - only HTTP 200 with notificationsResponse/Ack=true is an acknowledgement, and it counts for the whole envelope;
//     everything else is a failure, with the reason that Salesforce would show; a redirect is not followed;
//   - no answer in 60 seconds is a failure; the gap to the next attempt doubles, up to two hours; after 24 hours an
//     unacknowledged notification is dropped;
//   - a retry keeps its notification id and carries the latest data of the record; when the record was deleted it
//     carries none;
//   - on wish it repeats acknowledged notifications, regroups retries, and shuffles the order, since the receiver must
//     bear all of that.
//
// What is not documented (the first gap, the form of a deleted record) can be configured. An Org keeps every
// notification and every delivery in memory: it is a tool for tests, demos and measurements of bounded length.
//
// Failures: New, Save and Delete return errors that wrap ErrConfig, ErrUnknownObject, ErrUnknownRecord or ErrBadValue.
// A failed delivery is not an error but an outcome (Delivery, Stats, History). No error or reason holds a field value
// or the endpoint's URL, whose path may be a secret.
//
// Tests: schedules run in virtual time (testing/synctest) against a handler in the process; the answers of a listener,
// lost answers and redirects run over real HTTP.
package salesforcesim
