// Package publicnet makes connections to servers that somebody else names: in a rule file, or in a record.
//
// Addresses inside our own network are refused when the connection is made, after the name is resolved, so that no file and no name
// server leads a request there; whoever makes the dialer may allow them. No proxy is used: it would hide the address.
//
// It fails by ErrPrivate. Tests dial real addresses.
package publicnet
