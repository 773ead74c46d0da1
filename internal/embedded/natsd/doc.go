// Package natsd runs a NATS server with JetStream inside this process: the belt of the embedded default.
//
// It takes a directory of its own below the data directory (the caller holds embedded.Lock on the latter: NATS itself
// does not notice a second server on its store) and gives in-process connections, and an address on the loopback
// interface with a token for commands that run beside. It never listens on another interface.
//
// It promises that what JetStream confirms is on disk: every write is synced first (SyncAlways). So a kill -9 or a power
// cut loses nothing that was confirmed. The next Start on the directory finds streams, consumers and messages.
//
// With Config.Cluster it is one of several servers on this machine, on addresses that are given.
//
// It fails at Start, when the store cannot be opened or the port cannot be had. While it runs, Healthy tells whether
// JetStream still stores. After a write that failed, mostly since the disk is full, nats-server takes nothing more for that
// stream as long as it runs; so the server is started again, at the same address, when the disk has room.
//
// Tests run real servers, and one kills a process with kill -9 and reads its messages in the next.
package natsd
