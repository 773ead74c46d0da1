// Package embedded holds what the parts of the embedded default share: the lock of the data directory, and the address
// file by which other commands find a running server.
//
// A program that starts the embedded NATS (natsd) or the private Postgres (postgres) takes the lock of the data
// directory first and holds it until both have stopped:
//
//	lock, err := embedded.Lock(dataDir)          // ErrInUse: another program has it
//	... natsd.Start, postgres.Start ...
//	err = embedded.WriteAddresses(dataDir, ...)  // now `beckon messages list` finds us
//	...
//	embedded.RemoveAddresses(dataDir); stop both; lock.Release()
//
// The lock is one of the kernel (flock on beckon.lock), so it goes with the process, also on kill -9, and no stale file
// can block a start. NATS needs it most: two servers on one store directory both start and damage each other's data.
// A network file system without flock is no place for the data directory.
//
// The address file (beckon.addresses.json) carries a token and a password, so only its owner can read it. It counts only
// while the process that wrote it holds the lock.
package embedded
