// Package consent is the vocabulary of the consent ledger: what a person said (opt in, opt out, help), how we learned
// it, and which words of a reply say it. It is pure; the ledger itself lives in Postgres (see the store) and is only
// ever added to.
package consent
