package templates

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var defaults embed.FS

// Defaults is the folder of shipped templates. Their content_sid values are placeholders: approved WhatsApp templates
// belong to an account, so operators put their own in a copy of the files.
func Defaults() fs.FS { return defaults }
