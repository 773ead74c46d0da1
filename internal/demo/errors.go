package demo

import "errors"

// ErrDidNotHappen is wrapped by the error of a step whose outcome was not observed in time, or was another one.
var ErrDidNotHappen = errors.New("the story broke off")
