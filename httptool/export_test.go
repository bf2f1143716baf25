package httptool

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/almyty-inc/toolrun/internal/httperr"
)

// ErrStopped is what a guarded dial ends with before anything is sent.
var ErrStopped = errors.New("stopped before connecting")

// RecordingTransport reports each address that would be dialled and dials none.
func RecordingTransport(p Policy, r *net.Resolver, dialled func(string)) (*Transport, error) {
	return newTransport(p, network{resolver: r, connect: func(address string) error {
		dialled(address)
		return ErrStopped
	}})
}

// LoopbackTransport dials for real, with a resolver and trust of its own.
func LoopbackTransport(p Policy, r *net.Resolver, config *tls.Config) (*Transport, error) {
	return newTransport(p, network{resolver: r, tls: config, dialLimit: 10 * time.Second})
}

var (
	RetryAfter = httperr.RetryAfter
	NextLink   = nextLink
)

func CheckURL(t *Transport, u *url.URL) error { return t.policy.checkURL(u) }

func ParsePath(text string) (find func(any) (any, bool), shown, message string) {
	p, message := parsePath(text)
	return p.find, p.String(), message
}

func ErrorMessage(contentType string, body []byte) (message, code string) {
	return errorMessage(&reply{status: 400, header: map[string][]string{"Content-Type": {contentType}}, body: body})
}
