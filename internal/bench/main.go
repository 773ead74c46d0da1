// Command bench measures Beckon in one run and prints one table: every figure with its unit, what it is compared with,
// the ratio, and the target. `make bench` runs it; docs/benchmarks.md explains the figures.
//
// Arguments name the parts to run, all without one: decode, acknowledge-large, acknowledge-single, accept-latency,
// end-to-end, end-to-end-with-callbacks; and two that run only when they are named: flood (some two minutes) and soak (an
// hour, or what -soak says). With -profiles DIR it saves a profile of each closed loop, and the samples of the soak, there.
// It builds the program, starts it as a process of its own on free ports of 127.0.0.1 and a
// temporary directory (embedded NATS and private Postgres, both syncing), and plays Salesforce and Twilio in its own
// process with the simulators. Load generator, simulators, Beckon and Postgres share the processors of the machine.
//
// It promises that a ratio compares two things measured right after one another, that everything it started has ended
// when it returns, and that it takes less than two and a half minutes. It fails with a stack when a part does not come
// up or loses a message: the end-to-end parts count what arrived.
//
// Its figures are only as quiet as the machine, which is why the load average is printed with them.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	soak := flag.Duration("soak", time.Hour, "how long the steady load of the part soak lasts")
	profiles := flag.String("profiles", "", "a directory for profiles of the closed loops and the samples of the soak")
	flag.Parse()
	b := &bench{progress: os.Stderr, soakFor: *soak, profiles: *profiles}
	if err := b.run(ctx, flag.Args(), os.Stdout); err != nil {
		panic(err)
	}
}
