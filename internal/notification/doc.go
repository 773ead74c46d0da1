// Package notification is the vocabulary of what Salesforce tells us: organisation and record ids, the notification,
// and the envelope that carries up to 100 of them. It is pure data, imports nothing of ours, and is what the stages
// ingest and router have in common.
package notification
