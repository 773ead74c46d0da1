// Package certificates holds what the public listener shows and whom it lets in by TLS: the certificate of the listener, and
// the client certificates of Salesforce that are pinned. Both come from PEM files and are read again while the process
// runs, since a public certificate lives 47 to 200 days and a restart for each would be a risk of its own.
//
// # Pins
//
// A client certificate is accepted when it is, byte for byte, one of those in the file (by SHA-256). The handshake has
// proven that the client has its private key. No chain, key usage, name or date is looked at:
//
//   - The certificate is self-signed or of whatever authority the organisation chose. Public authorities may not issue
//     certificates for clients any more (Chrome Root Program Policy 1.7, since 2026-06-15; Salesforce KB 005237282), so
//     Go's check of the chain, which wants ExtKeyUsageClientAuth (crypto/x509, Certificate.Verify), would refuse a good one.
//   - The certificate that organisations have by default is one and the same for all: a chain proves Salesforce, a pin no more
//     in that case. The organisation's id is always checked besides.
//   - A date says nothing about whether a key is safe. Refusing an expired pin would lose what Salesforce can't deliver
//     within 24 hours. Who does not trust a certificate any more takes it out of the file.
//
// Without session tickets: a client would resume a session that it began without a certificate, and show none for days.
//
// # Reloads
//
// The files are read every few seconds and on SIGHUP; there is no watch that a symbolic link, a network file system or a
// rename could pass by. The listener's pair and the pins are replaced each for itself, so that a mistake in one does not keep
// the other one back. What can't be used keeps what runs, and is told in log, metrics and Warnings. A pair whose two files
// are written one after the other is seen as a mistake only when two looks in a row find it.
//
// # Errors
//
// Load errors name the file and what to do, never what stands in a key.
//
// # Tests
//
// Real files, real TLS connections; certtest makes the certificates.
package certificates
