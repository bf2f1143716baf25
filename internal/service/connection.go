package service

import (
	"container/list"
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

	mu   sync.Mutex
	idle list.List // of *connection: those between two requests, the longest idle first
}

func newBoundListener(l net.Listener, config *tls.Config, connections int, writeTimeout time.Duration) *boundListener {
	return &boundListener{
		Listener: l, tls: config, slots: make(chan struct{}, connections), writeTimeout: writeTimeout,
		closed: make(chan struct{}),
	}
}

// Accept holds one client beyond the bound until there is a slot for it; all others wait
// in the kernel's queue, where they cost nothing.
func (l *boundListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if err := l.enter(); err != nil {
		raw.Close()
		return nil, err
	}
	c := &connection{Conn: raw, raw: raw, writeTimeout: l.writeTimeout, release: sync.OnceFunc(func() { <-l.slots })}
	if l.tls != nil {
		// Inside a connection: what net/http says by itself is seen before it is encrypted.
		c.Conn = tls.Server(raw, l.tls)
	}
	return c, nil
}

// idleMoment is how long a connection may be idle before it has to make room for a new
// client: whoever got an answer just now may be sending the next request.
const idleMoment = 250 * time.Millisecond

// enter waits for a slot. Where all are taken, the connection that has been idle for
// longest makes room: connections that are only held keep nobody out.
func (l *boundListener) enter() error {
	for {
		select {
		case l.slots <- struct{}{}:
			return nil
		default:
		}
		var again <-chan time.Time
		if wait := l.makeRoom(time.Now()); wait > 0 {
			again = time.After(wait)
		}
		select {
		case l.slots <- struct{}{}:
			return nil
		case <-l.closed:
			return net.ErrClosed
		case <-again:
		}
	}
}

// makeRoom ends the connection that has been idle for longest, whose slot is free in a
// moment. Where none has been idle for long enough, it says when to look again.
func (l *boundListener) makeRoom(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.idle.Front()
	if oldest == nil {
		return idleMoment
	}
	c := oldest.Value.(*connection)
	if wait := c.idleSince.Add(idleMoment).Sub(now); wait > 0 {
		return wait
	}
	l.idle.Remove(oldest)
	c.place = nil
	c.raw.Close() // without TLS's goodbye, which might block; net/http does the rest
	return 0
}

// track keeps the list of idle connections. net/http calls it for one connection from one
// goroutine at a time.
func (l *boundListener) track(c *connection, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case state == http.StateIdle:
		c.idleSince = time.Now()
		c.place = l.idle.PushBack(c)
	case c.place != nil:
		l.idle.Remove(c.place)
		c.place = nil
	}
}

func (l *boundListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// connection is a client's connection as net/http sees it.
type connection struct {
	net.Conn
	raw          net.Conn // what Conn encrypts, where it does
	writeTimeout time.Duration
	release      func()
	idleSince    time.Time
	place        *list.Element // in the listener's list, while idle
	active       bool          // between a request's header and the end of its answer; see [Server.trackActive]
	late         atomic.Bool   // the last read ran out of time
	linger       atomic.Bool   // an error of net/http's own went out: the client may still be sending
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
	// TLS says goodbye, for which it would wait 5 s where the client doesn't read.
	defer time.AfterFunc(lingerTime, func() { c.raw.Close() }).Stop()
	return c.Conn.Close()
}

// trackActive counts connections that owe an answer. net/http calls it for one
// connection from one goroutine at a time.
func (s *Server) trackActive(c *connection, state http.ConnState) {
	if c.active == (state == http.StateActive) {
		return
	}
	c.active = state == http.StateActive
	if c.active {
		s.active.Add(1)
	} else {
		s.active.Add(-1)
	}
}
