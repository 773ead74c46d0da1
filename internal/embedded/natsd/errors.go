package natsd

import "errors"

// ErrNotReady is wrapped by the error of Start when the server did not come up.
var ErrNotReady = errors.New("the embedded NATS did not start")

// ErrJetStreamOff is the error of Healthy when the server has switched JetStream off.
var ErrJetStreamOff = errors.New("the embedded NATS has switched JetStream off: look in the log, mostly the disk is full")
