package router

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the rule says of hours and place is kept with the message; a rule that ignores quiet hours keeps nothing.
func TestHoursAreKeptWithTheMessage(t *testing.T) {
	t.Parallel()
	plain := strings.TrimRight(welcome, " \n\t") + "\n"
	w := newWorld(t, plain)
	stop := w.run(w.config())
	w.send(actionA, w.won("1", "+14155550100"))
	w.settled()
	require.Equal(t, 1, w.number(`select count(*) from message where hours is null`))
	stop()
	w.load(plain + "    quiet_hours: respect\n    place: {state: record.Stage__c, time_zone: '\"America/Denver\"', country: record.None__c}\n")
	w.run(w.config())
	w.send(actionA, w.won("2", "+14155550101"))
	w.settled()
	require.Equal(t, 1, w.number(`select count(*) from message where hours = '{"wish": "respect", "zone": "America/Denver", "state": "Won"}'`))
}

// A message keeps the caps that are about it.
func TestCapsAreKeptWithTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.TrimRight(welcome, " \n\t")+`
caps:
  - {name: offers, scope: person, purpose: marketing, messages: 1, per: 1h}
  - {name: budget, scope: all, messages: 9, per: 1m, exceed: suppress}
`)
	w.run(w.config())
	w.send(actionA, w.won("1", "+14155550100"))
	w.settled()
	require.Equal(t, 1, w.number(`select count(*) from message where caps =
		'[{"name": "budget", "scope": "all", "messages": 9, "per": 60000000000, "suppress": true}]'`))
}
