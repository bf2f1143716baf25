package service

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// boundListener accepts a bounded number of connections and makes each answer
// errors in the documented shape.
type boundListener struct {
	net.Listener
	tls          *tls.Config // nil: in the clear
	slots        chan struct{}
	writeTimeout time.Duration

	once   sync.Once
	closed chan struct{}
}

func newBoundListener(l net.Listener, config *tls.Config, connections int, writeTimeout time.Duration) *boundListener {
	return &boundListener{
		Listener: l, tls: config, slots: make(chan struct{}, connections), writeTimeout: writeTimeout,
		closed: make(chan struct{}),
	}
}

// Accept waits for a free slot first, so that clients beyond the bound wait in
// the kernel's queue, where they cost nothing.
func (l *boundListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case l.slots <- struct{}{}:
	}
	inner, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	if l.tls != nil {
		// Inside a connection: what net/http says by itself is seen before it is encrypted.
		inner = tls.Server(inner, l.tls)
	}
	return &connection{Conn: inner, writeTimeout: l.writeTimeout, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *boundListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// connection is a client's connection as net/http sees it.
type connection struct {
	net.Conn
	writeTimeout time.Duration
	release      func()
	active       bool        // between a request's header and the end of its answer; see [Server.trackActive]
	late         atomic.Bool // the last read ran out of time
	linger       atomic.Bool // an error of net/http's own went out: the client may still be sending
}

// Read notes when the client took too long: net/http calls a request line that
// was cut short by that malformed.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.late.Store(err != nil && errors.Is(err, os.ErrDeadlineExceeded))
	return n, err
}

// SetReadDeadline starts a new wait. net/http ends the read that watches for the
// client's leave by a deadline in the past, and lifts it before the next request:
// that read's end says nothing about how long that request took.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.late.Store(false)
	return c.Conn.SetReadDeadline(t)
}

// Write sends p under a deadline of its own, as a tool may run for long before
// there is anything to write. An error that net/http writes by itself goes out
// in the documented shape.
func (c *connection) Write(p []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.writeTimeout))
	document := wireError(p, c.late.Load())
	if document == nil {
		return c.Conn.Write(p)
	}
	c.linger.Store(true)
	if _, err := c.Conn.Write(document); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite lets net/http end its side first where it knows that the client
// still sends.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// Close closes the connection. After an error of net/http's own it reads on for
// a moment: closing with unread data makes the kernel reset the connection, and
// the client might lose the answer (RFC 9112, section 9.6).
func (c *connection) Close() error {
	if c.linger.Swap(false) && c.CloseWrite() == nil {
		c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, c.Conn, lingerBytes) // as much as comes; any end will do
	}
	defer c.release()
	return c.Conn.Close()
}

// trackActive counts connections that owe an answer. net/http calls it for one
// connection from one goroutine at a time.
func (s *Server) trackActive(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*connection)
	if !ok || c.active == (state == http.StateActive) {
		return
	}
	c.active = state == http.StateActive
	if c.active {
		s.active.Add(1)
	} else {
		s.active.Add(-1)
	}
}
