// Package postgres runs a private Postgres server below Beckon's data directory, from the programs of this machine.
//
// It takes a directory of its own (the caller holds embedded.Lock on the data directory) and gives a URL that leads to
// the database beckon over a Unix socket. What it makes in the directory:
//
//	cluster/                  the data of Postgres (PGDATA), with data checksums
//	cluster/beckon.password   the password of the role beckon, readable by its owner only
//	postgres.log              what the server says; one older file is kept
//	binaries/                 the programs, if they had to be fetched
//
// The server listens on no network address. Its socket lies in a directory of its own that only its account can enter,
// with a short name below the directory for temporary files, because the path of a socket has a limit of 104 bytes on
// macOS. Connections need the password (scram-sha-256). The role beckon owns its database and is no superuser, so that
// SQL cannot read files or run programs. Details of errors, which can quote row values, stay out of the log.
//
// Postgres refuses to run as root. As root, everything runs as the account postgres, or nobody, and the directory
// belongs to that account. If the account cannot enter a directory on the way, for example /root, on Linux the server
// gets the capability to read and search directories; where that is not allowed either, Start says which directory is
// in the way.
//
// It survives kill -9. The cluster is made under another name and then renamed, so half a cluster never counts. On
// Linux the kernel interrupts the server when this process ends. A server of the last run that is still there is
// stopped first, after checking that the process is a postgres on this very directory; a postmaster.pid whose number
// now belongs to another program is removed; sockets and their lock files are cleared.
//
// When the server ends by itself, Done closes and Err says so; it is not started again: the program is to end and be
// started again as a whole.
//
// Tests run real servers, and kill processes, as root and as an ordinary user.
package postgres
