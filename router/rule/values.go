package rule

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// facts is what the expressions of one decision can see. It is used by one goroutine.
type facts struct {
	in           *Input
	schema       *schema
	previousUsed map[string]*string
	record       fieldMap
	previous     fieldMap
	changed      fieldMap
	reply        map[string]any // the names of a reply rule; nil for a rule about notifications
}

func newFacts(in *Input, s *schema) *facts {
	f := &facts{in: in, schema: s}
	f.record = fieldMap{get: f.recordValue}
	f.previous = fieldMap{get: f.previousValue}
	f.changed = fieldMap{get: f.changedValue}
	return f
}

// ResolveName is the CEL side of facts: it gives the variables.
func (f *facts) ResolveName(name string) (any, bool) {
	switch name {
	case recordName:
		return &f.record, true
	case previousName:
		return &f.previous, true
	case changedName:
		return &f.changed, true
	case idName:
		return types.String(f.in.Notification.ID), true
	case objectName:
		return types.String(f.in.Object), true
	case orgName:
		return types.String(f.in.Org), true
	case receivedName:
		return types.Timestamp{Time: f.in.Received}, true
	}
	value, ok := f.reply[name]
	return value, ok
}

// Parent is nil: there is no outer scope.
func (f *facts) Parent() cel.Activation { return nil }

func (f *facts) recordValue(name string) ref.Val {
	text, _ := f.sentText(name)
	return f.typed(name, text)
}

func (f *facts) previousValue(name string) ref.Val {
	return f.typed(name, f.previousText(name))
}

// changedValue compares texts, not typed values: Salesforce writes a value in one way only.
func (f *facts) changedValue(name string) ref.Val {
	now, sent := f.sentText(name)
	if !sent {
		return types.False
	}
	before := f.previousText(name)
	if now == nil || before == nil {
		return types.Bool(now != before)
	}
	return types.Bool(*now != *before)
}

// sentText gives the field's text of this notification, nil for null, and whether the action carries the field at all.
func (f *facts) sentText(name string) (*string, bool) {
	if i := f.index(name); i >= 0 {
		field := &f.in.Notification.Fields[i]
		if field.Null {
			return nil, true
		}
		return &field.Value, true
	}
	return nil, f.expects(name)
}

// previousText gives the last-known text, nil for null or never seen, and notes that the decision used it.
func (f *facts) previousText(name string) *string {
	name = f.canonical(name)
	if used, ok := f.previousUsed[name]; ok {
		return used
	}
	var text *string
	if value, ok := f.in.Previous.Fields[name]; ok && f.in.Previous.Seen {
		text = &value
	}
	if f.previousUsed == nil {
		f.previousUsed = map[string]*string{}
	}
	f.previousUsed[name] = text
	return text
}

// index finds a field of the notification. Salesforce compares field names without case, so a field that differs only
// in case is found too, unless a WSDL says what the fields are.
func (f *facts) index(name string) int {
	fields := f.in.Notification.Fields
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	if f.schema != nil {
		return -1
	}
	for i := range fields {
		if len(fields[i].Name) == len(name) && strings.EqualFold(fields[i].Name, name) {
			return i
		}
	}
	return -1
}

// expects tells whether an absent field is null (the action carries it) and not just unsent.
func (f *facts) expects(name string) bool {
	if _, known := f.in.Known[name]; known {
		return true
	}
	if f.schema != nil {
		_, listed := f.schema.always[name]
		return listed
	}
	_, known := f.in.Known[f.canonical(name)]
	return known
}

// canonical gives a field's name as Salesforce writes it, as far as this notification and its action show it.
func (f *facts) canonical(name string) string {
	if f.schema != nil {
		return name
	}
	if i := f.index(name); i >= 0 {
		return f.in.Notification.Fields[i].Name
	}
	if _, known := f.in.Known[name]; known {
		return name
	}
	for known := range f.in.Known {
		if len(known) == len(name) && strings.EqualFold(known, name) {
			return known
		}
	}
	return name
}

// typed turns a text into the CEL value of the field's type.
func (f *facts) typed(name string, text *string) ref.Val {
	if text == nil {
		return types.NullValue
	}
	if f.schema == nil {
		return types.String(*text)
	}
	value, err := parseValue(f.schema.types[name], *text)
	if err != nil {
		return types.WrapErr(&typeError{field: name})
	}
	return value
}

// typeError says that a field's text is not of the type that the WSDL promises; it does not carry the text.
type typeError struct{ field string }

func (e *typeError) Error() string {
	return "field " + e.field + " is not of the type that its WSDL gives"
}

// parseValue reads a value as it comes over the wire.
//
// Source: W3C XML Schema part 2 and captured payloads: 120000.0 or 1.0E7, true, 2017-04-03, 2018-05-04T11:35:40.000Z.
func parseValue(t fieldType, text string) (ref.Val, error) {
	switch t {
	case doubleField:
		v, err := strconv.ParseFloat(text, 64)
		return types.Double(v), err
	case intField:
		v, err := strconv.ParseInt(text, 10, 64)
		return types.Int(v), err
	case boolField:
		v, err := strconv.ParseBool(text)
		return types.Bool(v), err
	case dateField:
		v, err := time.Parse(time.DateOnly, text)
		return types.Timestamp{Time: v}, err
	case timeField:
		v, err := time.Parse(time.RFC3339, text)
		return types.Timestamp{Time: v}, err
	case textField:
		return types.String(text), nil
	}
	return nil, fmt.Errorf("unknown field type %d", t)
}

// fieldMap looks like a map in CEL, in which every key exists and has the value null unless it has another. It is no
// traits.Mapper on purpose: for a Mapper has(record.X) would be true of a null field.
type fieldMap struct {
	get func(name string) ref.Val
}

// FindStringKey is the interpreter's short way to a field; it passes on what needs care (null, errors) to Get.
func (m *fieldMap) FindStringKey(name string) (any, bool) {
	value := m.get(name)
	if value == types.NullValue || types.IsError(value) {
		return nil, false
	}
	return value, true
}

// Get gives a field, or null.
func (m *fieldMap) Get(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(index)
	}
	return m.get(string(name))
}

// IsSet is has(record.X).
func (m *fieldMap) IsSet(field ref.Val) ref.Val {
	value := m.Get(field)
	if types.IsError(value) {
		return value
	}
	return types.Bool(value != types.NullValue)
}

// Contains is "X" in record.
func (m *fieldMap) Contains(value ref.Val) ref.Val { return m.IsSet(value) }

// ConvertToNative is not possible: a rule cannot give a whole record.
func (m *fieldMap) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("a record is not a value")
}

// ConvertToType is not possible either.
func (m *fieldMap) ConvertToType(ref.Type) ref.Val { return types.NewErr("a record is not a value") }

// Equal is false: a record is compared field by field.
func (m *fieldMap) Equal(ref.Val) ref.Val { return types.False }

// Type is that of a map.
func (m *fieldMap) Type() ref.Type { return types.MapType }

// Value is the map itself.
func (m *fieldMap) Value() any { return m }

var (
	_ traits.Indexer     = (*fieldMap)(nil)
	_ traits.FieldTester = (*fieldMap)(nil)
	_ traits.Container   = (*fieldMap)(nil)
	_ cel.Activation     = (*facts)(nil)
)
