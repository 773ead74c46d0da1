package natsd

import (
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster makes the server one of several that keep replicas of the streams. All addresses are on the loopback interface:
// such a cluster guards against the death of a process, not of the machine. It is for tests of what a real one does.
type Cluster struct {
	// Name is the name of this server among the others.
	Name string
	// Address is where clients connect, host:port. Unlike a single server's it has to be known before.
	Address string
	// Token is what clients and other servers have to show.
	Token string
	// RouteAddress is where the other servers connect, host:port; empty when there are none.
	RouteAddress string
	// Advertise is the route address that the others are told, host:port; empty for RouteAddress. They use it beside those that
	// their own Routes name.
	Advertise string
	// Routes are the addresses at which this server reaches the others, host:port.
	Routes []string
}

// apply sets what a member of a cluster needs.
func (c *Cluster) apply(opts *server.Options) error {
	if c == nil {
		return nil
	}
	var err error
	if opts.Host, opts.Port, err = split(c.Address); err != nil {
		return err
	}
	opts.ServerName, opts.Authorization = c.Name, c.Token
	if c.RouteAddress == "" {
		return nil
	}
	host, port, err := split(c.RouteAddress)
	if err != nil {
		return err
	}
	opts.Cluster = server.ClusterOpts{
		Name: "beckon", Host: host, Port: port, Username: clusterUser, Password: c.Token, Advertise: c.Advertise, NoAdvertise: true,
	}
	for _, route := range c.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: route, User: url.UserPassword(clusterUser, c.Token)})
	}
	return nil
}

const clusterUser = "beckon"

func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("%w: address %q: %w", ErrNotReady, address, err)
	}
	return host, port, nil
}
