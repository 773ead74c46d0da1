package salesforcesim

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// Record is a record's fields by API name. The Go type decides the form on the wire: string (and any type made of it)
// as it is, bool as true or false, integers without and floats always with a decimal point, time.Time in UTC with
// milliseconds .000, Date as 2006-01-02, []string joined with ";" (a multi-select picklist). nil and "" are null.
type Record map[string]any

// Date is a calendar day, the value of a date field.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// wireFields turns a record into field texts by name; null stands as "".
func wireFields(record Record) (map[string]string, error) {
	fields := make(map[string]string, len(record))
	for name, value := range record {
		text, err := wireText(value)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		fields[name] = text
	}
	return fields, nil
}

func wireText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05") + ".000Z", nil
	case Date:
		return fmt.Sprintf("%04d-%02d-%02d", v.Year, v.Month, v.Day), nil
	case []string:
		return strings.Join(v, ";"), nil
	}
	switch v := reflect.ValueOf(value); {
	case v.Kind() == reflect.String:
		return v.String(), nil // not fmt: a type that masks itself when printed must arrive unmasked
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), nil
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), nil
	case v.CanFloat():
		return doubleText(v.Float())
	default:
		return "", fmt.Errorf("%w: Go type %T", ErrBadValue, value)
	}
}

// doubleText writes an xsd:double as captured messages show it: always with a decimal point, never an exponent.
func doubleText(f float64) (string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", fmt.Errorf("%w: not a finite number", ErrBadValue)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text, nil
}

// checkWritable finds what could not be sent later: names and characters that have no place in an envelope.
func checkWritable(object string, id notification.ID, fields map[string]string) error {
	_, err := encode(&notification.Envelope{
		Org: "00D000000000000", Object: object,
		Notifications: []notification.Notification{{ID: id, RecordID: id, Fields: selected(id, fields, nil)}},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadValue, err)
	}
	return nil
}

// selected lists a record's fields as Salesforce sends them: Id first, then the selected ones in ASCII order, null ones
// left out.
func selected(id notification.ID, fields map[string]string, selection []string) []notification.Field {
	names := make([]string, 0, len(fields))
	for name, value := range fields {
		if name != "Id" && value != "" && (len(selection) == 0 || slices.Contains(selection, name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := make([]notification.Field, 0, len(names)+1)
	out = append(out, notification.Field{Name: "Id", Value: string(id)})
	for _, name := range names {
		out = append(out, notification.Field{Name: name, Value: fields[name]})
	}
	return out
}
