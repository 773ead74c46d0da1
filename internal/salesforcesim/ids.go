package salesforcesim

import (
	"strings"

	"github.com/beckonhq/beckon/internal/notification"
)

// Key prefixes of Salesforce ids (its help page "Standard Field Record ID Prefix Decoder").
const (
	actionPrefix       = "04k"
	notificationPrefix = "04l"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// idMaker makes ids that never repeat: three characters of prefix, five of instance, seven of a running number.
type idMaker struct {
	number   uint64
	prefixes map[string]string // of custom objects, by name, in the order in which they were met
}

// newIDMaker starts at a place that the seed chooses, so that two simulators do not make the same ids.
func newIDMaker(seed uint64) *idMaker {
	const places = 3_521_614_606_208 // 62 to the power of 7
	return &idMaker{number: seed % places, prefixes: map[string]string{}}
}

func (m *idMaker) next(prefix string) notification.ID {
	m.number++
	number := [7]byte{}
	rest := m.number
	for i := len(number) - 1; i >= 0; i-- {
		number[i] = base62[rest%62]
		rest /= 62
	}
	id, err := notification.ParseID(prefix + "Hs000" + string(number[:]))
	if err != nil {
		return "" // not reachable: prefix and alphabet are letters and digits
	}
	return id
}

// record makes an id for a record of the object.
func (m *idMaker) record(object string) notification.ID {
	return m.next(m.prefix(object))
}

func (m *idMaker) prefix(object string) string {
	switch object {
	case "Account":
		return "001"
	case "Contact":
		return "003"
	case "User":
		return "005"
	case "Opportunity":
		return "006"
	case "Lead":
		return "00Q"
	case "Task":
		return "00T"
	case "Case":
		return "500"
	}
	prefix, ok := m.prefixes[object]
	if !ok {
		n := len(m.prefixes)
		prefix = "a" + string(base62[n/62%62]) + string(base62[n%62])
		m.prefixes[strings.Clone(object)] = prefix
	}
	return prefix
}
