// Command beckon turns Salesforce record changes into SMS and WhatsApp conversations. `beckon help` lists its commands.
package main

import (
	"context"
	"os"

	"github.com/beckonhq/beckon/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.OS()))
}
