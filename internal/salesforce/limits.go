package salesforce

import "github.com/beckonhq/beckon/internal/notification"

// Limits bound what one document may ask for. A limit of zero or less means its default. The size of the body is
// the caller's to limit, before it is read.
type Limits struct {
	MaxNotifications int // per envelope; more is refused
	MaxDepth         int // nested elements, the root included
	MaxAttributes    int // attributes of one element, and namespace declarations in scope
	MaxFields        int // fields of one sObject
}

// DefaultLimits allows 100 notifications (the WSDL's maxOccurs), 32 levels (real messages have 6), 64 attributes (real
// ones have 3) and 2000 fields (an object has some hundreds).
func DefaultLimits() Limits {
	return Limits{MaxNotifications: notification.MaxPerEnvelope, MaxDepth: 32, MaxAttributes: 64, MaxFields: 2000}
}

func (l Limits) orDefaults() Limits {
	defaults := DefaultLimits()
	return Limits{
		MaxNotifications: positiveOr(l.MaxNotifications, defaults.MaxNotifications),
		MaxDepth:         positiveOr(l.MaxDepth, defaults.MaxDepth),
		MaxAttributes:    positiveOr(l.MaxAttributes, defaults.MaxAttributes),
		MaxFields:        positiveOr(l.MaxFields, defaults.MaxFields),
	}
}

func positiveOr(n, fallback int) int {
	if n > 0 {
		return n
	}
	return fallback
}
