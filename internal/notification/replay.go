package notification

// ReplayMode says what a replay may do with a notification that was decided before.
type ReplayMode string

// The modes. In each of them a notification that was never decided, or that ended as a dead letter, is decided.
const (
	// ReplayMissing leaves every other decision as it is.
	ReplayMissing ReplayMode = "replay"
	// ReplayRedecide decides again; whom a rule has reached for this notification is not reached again.
	ReplayRedecide ReplayMode = "redecide"
	// ReplayForce decides again and makes the messages a second time.
	ReplayForce ReplayMode = "force"
)

// Replay is an operator's order, written on an envelope that is put on the belt again. ID is the same for everything that one
// order brings back; no notification is worked on twice for the same ID.
type Replay struct {
	ID   string
	Mode ReplayMode
	Only []ID // of the notifications in the envelope; empty: all
}
