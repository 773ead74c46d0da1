// Package certtest makes self-signed certificates as PEM files for tests of TLS.
package certtest
