// Package tcp connects to the hosts and ports that the step was granted. The driver's spec must request `connect`.
package tcp

import (
	"io"
	"net"
	"strconv"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/internal/host"
)

// Conn is a net.Conn over the host's connection.
type Conn struct {
	raw         *host.Connection
	address     address
	read, write time.Time
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// Dial connects to `host:port`, both written as in the grant. Its signature is that of many clients' dialers.
func Dial(network, hostPort string) (net.Conn, error) {
	return DialTimeout(network, hostPort, 30*time.Second)
}

// DialTimeout connects within a time.
func DialTimeout(_, hostPort string, timeout time.Duration) (net.Conn, error) {
	name, text, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, osiris.Errorf(osiris.KindConfig, "`%s` is not of the form host:port", hostPort)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, osiris.Errorf(osiris.KindConfig, "`%s` is not a port", text)
	}
	raw, err := host.Connect(name, uint16(port), timeout)
	if err != nil {
		return nil, err
	}
	return &Conn{raw: raw, address: address(hostPort)}, nil
}

// expired sets the timeout of the next call, and says whether its deadline has passed.
func (c *Conn) expired(deadline time.Time) error {
	left := time.Minute
	if !deadline.IsZero() {
		left = time.Until(deadline)
	}
	if left <= 0 {
		return osiris.Errorf(osiris.KindTimeout, "the deadline of the connection to %s has passed", c.address)
	}
	c.raw.SetTimeout(max(left, time.Millisecond))
	return nil
}

// Read waits for at least one byte.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := c.expired(c.read); err != nil {
		return 0, err
	}
	n, err := c.raw.Read(b)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Write sends all the bytes.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.expired(c.write); err != nil {
		return 0, err
	}
	if err := c.raw.Write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.raw.Close()
	return nil
}

// LocalAddr is not known.
func (c *Conn) LocalAddr() net.Addr { return address("") }

// RemoteAddr is the address that was dialled.
func (c *Conn) RemoteAddr() net.Addr { return c.address }

// SetDeadline limits reads and writes; the zero time means one minute for each call.
func (c *Conn) SetDeadline(t time.Time) error {
	c.read, c.write = t, t
	return nil
}

// SetReadDeadline limits reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read = t
	return nil
}

// SetWriteDeadline limits writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write = t
	return nil
}

// TLS says how a connection is encrypted; its zero value verifies the server by the machine's roots.
type TLS = host.TLS

// StartTLS encrypts the connection from here on. The host does it, so that no driver handles keys.
func (c *Conn) StartTLS(options TLS) error { return c.raw.StartTLS(options) }

// ServerEndPoint is the digest of the server's certificate (tls-server-end-point of RFC 5929), or nil.
func (c *Conn) ServerEndPoint() []byte { return c.raw.ServerEndPoint() }
