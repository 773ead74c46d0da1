package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// safeReplicas is from how many replicas on a confirmation is taken as durable whatever the servers' sync setting: a
// majority has it, and does not lose its memory at the same moment when it stands in separate failure domains.
const safeReplicas = 3

// SyncAdvice is what to do about SyncDoubt.
const SyncAdvice = "set jetstream { sync_interval: always } on the server and declare it with BECKON_NATS_SYNC=always, or keep " +
	"three replicas (BECKON_NATS_REPLICAS=3)"

// SyncDoubt says why what a server confirmed may not survive a power cut, empty when three replicas keep it. fewest is the
// least number of replicas of a stream, see FewestReplicas. A client can't read the server's sync setting: who knows it need
// not ask.
func SyncDoubt(fewest int) string {
	if fewest >= safeReplicas {
		return ""
	}
	return fmt.Sprintf("it is not known whether NATS syncs to disk before it confirms, and a stream has %d of %d replicas: a power cut can "+
		"lose what was acknowledged", fewest, safeReplicas)
}

// FewestReplicas is the least number of replicas that one of the streams has.
func (c *Client) FewestReplicas(ctx context.Context) (int, error) { return fewestReplicas(ctx, c.js) }

// fewestReplicas leaves out streams that are not there yet; without any it is 0.
func fewestReplicas(ctx context.Context, js jetstream.JetStream) (int, error) {
	fewest := 0
	for _, name := range Names() {
		stream, err := js.Stream(ctx, string(name))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look up stream %s: %w", name, err)
		}
		if n := stream.CachedInfo().Config.Replicas; fewest == 0 || n < fewest {
			fewest = n
		}
	}
	return fewest, nil
}
