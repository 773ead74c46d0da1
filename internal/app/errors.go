package app

import "errors"

// ErrSetup says that what the configuration names is not there or can't be used, for example the rules: starting again
// without a change would not help.
var ErrSetup = errors.New("the set-up is not complete")

// errStarting says that a part is not there yet.
var errStarting = errors.New("still starting")
