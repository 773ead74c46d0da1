package salesforcesim

import "errors"

// The errors that callers can tell apart.
var (
	// ErrConfig is wrapped by every error of New that a different Config would avoid.
	ErrConfig = errors.New("bad simulator configuration")
	// ErrUnknownObject means that no outbound message is defined for the object.
	ErrUnknownObject = errors.New("no outbound message is defined for this object")
	// ErrUnknownRecord means that Delete was asked to delete a record that was never saved or is deleted already.
	ErrUnknownRecord = errors.New("no such record")
	// ErrBadValue means that a field's Go value has no form on the wire.
	ErrBadValue = errors.New("no wire form for this value")
	// ErrRunning means that Run was called while another Run delivers.
	ErrRunning = errors.New("the organisation delivers already")
)
