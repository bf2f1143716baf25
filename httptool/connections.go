package httptool

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// connections bounds the open connections of a transport.
type connections struct {
	slots    chan struct{}
	makeRoom func() // closes idle ones
}

// take waits for room for one more connection.
func (c *connections) take(ctx context.Context, host string, limit time.Duration) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	c.makeRoom()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	e := errclass.Newf(errclass.Timeout, errclass.PhaseConnect, "no connection to %s after %s: all %d that may be open are in use", host, limit, cap(c.slots))
	e.Limit, e.Upstream.Host, e.Origin = limit, host, errclass.OriginPlatform
	return e
}

func (c *connections) give() { <-c.slots }

// countedConn gives its room back when it is closed.
type countedConn struct {
	net.Conn
	give func()
	once sync.Once
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.give)
	return err
}
