package app

import "errors"

// errStarting says that a part is not there yet.
var errStarting = errors.New("still starting")
