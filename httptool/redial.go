package httptool

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxDials is how many connections a request may open. Where an HTTP/2 server
// takes leave of each before it answers, net/http opens the next at once: a
// thousand a second, as long as the request's time lasts. Where a server allows
// few streams a connection and many requests start together, some need twenty.
const maxDials = 64

type dialsKey struct{}

// countDials gives the request a count of its connections.
func countDials(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), dialsKey{}, new(atomic.Int32)))
}

// countDial refuses a request's connection beyond maxDials.
func countDial(ctx context.Context, host string) error {
	dials, ok := ctx.Value(dialsKey{}).(*atomic.Int32)
	if !ok || dials.Add(1) <= maxDials {
		return nil
	}
	e := errclass.Newf(errclass.ConnectionRefused, errclass.Reset, "%s closed %d connections before it answered", host, maxDials)
	e.Upstream.Host = host
	return e
}
