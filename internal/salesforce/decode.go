package salesforce

import (
	"github.com/beckonhq/beckon/internal/notification"
)

// Decode reads one outbound message (the SOAP request body, whole) and gives its envelope, with Received left zero. The
// envelope shares no memory with the body. Every error is a *MalformedError, and then there is no envelope: a message is
// taken whole or not at all. The format is that of Salesforce's outbound message WSDL ("Understanding Outbound
// Messaging", SOAP API guide) and of captured messages; the package comment lists the choices.
func Decode(body []byte, limits Limits) (*notification.Envelope, error) {
	if err := checkCharacters(body); err != nil {
		return nil, err
	}
	d := newDecoder(body, limits)
	if err := d.document(); err != nil {
		return nil, err
	}
	return d.env, nil
}

// Check reads like Decode and refuses the same, but keeps no fields: the notifications of its envelope have their ids and
// their records' ids only. It is for the door, which stores a message as it came.
func Check(body []byte, limits Limits) (*notification.Envelope, error) {
	if err := checkCharacters(body); err != nil {
		return nil, err
	}
	d := newDecoder(body, limits)
	d.idsOnly = true
	if err := d.document(); err != nil {
		return nil, err
	}
	return d.env, nil
}

type decoder struct {
	scanner
	idsOnly bool // values are checked, not kept
	env     *notification.Envelope
	values  arena
	names   nameTable
	current notification.Notification
	fields  []notification.Field // of the current sObject
	store   fieldStore
	scratch []byte
	seen    seen
}

// seen says which of the elements that may come once have come: in the document, and in the current Notification.
type seen struct {
	body, notifications, org, action bool
	id, sObject                      bool
}

func newDecoder(body []byte, limits Limits) *decoder {
	return &decoder{
		scanner: newScanner(body, limits),
		env:     &notification.Envelope{},
		values:  newArena(len(body)),
		names:   newNameTable(),
	}
}

func (d *decoder) document() error {
	if err := d.openEnvelope(); err != nil {
		return err
	}
	if err := d.children(d.envelopeChild); err != nil {
		return err
	}
	if !d.seen.body {
		return malformed(d.begin, "the Envelope has no Body")
	}
	return d.finish()
}

// openEnvelope reads the start of a document up to and with the Envelope tag.
func (d *decoder) openEnvelope() error {
	if err := d.prolog(); err != nil {
		return err
	}
	if more, err := d.child(); err != nil || !more {
		return err // the end of the document is an error of its own: no element
	}
	switch {
	case d.name.is(spaceSOAP11, "Envelope"):
		return nil
	case d.name.is(spaceSOAP12, "Envelope"):
		return malformed(d.begin, "a SOAP 1.2 envelope, only SOAP 1.1 is accepted")
	default:
		return malformed(d.begin, "the root element is not a SOAP 1.1 Envelope")
	}
}

// envelopeChild reads the Body and skips everything else.
func (d *decoder) envelopeChild() error {
	if string(d.name.local) != "Body" {
		return d.skip()
	}
	if err := d.startBody(); err != nil {
		return err
	}
	if err := d.children(d.bodyChild); err != nil {
		return err
	}
	if !d.seen.notifications {
		return malformed(d.begin, "the Body holds no notifications element")
	}
	return nil
}

// startBody checks the start tag of a Body.
func (d *decoder) startBody() error {
	if d.name.space != spaceSOAP11 {
		return malformed(d.begin, "a Body outside of the SOAP 1.1 namespace")
	}
	return d.once(&d.seen.body, "a second Body")
}

// once refuses the second of what may come once.
func (d *decoder) once(seen *bool, reason string) error {
	if *seen {
		return malformed(d.begin, reason)
	}
	*seen = true
	return nil
}

func (d *decoder) bodyChild() error {
	if !d.name.is(spaceOutbound, "notifications") {
		return malformed(d.begin, "the Body holds an element that is not an outbound message")
	}
	if err := d.once(&d.seen.notifications, "a second notifications element"); err != nil {
		return err
	}
	if err := d.children(d.notificationsChild); err != nil {
		return err
	}
	if !d.seen.org {
		return malformed(d.begin, "no OrganizationId")
	}
	if len(d.env.Notifications) == 0 {
		return malformed(d.begin, "no Notification")
	}
	return nil
}

