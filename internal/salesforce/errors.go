package salesforce

import "fmt"

// MalformedError says why a document is not an acceptable outbound message (or answer). Reason holds no value and no
// name from the document, so it is safe in logs and in a SOAP fault. Offset is the byte, from 0, where it was noticed.
type MalformedError struct {
	Reason string
	Offset int
}

// Error is the reason and the place.
func (e *MalformedError) Error() string {
	return fmt.Sprintf("malformed SOAP message at byte %d: %s", e.Offset, e.Reason)
}

func malformed(offset int, reason string) error {
	return &MalformedError{Reason: reason, Offset: offset}
}
