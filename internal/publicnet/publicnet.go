package publicnet

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// ErrPrivate says that a URL leads into our own network.
var ErrPrivate = errors.New("the address is private: it is not called unless private addresses are allowed")

// maxHeader is the most bytes of an answer's head. The default of net/http is 10 MiB, which many servers at once could make us hold.
const maxHeader = 64 << 10

// Transport connects to public addresses only, unless private ones are allowed too. timeout is of the connection and of TLS, each.
func Transport(timeout time.Duration, private bool) *http.Transport {
	dialer := &net.Dialer{Timeout: timeout}
	if !private {
		dialer.Control = refusePrivate
	}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// refusePrivate looks at the address that is about to be connected to, whatever name led there.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrPrivate
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || special(ip) {
		return ErrPrivate
	}
	return nil
}

// special tells of ranges that are not for the open network although they look like it.
//
// Source: RFC 6598 (shared address space), RFC 6890 (special purpose), RFC 6052, 3056 and 4291 (addresses that hold an IPv4 one), RFC
// 3879 (site-local). 168.63.129.16 is where a machine in Azure reaches its host (Microsoft, "What is IP address 168.63.129.16?").
func special(ip netip.Addr) bool {
	for _, text := range []string{
		"100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "0.0.0.0/8", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",
		"::/96", "fec0::/10", "168.63.129.16/32",
	} {
		if netip.MustParsePrefix(text).Contains(ip) {
			return true
		}
	}
	return false
}