// notificationsChild reads a child of the element that carries organisation, action and all notifications.
func (d *decoder) notificationsChild() error {
	var read func() error
	switch string(d.name.local) {
	case "OrganizationId":
		read = d.organization
	case "ActionId":
		read = d.action
	case "Notification":
		read = d.notification
	default:
		// SessionId, EnterpriseUrl, PartnerUrl, and what a later release may add. The session is never kept.
		return d.skip()
	}
	return d.outbound(read)
}

// outbound calls read if the current element is in the namespace of outbound messages. One of that name elsewhere is
// not skipped: it may be a notification whose namespace got lost on the way.
func (d *decoder) outbound(read func() error) error {
	if d.name.space != spaceOutbound {
		return malformed(d.begin, "an element of an outbound message is outside of its namespace")
	}
	return read()
}

func (d *decoder) organization() error {
	at := d.begin
	if err := d.once(&d.seen.org, "a second OrganizationId"); err != nil {
		return err
	}
	text, err := d.simpleContent()
	if err != nil {
		return err
	}
	org, err := notification.ParseOrgID(d.values.put(trimSpace(text)))
	if err != nil {
		return malformed(at, "OrganizationId is not an organisation id")
	}
	d.env.Org = org
	return nil
}

func (d *decoder) action() error {
	at := d.begin
	if err := d.once(&d.seen.action, "a second ActionId"); err != nil {
		return err
	}
	text, err := d.simpleContent()
	if err != nil {
		return err
	}
	d.env.Action, err = d.optionalID(text, at, "ActionId is not a Salesforce id")
	return err
}

// optionalID reads an id that may be empty.
func (d *decoder) optionalID(text []byte, at int, reason string) (notification.ID, error) {
	text = trimSpace(text)
	if len(text) == 0 {
		return "", nil
	}
	id, err := notification.ParseID(d.values.put(text))
	if err != nil {
		return "", malformed(at, reason)
	}
	return id, nil
}

// notification reads one Notification: exactly one Id and exactly one sObject.
func (d *decoder) notification() error {
	begin := d.begin
	if len(d.env.Notifications) == d.limits.MaxNotifications {
		return malformed(begin, "too many notifications")
	}
	d.current = notification.Notification{}
	d.seen.id, d.seen.sObject = false, false
	d.names.nextObject()
	if err := d.children(d.notificationChild); err != nil {
		return err
	}
	if d.current.ID == "" {
		return malformed(begin, "a Notification without an Id")
	}
	if !d.seen.sObject {
		return malformed(begin, "a Notification without an sObject")
	}
	expected := d.expect(d.pos - begin)
	if d.env.Notifications == nil {
		d.env.Notifications = make([]notification.Notification, 0, expected)
	}
	if !d.idsOnly {
		d.current.Fields = d.store.keep(d.fields, expected)
	}
	d.env.Notifications = append(d.env.Notifications, d.current)
	return nil
}

// expect estimates how many notifications are still to come, this one included, if they are all of one size.
func (d *decoder) expect(size int) int {
	return min(1+(len(d.src)-d.pos)/size, d.limits.MaxNotifications-len(d.env.Notifications))
}

func (d *decoder) notificationChild() error {
	switch string(d.name.local) {
	case "Id":
		return d.outbound(d.notificationID)
	case "sObject":
		return d.outbound(d.sObject)
	default:
		return d.skip()
	}
}

func (d *decoder) notificationID() error {
	at := d.begin
	if err := d.once(&d.seen.id, "a second Id in a Notification"); err != nil {
		return err
	}
	text, err := d.simpleContent()
	if err != nil {
		return err
	}
	d.current.ID, err = d.optionalID(text, at, "the Id of a Notification is not a Salesforce id")
	return err
}

// simpleContent reads an element that holds text only, through its end. The text aliases the document or d.scratch.
func (d *decoder) simpleContent() ([]byte, error) {
	var value []byte
	aliased := false // value lies in the document, not in d.scratch
	for pieces := 0; ; pieces++ {
		tok, err := d.next()
		switch {
		case err != nil:
			return nil, err
		case tok == tokenEnd:
			return value, nil
		case tok != tokenText:
			return nil, malformed(d.begin, "an element inside of a value")
		case pieces == 0 && d.shared: // nearly always, and nothing is copied
			value, aliased = d.text, true
			continue
		case aliased:
			d.scratch, aliased = append(d.scratch[:0], value...), false
		case pieces == 0:
			d.scratch = d.scratch[:0]
		}
		d.scratch = append(d.scratch, d.text...)
		value = d.scratch
	}
}
