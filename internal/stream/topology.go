package stream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/beckonhq/beckon/internal/message"
)

// Name is the name of a stream.
type Name string

// The streams.
const (
	Notifications Name = "NOTIFICATIONS"
	Messages      Name = "MESSAGES"
	Callbacks     Name = "CALLBACKS"
	DeadLetters   Name = "DEADLETTERS"
)

// Names returns all streams, in the order of the way of a message.
func Names() []Name { return []Name{Notifications, Messages, Callbacks, DeadLetters} }

// ConsumerName is the name of a durable consumer.
type ConsumerName string

// The consumers. Dispatcher is that of the default sender, see DispatcherOf.
const (
	Router          ConsumerName = "router"
	Dispatcher      ConsumerName = "dispatcher"
	Inbound         ConsumerName = "inbound"
	StatusCallbacks ConsumerName = "status"
)

// DispatcherOf is the consumer of the messages of one sender: a backlog of one never stands before those of another.
func DispatcherOf(sender string) ConsumerName {
	if sender == message.DefaultSender {
		return Dispatcher
	}
	return dispatcherPrefix + ConsumerName(sender)
}

// senderOf is the sender whose messages a consumer has.
func senderOf(name ConsumerName) (string, bool) {
	if name == Dispatcher {
		return message.DefaultSender, true
	}
	sender, ok := strings.CutPrefix(string(name), dispatcherPrefix)
	return sender, ok
}

// consumers returns the names of all consumers: one for each sender, and the fixed ones.
func (o Options) consumers() []ConsumerName {
	names := []ConsumerName{Router, Dispatcher, Inbound, StatusCallbacks}
	for _, sender := range o.Senders {
		if name := DispatcherOf(sender); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// CallbackKind tells the two kinds of Twilio callbacks apart.
type CallbackKind string

// The kinds of callbacks.
const (
	KindInbound CallbackKind = "inbound"
	KindStatus  CallbackKind = "status"
	KindOptOut  CallbackKind = "optout" // a status whose error code says that the person opted out: it is among the replies
)

const dispatcherPrefix = "dispatcher-"

// The headers that the package comment describes.
const (
	HeaderOrg         = "Beckon-Org"
	HeaderObject      = "Beckon-Object"
	HeaderCount       = "Beckon-Count"
	HeaderReceived    = "Beckon-Received"
	HeaderEncoding    = "Beckon-Encoding"
	HeaderQuery       = "Beckon-Query"
	HeaderContentType = "Beckon-Content-Type"
	HeaderSender      = "Beckon-Sender"
	HeaderFound       = "Beckon-Found"
	HeaderStream      = "Beckon-Stream"
	HeaderSeq         = "Beckon-Seq"
	HeaderSubject     = "Beckon-Subject"
	HeaderReason      = "Beckon-Reason"
	HeaderHistory     = "Beckon-History"
	HeaderOrigin      = "Beckon-Origin-"
	HeaderID          = "Beckon-Notification"
	HeaderFirstStored = "Beckon-First-Stored"
	HeaderReplay      = "Beckon-Replay"
	HeaderReplayID    = "Beckon-Replay-Id"
	HeaderReplayOnly  = "Beckon-Replay-Only"
)

const (
	subjectNotifications   = "notifications."
	subjectMessages        = "messages."
	subjectCallbacks       = "callbacks."
	subjectInboundAny      = "callbacks.inbound.>"
	suffixOptOut           = ".optout"
	subjectStatusAny       = "callbacks.status.>"
	subjectDeadLetters     = "deadletters."
	duplicateWindow        = 10 * time.Minute
	defaultAckWait         = 20 * time.Second // a killed process's messages wait so long; a repetition is harmless
	inboundAckWait         = 6 * time.Second  // shorter: while a killed process holds a reply, nothing is sent by anybody
	defaultMaxAckPending   = 20_000
	defaultConfirmTimeout  = 10 * time.Second
	minimumAdvisedMaxBytes = 8 << 20
)

func streamConfig(name Name, opts Options) jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name:       string(name),
		Retention:  jetstream.LimitsPolicy,
		Storage:    jetstream.FileStorage,
		Discard:    jetstream.DiscardNew,
		MaxBytes:   -1,
		Duplicates: duplicateWindow,
		Replicas:   max(opts.Replicas, 1),
	}
	if limit := opts.MaxBytes[name]; limit > 0 {
		cfg.MaxBytes = limit
	}
	switch name {
	case Marks:
		cfg.Description = "how far the ledger is; the newest message counts"
		cfg.Subjects = []string{subjectLedgerMark}
		cfg.Discard, cfg.MaxMsgs, cfg.MaxBytes = jetstream.DiscardOld, marksKept, marksMaxBytes
	case Notifications:
		cfg.Description = "Salesforce envelopes on their way to the router"
		cfg.Subjects = []string{subjectNotifications + "*"}
		cfg.AllowAtomicPublish, cfg.AllowDirect = true, true
	case Messages:
		cfg.Description = "ids of message rows on their way to the dispatcher"
		cfg.Subjects = []string{subjectMessages + ">"}
		cfg.AllowAtomicPublish = true
	case Callbacks:
		cfg.Description = "Twilio replies and delivery status on their way to the dispatcher"
		cfg.Subjects = []string{subjectInboundAny, subjectStatusAny}
		cfg.AllowAtomicPublish = true
	case DeadLetters:
		cfg.Description = "what could not be processed, kept for an operator"
		cfg.Subjects = []string{subjectDeadLetters + ">"}
	}
	return cfg
}

