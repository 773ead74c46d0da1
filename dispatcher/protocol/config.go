package protocol

// Config is a world to check: its size, its times and what is broken in it on purpose.
type Config struct {
	Messages    int
	Dispatchers int
	Stop        bool // a STOP may come at any moment
	Jumps       int  // of the database's clock, forwards, past every wait
	Times       Times
	Without     Without
}

// Times are in units of some length. What happens within a time may happen at its very end, and what follows a time may follow
// at once. With all bounds closed like that, worlds in which things happen at whole units only reach whatever worlds with
// arbitrary times do.
//
// Source: Henzinger, Manna, Pnueli, "What good are digital clocks?", 1992.
type Times struct {
	Deadline uint8 // of a call, from before the claim: BECKON_SEND_TIMEOUT
	Socket   uint8 // how long written bytes may still arrive: TCP_USER_TIMEOUT, the same setting
	Lease    uint8 // twice BECKON_SEND_TIMEOUT plus five seconds
	LookUp   uint8 // before a look-up and between two: BECKON_RECONCILE_AFTER
	Lag      uint8 // after which Twilio's listing shows a message that it took
}

// DefaultTimes are what the settings' defaults give in units of ten seconds, the lease of 25 seconds rounded down, with a listing
// that lags by up to 30 seconds.
func DefaultTimes() Times { return Times{Deadline: 1, Socket: 1, Lease: 2, LookUp: 2, Lag: 3} }

// FineTimes are the same in units of five seconds, where nothing is rounded, with a lag of up to 40 seconds.
func FineTimes() Times { return Times{Deadline: 2, Socket: 2, Lease: 5, LookUp: 4, Lag: 8} }

// Without removes one guard of the protocol, or one assumption about the world, each. The checker must find what then breaks.
type Without struct {
	LeaseCheck     bool // a sending attempt becomes unknown while its lease runs
	LookUpWait     bool // look-ups begin as soon as an outcome is unknown, and follow one another at once
	SecondListing  bool // one listing proves absence
	UnknownState   bool // an unclear outcome queues the message again
	LookUps        bool // a dead lease queues the message again
	QueuedCheck    bool // a claim takes a message in whatever state, since the belt delivered it
	OneLive        bool // a claim does not look at other attempts to the address
	DeadlineCheck  bool // the deadline is not checked before writing
	Barrier        bool // no look at the belt between claim and call
	SecondLook     bool // consent is read, and the belt is not looked at again
	KnownSIDs      bool // a listing's message may belong to another attempt
	RecordGuard    bool // an outcome counts whatever the attempt's state and the message's newest attempt
	Sweeper        bool // what is not on the belt stays there
	PromptWriting  bool // a process may freeze between its last check and the kernel's write
	SuspendedClock bool // a host may sleep between claim and check, and its monotonic clock with it
}

// within is a time that may be used up to its very end.
func within(time uint8) uint8 { return time + 1 }

// start is the world in which the messages are committed and on the belt, which may lose them.
func (c Config) start() World {
	w := World{Jumps: uint8(c.Jumps)}
	for m := range c.Messages {
		w.Messages[m] = Message{State: Queued, OnBelt: true}
	}
	return w
}
