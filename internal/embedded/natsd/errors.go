package natsd

import "errors"

// ErrNotReady is wrapped by the error of Start when the server did not come up.
var ErrNotReady = errors.New("the embedded NATS did not start")

// ErrJetStreamOff is the error of Healthy while the server stores nothing.
var ErrJetStreamOff = errors.New("the store of the embedded NATS has failed, mostly since the disk is full: make room, it starts again by itself")
