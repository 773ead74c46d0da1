// Package message is the vocabulary of what Beckon sends: channels, purposes, the states of a message and of an
// attempt to send it, and the rules by which they move.
//
// States live on attempts; a message's state derives from its attempts:
//
//	queued -> sending -> accepted -> sent -> delivered -> read
//	             |  \________________/ \-> undelivered | failed
//	             v
//	          unknown -> accepted ... | (proven absent: queued again)
//
// plus suppressed for a message that was rightly not sent, and expired for one that could not be sent in its time. Within an attempt a state only moves forward,
// whatever the order in which callbacks arrive, and may skip steps, since callbacks get lost. The package is pure.
package message
