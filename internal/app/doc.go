// Package app is the composition root: it reads the configuration once, starts what is embedded, connects the parts, and
// runs the roles of this process.
//
// # Roles
//
// A process has any of the roles ingest, router and dispatcher; a table says what starts each. Roles meet in JetStream and
// Postgres only, so it does not matter how they are spread over processes. A role whose dependency is away waits for it,
// and /readyz says so; ingest never needs Postgres.
//
// # Lifecycle
//
// Start opens, in order: the rules, the data directory's lock, NATS, the private listener, the streams, the public listener,
// Postgres, the roles, the address file. So the door is open while Postgres still starts. Stop closes the public listener
// and then the others in the reverse order, each step by name and within the shutdown time-out: the public listener stops accepting and finishes requests in progress, the roles finish what is in
// flight, connections close, then the servers. What did not finish is delivered again at the next start.
//
// # Tests
//
// The end-to-end tests start it on free ports against the simulators.
package app
