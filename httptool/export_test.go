package httptool

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
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

// QuickTransport has breakers that let a request through sooner, and room for conns
// connections.
func QuickTransport(p Policy, openFor, patient time.Duration, conns int) (*Transport, error) {
	return newTransport(p, network{openFor: openFor, patient: patient, conns: conns, dialLimit: time.Second})
}

// BreakersLeft asks for n breakers of different origins and returns how many there
// are in the end.
func BreakersLeft(t *Transport, n int) int {
	for i := range n {
		t.breakers.of(breakerKey{"", "http", strconv.Itoa(i)}, time.Unix(int64(i), 0))
	}
	return len(t.breakers.all)
}

const MaxBreakers = maxBreakers

var (
	RetryAfter    = httperr.RetryAfter
	NextLink      = nextLink
	DecodeBase64  = decodeBase64
	DecodeDataURL = decodeDataURL
	AppendPair    = appendPair
)

// SetClock sets the time by which the tool's access tokens expire.
func SetClock(t *Tool, now func() time.Time) { t.request.auth.oauth.tokens.now = now }

// Tokens is how many access tokens the tool keeps.
func Tokens(t *Tool) int {
	c := t.request.auth.oauth.tokens
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tokens)
}

const MaxTokens = maxTokens

func CheckURL(t *Transport, u *url.URL) error { return t.policy.checkURL(u) }

func ParsePath(text string) (find func(any) (any, bool), shown, message string) {
	p, message := parsePath(text)
	return p.find, p.String(), message
}

func ErrorMessage(contentType string, body []byte) (message, code string) {
	return errorMessage(&reply{status: 400, header: map[string][]string{"Content-Type": {contentType}}, body: body})
}

// Mapped is what a mapping makes of a body, read by the quick way (nil where that
// leaves it to the other) and by the thorough one.
func Mapped(m ResponseMapping, contentType string, body []byte) (quick, thorough []byte, faults []errclass.FieldError) {
	c := newCompiler(nil)
	t := &Tool{mapping: c.mapping(&m)}
	if len(c.faults) > 0 || t.mapping == nil {
		return nil, nil, c.faults
	}
	r := &reply{status: 200, header: map[string][]string{"Content-Type": {contentType}}, body: body}
	if value, ok := t.picked(r); ok {
		quick = value
	}
	if decoded, failure := decoded(r); failure == nil {
		if v, failure := t.mapping.apply(decoded, r); failure == nil {
			thorough, _ = marshal(v)
		}
	}
	return quick, thorough, nil
}

// Address is the URL that a tool would call, nil where it wouldn't.
func Address(t *Tool, parameters map[string]any) *url.URL {
	req, err := t.request.build(&expression.Scope{Parameters: parameters}, "")
	if err != nil {
		return nil
	}
	return req.url
}
