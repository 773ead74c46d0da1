// Package streamtest starts a real nats-server in the test's process: file storage in a temporary folder, every write
// synced before it is confirmed, no network; or three of them as a cluster of processes. It is for tests only.
package streamtest
