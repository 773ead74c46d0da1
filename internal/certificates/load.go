package certificates

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// begin is how a PEM block begins.
const begin = "-----BEGIN"

// Pins are client certificates that are accepted.
type Pins struct {
	all    []*x509.Certificate
	hashes map[[sha256.Size]byte]bool
}

// Has tells whether a certificate is one of the pins.
func (p *Pins) Has(certificate *x509.Certificate) bool {
	return p.hashes[sha256.Sum256(certificate.Raw)]
}

// All are the pins in the order of the file.
func (p *Pins) All() []*x509.Certificate { return p.all }

// Last is when the last one of the pins expires.
func (p *Pins) Last() time.Time {
	last := p.all[0].NotAfter
	for _, pin := range p.all {
		if pin.NotAfter.After(last) {
			last = pin.NotAfter
		}
	}
	return last
}

// LoadServer reads the certificate of a listener, with its intermediates, and the key.
func LoadServer(certFile, keyFile string) (*tls.Certificate, error) {
	files := serverFiles(certFile, keyFile)
	contents, err := files.read()
	if err != nil {
		return nil, err
	}
	return files.parse(contents, nil)
}

// LoadPins reads a file of client certificates.
func LoadPins(file string) (*Pins, error) {
	files := pinFiles(file)
	contents, err := files.read()
	if err != nil {
		return nil, err
	}
	return files.parse(contents, nil)
}

// Fingerprint is the SHA-256 of a certificate in hexadecimal, as `openssl x509 -fingerprint -sha256` shows it but for the colons.
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// source is some files and what is made of them; running is what is in use, nil at the start.
type source[T any] struct {
	paths []string
	parse func(contents [][]byte, running *T) (*T, error)
}

func (s *source[T]) read() ([][]byte, error) {
	contents := make([][]byte, len(s.paths))
	for i, path := range s.paths {
		var err error
		if contents[i], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("read a certificate: %w", err)
		}
	}
	return contents, nil
}

func serverFiles(certFile, keyFile string) *source[tls.Certificate] {
	return &source[tls.Certificate]{[]string{certFile, keyFile}, func(contents [][]byte, running *tls.Certificate) (*tls.Certificate, error) {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("use the certificate %s with the key %s: %w", certFile, keyFile, err)
		}
		now := time.Now()
		if running != nil && expired(pair.Leaf, now) && !expired(running.Leaf, now) {
			return nil, fmt.Errorf("use the certificate %s: it has expired at %s, and the running one has not", certFile, Day(pair.Leaf.NotAfter))
		}
		return &pair, nil
	}}
}

func pinFiles(path string) *source[Pins] {
	return &source[Pins]{[]string{path}, func(contents [][]byte, _ *Pins) (*Pins, error) {
		pins, err := parsePins(contents[0])
		if err != nil {
			return nil, fmt.Errorf("use the client certificates in %s: %w", path, err)
		}
		return pins, nil
	}}
}

// parsePins takes certificates only, at least one: a file without any would let nobody in.
func parsePins(text []byte) (*Pins, error) {
	pins := &Pins{hashes: map[[sha256.Size]byte]bool{}}
	damaged := bytes.Count(text, []byte(begin)) // pem.Decode passes over what it can't read
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		damaged--
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a block %q: want certificates only, without their keys", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(pins.all)+1, err)
		}
		if !pins.Has(certificate) {
			pins.all = append(pins.all, certificate)
		}
		pins.hashes[sha256.Sum256(certificate.Raw)] = true
	}
	switch {
	case damaged > 0:
		return nil, errors.New("a PEM block is damaged or not whole")
	case len(pins.all) == 0:
		return nil, errors.New("there is no PEM certificate (of a binary file `openssl x509 -inform der` makes one)")
	}
	return pins, nil
}

func expired(certificate *x509.Certificate, now time.Time) bool {
	return now.After(certificate.NotAfter)
}

// Day is how a date is shown.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