func consumerConfig(name ConsumerName, opts Options) (Name, jetstream.ConsumerConfig) {
	cfg := jetstream.ConsumerConfig{
		Durable:       string(name),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       opts.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: opts.MaxAckPending,
	}
	if sender, ok := senderOf(name); ok {
		cfg.FilterSubject = subjectMessages + sender + ".>"
		return Messages, cfg
	}
	switch name {
	case Router:
		return Notifications, cfg
	case Dispatcher: // a sender's, see above
	case Inbound:
		cfg.FilterSubject, cfg.AckWait = subjectInboundAny, min(opts.AckWait, inboundAckWait)
	case StatusCallbacks:
		cfg.FilterSubject = subjectStatusAny
	}
	return Callbacks, cfg
}

// ensureStream creates the stream or brings an existing one to our settings. What an operator may tune and we were not
// told (size limit, replicas) stays as it is on an existing stream.
func ensureStream(ctx context.Context, js jetstream.JetStream, name Name, opts Options) error {
	want := streamConfig(name, opts)
	stream, err := js.Stream(ctx, string(name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = js.CreateStream(ctx, want); err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("create stream %s: %w", name, err)
		}
		stream, err = js.Stream(ctx, string(name)) // another process created it meanwhile
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", name, err)
	}
	have := stream.CachedInfo().Config
	if err := compatible(have); err != nil {
		return err
	}
	merged := merge(have, want, opts)
	if reflect.DeepEqual(have, merged) {
		return nil
	}
	if _, err := js.UpdateStream(ctx, merged); forGood(err) {
		return fmt.Errorf("%w: stream %s cannot be updated; change it by hand or rename it: %w", ErrIncompatible, name, err)
	} else if err != nil {
		return fmt.Errorf("update stream %s: %w", name, err)
	}
	return nil
}

// forGood tells whether the server refused a configuration itself. Everything else may pass: no answer, no leader, too few
// nodes for the replicas (which the server calls a bad request, too).
func forGood(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.Code >= http.StatusInternalServerError {
		return false
	}
	switch api.ErrorCode { //nolint:exhaustive // the two that are about the moment, not about the configuration
	case jetstream.JSErrCodeStreamNotFound, codeNoPeers:
		return false
	}
	return true
}

func compatible(have jetstream.StreamConfig) error {
	var wrong string
	switch {
	case have.Retention != jetstream.LimitsPolicy:
		wrong = "retention " + have.Retention.String() + ", want limits"
	case have.Storage != jetstream.FileStorage:
		wrong = "storage " + have.Storage.String() + ", want file"
	case have.Mirror != nil:
		wrong = "it is a mirror"
	case have.Sealed:
		wrong = "it is sealed"
	default:
		return nil
	}
	return fmt.Errorf("%w: stream %s has %s; remove or rename it, then start again", ErrIncompatible, have.Name, wrong)
}

func merge(have, want jetstream.StreamConfig, opts Options) jetstream.StreamConfig {
	merged := have
	if !slices.Equal(have.Subjects, want.Subjects) {
		merged.Subjects = want.Subjects
	}
	merged.Description = want.Description
	merged.Discard = want.Discard
	merged.DiscardNewPerSubject = false
	merged.MaxAge = 0
	merged.MaxMsgsPerSubject = -1
	merged.Duplicates = want.Duplicates
	merged.AllowAtomicPublish = want.AllowAtomicPublish
	merged.AllowDirect = want.AllowDirect
	if opts.MaxBytes[Name(have.Name)] > 0 {
		merged.MaxBytes = want.MaxBytes
	}
	merged.Replicas = max(have.Replicas, want.Replicas) // never fewer: a start with a default would make a cluster unsafe
	return merged
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, name ConsumerName, opts Options) error {
	stream, cfg := consumerConfig(name, opts)
	if _, err := js.CreateOrUpdateConsumer(ctx, string(stream), cfg); forGood(err) {
		return fmt.Errorf("%w: consumer %s of stream %s cannot be updated; delete it, then start again: %w",
			ErrIncompatible, name, stream, err)
	} else if err != nil {
		return fmt.Errorf("create consumer %s of stream %s: %w", name, stream, err)
	}
	return nil
}

// validToken says whether s can be one token of a subject.
func validToken(s string) bool {
	if s == "" || len(s) > math.MaxUint8 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c > '~', c == '.', c == '*', c == '>':
			return false
		}
	}
	return true
}
