package notification

import "time"

// MaxPerEnvelope is the most notifications that Salesforce puts into one outbound message (its WSDL: maxOccurs 100).
const MaxPerEnvelope = 100

// Field is one element of an sObject as it came over the wire. Null is true for xsi:nil; a field that Salesforce left
// out (its usual way to say null) has no Field at all.
type Field struct {
	Name  string
	Value string
	Null  bool
}

// Notification is one record change. RecordID is empty when Salesforce sent no Id, as it may when the record was
// deleted before delivery; Fields are in document order and include Id when it was sent.
type Notification struct {
	ID       ID
	RecordID ID
	Fields   []Field
}

// Envelope is one outbound message: notifications of one organisation, of one object type, caused by one action.
type Envelope struct {
	Org           OrgID
	Action        ID     // the outbound message definition (04k...); empty when it was not sent
	Object        string // sObject API name without XML prefix, for example npsp__Gift__c
	Notifications []Notification
	Received      time.Time // when the door took it in; zero until then
}

// Key names one notification across organisations; it is what Beckon decides once.
type Key struct {
	Org OrgID
	ID  ID
}

// Outcome says how a notification ended. Every accepted notification gets exactly one.
type Outcome string

// The outcomes.
const (
	Matched    Outcome = "matched"
	NoMatch    Outcome = "no_rule_matched"
	Duplicate  Outcome = "duplicate" // counted on the row of the first one
	RuleError  Outcome = "rule_error"
	DeadLetter Outcome = "dead_letter"
)
