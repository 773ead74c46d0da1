package rule

import (
	"maps"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// NextSnapshot gives the last-known copy of the record after this notification: what was sent overwrites, sent nulls
// remove, and what was not sent stays. With moved false the copy stays as it is: the notification is older than it
// (Salesforce keeps no order), or the record was deleted.
func (s *Set) NextSnapshot(in Input) (fields map[string]string, moved bool) {
	if len(in.Notification.Fields) == 0 || older(in) {
		return in.Previous.Fields, false
	}
	fields = make(map[string]string, max(len(in.Previous.Fields), len(in.Notification.Fields)))
	if in.Previous.Seen {
		maps.Copy(fields, in.Previous.Fields)
	}
	for name := range in.Known {
		delete(fields, name)
	}
	if o := s.object(in.Object); o != nil && o.schema != nil {
		for name := range o.schema.always {
			delete(fields, name)
		}
	}
	for _, field := range in.Notification.Fields {
		if field.Null {
			delete(fields, field.Name)
			continue
		}
		fields[field.Name] = field.Value
	}
	return fields, true
}

// older tells whether the notification shows an older state than the last-known copy, by the first of SystemModstamp
// and LastModifiedDate that both carry. Without one there is no telling, and the later arrival counts.
func older(in Input) bool {
	if !in.Previous.Seen {
		return false
	}
	for _, name := range []string{"SystemModstamp", "LastModifiedDate"} {
		now, ok := timeOf(in.Notification, name)
		if !ok {
			continue
		}
		before, err := time.Parse(time.RFC3339, in.Previous.Fields[name])
		if err != nil {
			continue
		}
		return now.Before(before)
	}
	return false
}

func timeOf(n notification.Notification, name string) (time.Time, bool) {
	for _, field := range n.Fields {
		if field.Name == name && !field.Null {
			t, err := time.Parse(time.RFC3339, field.Value)
			return t, err == nil
		}
	}
	return time.Time{}, false
}
