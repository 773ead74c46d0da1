package notification

import (
	"errors"
	"fmt"
	"slices"
)

// Lengths of a Salesforce id: the case-sensitive short form, and the long form that ends in a checksum of the case.
const (
	ShortIDLength = 15
	LongIDLength  = 18
)

// ErrBadID is wrapped by every error of ParseID and ParseOrgID.
var ErrBadID = errors.New("not a Salesforce id")

// ID is a Salesforce id in its 18-character form, for example a record's or a notification's.
type ID string

// OrgID is a Salesforce organisation id in its 15-character, case-sensitive form.
type OrgID string

// ParseID takes an id of 15 or 18 characters and returns the 18-character form. A long id is taken as it stands: its
// last three characters are a checksum that the receiver needs not trust. The error wraps ErrBadID.
func ParseID(s string) (ID, error) {
	if err := checkID(s); err != nil {
		return "", err
	}
	if len(s) == LongIDLength {
		return ID(s), nil
	}
	return ID(s + checksum(s)), nil
}

// ParseOrgID takes an organisation id of 15 or 18 characters and returns the 15-character form, in which organisations
// are compared. The error wraps ErrBadID.
func ParseOrgID(s string) (OrgID, error) {
	if err := checkID(s); err != nil {
		return "", err
	}
	if s[:3] != "00D" {
		return "", fmt.Errorf("%w: an organisation id begins with 00D", ErrBadID)
	}
	return OrgID(s[:ShortIDLength]), nil
}

// Short is the 15-character form.
func (id ID) Short() string {
	if len(id) < ShortIDLength {
		return string(id)
	}
	return string(id[:ShortIDLength])
}

func checkID(s string) error {
	if len(s) != ShortIDLength && len(s) != LongIDLength {
		return fmt.Errorf("%w: %d characters, want %d or %d", ErrBadID, len(s), ShortIDLength, LongIDLength)
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) {
			return fmt.Errorf("%w: character %d is not a letter or digit", ErrBadID, i+1)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// checksum returns the three characters that Salesforce appends to a 15-character id: for each group of five, bit i is
// set when character i is upper case, and the number indexes A-Z0-5.
func checksum(short string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	sum := make([]byte, 0, LongIDLength-ShortIDLength)
	for group := range slices.Chunk([]byte(short), 5) {
		bits := 0
		for i, c := range group {
			if 'A' <= c && c <= 'Z' {
				bits |= 1 << i
			}
		}
		sum = append(sum, alphabet[bits])
	}
	return string(sum)
}
