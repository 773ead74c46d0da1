// Package e2e tests the real program from outside: `beckon` is built once, runs as processes of its own, is configured by
// its environment as in production, and is killed on purpose. Salesforce and Twilio are the simulators; NATS and Postgres
// are the embedded ones, or separate servers as docker-compose.yml has them. There is nothing here but tests.
//
// What they show: a message's whole way, what an operator sees of it, what the door refuses, and that a kill -9 of any
// process, at any moment that the tests choose, loses nothing and sends nothing twice.
//
// A test fails with the logs of its processes. All that a test starts ends with it.
package e2e
