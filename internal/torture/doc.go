// Package torture is the proof of Beckon's guarantees: it runs the real program as a company would, does harm to every part
// of it under load, and then compares what four independent ledgers say.
//
// # What it starts
//
// Processes of the beckon program: one ingest, two routers and three dispatchers; three NATS servers as a cluster with three
// replicas of each stream; a Postgres server; a Twilio simulator that writes what it accepts to a journal before it answers.
// The Salesforce simulator is in this process. Everything that talks to something else does so through a proxy of its own, an
// edge (see chart), so that every connection can be cut alone.
//
// The send time-out is two seconds, so that a lease is nine; a freeze lasts mostly longer than that.
//
// # The harm
//
// See Kinds. The schedule is drawn from a seed: the same seed, length, kinds and number of NATS servers give the same faults
// at the same times. What the processes are doing at that moment differs from run to run. All faults are healed at the end;
// then everything has some minutes to come to rest.
//
// # The oracle
//
// Every text carries the id of its notification, and every callback URL the id of its attempt. So the oracle (a pure
// function, see reconcile) can follow each notification by itself: acknowledged to Salesforce, stored in NATS, decided and
// made into a message in Postgres, accepted by Twilio exactly once. What is missing somewhere is lost, unless the message
// ended for a named reason that the oracle can check, such as an opt-out that somebody did write. What Twilio has twice is
// duplicated, unless it is proven to be of the window that the send protocol leaves open (docs/adr/0003-send-protocol.md): the
// call arrived after the lease of its attempt, and a dispatcher was frozen across the lease's end. The report shows that window
// by itself. A message to somebody who had opted out before it was claimed is a violation.
//
// # Promises
//
// Nothing is left running, also after an interrupt; on Linux not after a kill -9 of this process either. Nothing listens on
// anything but the loopback interface and a Unix socket, and nothing can reach the real Twilio.
//
// Tests: the proxy, the schedule, and an oracle that has to find every kind of harm in doctored ledgers are tested here;
// internal/e2e runs a whole short torture.
package torture
