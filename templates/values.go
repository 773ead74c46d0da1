package templates

import (
	"fmt"
	"strconv"
	"time"
)

// decimal is a number that prints without an exponent.
type decimal float64

// String is the shortest text that gives the number back.
func (d decimal) String() string { return strconv.FormatFloat(float64(d), 'f', -1, 64) }

// plain copies a variable into the few types that templates see: text, bool, int64, uint64, decimal, time.Time, lists
// and maps of these, and nil. Others are refused, so that no method of another type can be called from a template.
func plain(value any) (any, error) {
	switch v := value.(type) {
	case nil, string, bool, time.Time, int64, uint64:
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case float64:
		return decimal(v), nil
	case float32:
		return decimal(v), nil
	case time.Duration:
		return v.String(), nil
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			var err error
			if out[i], err = plain(item); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		return plainMap(v)
	}
	return nil, reason(fmt.Sprintf("has a type that templates can't show: %T", value))
}

func plainMap(in map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(in))
	for key, item := range in {
		value, err := plain(item)
		if err != nil {
			return nil, err
		}
		out[key] = value
	}
	return out, nil
}

// asText is a value as text for the functions that work on text.
func asText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", errNull
	case string:
		return v, nil
	case bool, int64, uint64, int, decimal, float64:
		return fmt.Sprint(v), nil
	}
	return "", reason("is no text")
}

// asNumber is a value as a number: a number, or text that is one.
func asNumber(value any) (float64, error) {
	switch v := value.(type) {
	case nil:
		return 0, errNull
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case float64:
		return finite(v)
	case decimal:
		return finite(float64(v))
	case string:
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return 0, reason("is no number")
		}
		return finite(n)
	}
	return 0, reason("is no number")
}

func finite(n float64) (float64, error) {
	const most = 1e18
	if n >= -most && n <= most {
		return n, nil
	}
	return 0, reason("is no number that can be written")
}

// moment is a date, with or without a time of day, as a template got it.
type moment struct {
	at       time.Time
	dateOnly bool // no time of day: no time zone moves it
	timeOnly bool
}

// asMoment reads a time, or one of the forms in which Salesforce writes dates: RFC 3339, the REST API's offset without
// a colon, a date, a time of day. Source: SOAP API Developer Guide, "Primitive Data Types".
func asMoment(value any) (moment, error) {
	switch v := value.(type) {
	case nil:
		return moment{}, errNull
	case time.Time:
		return moment{at: v}, nil
	case string:
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
			if at, err := time.Parse(layout, v); err == nil {
				return moment{at: at}, nil
			}
		}
		if at, err := time.Parse(time.DateOnly, v); err == nil {
			return moment{at: at, dateOnly: true}, nil
		}
		for _, layout := range []string{"15:04:05Z07:00", time.TimeOnly} {
			if at, err := time.Parse(layout, v); err == nil {
				return moment{at: at, timeOnly: true}, nil
			}
		}
	}
	return moment{}, reason("is no date or time")
}
