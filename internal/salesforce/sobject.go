package salesforce

import (
	"bytes"
	"slices"
	"strings"

	"github.com/beckonhq/beckon/internal/notification"
)

// sObject reads the record of a notification: its type, its Id, and its fields into d.fields.
func (d *decoder) sObject() error {
	d.fields = d.fields[:0]
	if err := d.once(&d.seen.sObject, "a second sObject in a Notification"); err != nil {
		return err
	}
	isNil, err := d.isNil()
	if err != nil {
		return err
	}
	if err := d.objectType(); err != nil {
		return err
	}
	if isNil {
		return d.children(d.refuseField)
	}
	d.names.enter(&d.scanner)
	for {
		if quick, err := d.quickField(); err != nil {
			return err
		} else if quick {
			continue
		}
		more, err := d.child()
		if err != nil || !more {
			return err
		}
		if err := d.field(); err != nil {
			return err
		}
	}
}

// quickField reads the next field if it is spelt exactly like one of an earlier sObject and holds plain text. Else it
// reads nothing but white space, and the general way goes on from there.
func (d *decoder) quickField() (bool, error) {
	if !d.names.quick || len(d.fields) == d.limits.MaxFields {
		return false, nil
	}
	d.skipSpace()
	index, tags := d.names.predict(d.src[d.pos:])
	if tags == nil {
		return false, nil
	}
	begin := d.pos
	start := begin + len(tags.open)
	end := start + lengthTo(d.src[start:], bytes.IndexByte(d.src[start:], '<'))
	if !bytes.HasPrefix(d.src[end:], tags.end) || !d.plain(start, end) {
		return false, nil
	}
	name, fresh := d.names.take(index)
	if !fresh {
		return false, nil
	}
	d.pos = end + len(tags.end)
	return true, d.keepField(notification.Field{Name: name, Value: d.value(name, d.src[start:end])}, begin)
}

// value is the text to keep of a field.
func (d *decoder) value(name string, text []byte) string {
	if d.idsOnly && name != "Id" {
		return ""
	}
	return d.values.put(text)
}

// keepField adds a field that began at a byte, and takes the record's id if it is that.
func (d *decoder) keepField(field notification.Field, at int) error {
	d.fields = append(d.fields, field)
	if field.Name != "Id" {
		return nil
	}
	trimmed := strings.Trim(field.Value, " \t\r\n")
	if trimmed == "" {
		return nil
	}
	id, err := notification.ParseID(trimmed)
	if err != nil {
		return malformed(at, "the Id of an sObject is not a Salesforce id")
	}
	d.current.RecordID = id
	return nil
}

func (d *decoder) refuseField() error {
	return malformed(d.begin, "an sObject that is nil holds a field")
}

// objectType checks that all sObjects of the envelope that have a type have the same one.
func (d *decoder) objectType() error {
	name, err := d.typeName()
	if err != nil || name == nil {
		return err
	}
	if d.env.Object == "" {
		d.env.Object = string(name)
	}
	if d.env.Object != string(name) {
		return malformed(d.begin, "more than one object type")
	}
	return nil
}

func (d *decoder) field() error {
	at := d.begin
	switch {
	case d.name.space != spaceSObject:
		return malformed(at, "a field outside of the namespace of sObjects")
	case len(d.fields) == d.limits.MaxFields:
		return malformed(at, "too many fields in an sObject")
	case string(d.name.local) == "fieldsToNull":
		return d.fieldToNull()
	}
	name, fresh := d.names.name(d.name.local)
	if !fresh {
		return malformed(at, "a field that comes twice in an sObject")
	}
	d.names.spell(d.open[len(d.open)-1].full, d.name.local)
	isNil, err := d.isNil()
	if err != nil {
		return err
	}
	text, err := d.simpleContent()
	if err != nil {
		return err
	}
	if isNil && len(trimSpace(text)) > 0 {
		return malformed(at, "a field that is nil holds text")
	}
	if isNil {
		text = nil
	}
	return d.keepField(notification.Field{Name: name, Value: d.value(name, text), Null: isNil}, at)
}

// fieldToNull reads an element whose text is the name of a field that is null.
func (d *decoder) fieldToNull() error {
	at := d.begin
	text, err := d.simpleContent()
	if err != nil {
		return err
	}
	text = trimSpace(text)
	if len(text) == 0 {
		return nil
	}
	if !isAPIName(text) {
		return malformed(at, "fieldsToNull does not hold a field name")
	}
	name, fresh := d.names.name(text)
	if !fresh {
		return malformed(at, "a field that comes twice in an sObject")
	}
	d.fields = append(d.fields, notification.Field{Name: name, Null: true})
	return nil
}

// fieldStore cuts the field slices of all notifications out of a few large ones.
type fieldStore struct {
	free []notification.Field
}

// keep copies fields. When there is no room it makes some for as many sObjects of this size as expected.
func (s *fieldStore) keep(fields []notification.Field, expected int) []notification.Field {
	if len(fields) == 0 {
		return nil
	}
	if cap(s.free)-len(s.free) < len(fields) {
		s.free = make([]notification.Field, 0, len(fields)*expected)
	}
	start := len(s.free)
	s.free = append(s.free, fields...)
	return slices.Clip(s.free[start:])
}
