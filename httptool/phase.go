package httptool

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/almyty-inc/toolrun/errclass"
)

// phase is how far the current request has come. Connections may be dialled on
// behalf of a request that then takes another, so it only ever advances.
type phase struct {
	at    atomic.Int32
	dials atomic.Int32
	trace httptrace.ClientTrace
}

const (
	phaseWaiting int32 = iota // for a connection of the pool
	phaseDNS
	phaseConnect
	phaseTLS
	phaseHeaders
	phaseBody
)

func (p *phase) advance(to int32) {
	for {
		now := p.at.Load()
		if now >= to || p.at.CompareAndSwap(now, to) {
			return
		}
	}
}

type phaseKey struct{}

// under is the context of a request whose phase p follows: net/http tells of the
// handshake and the connection, the [guardedDialer] of what comes before.
func (p *phase) under(ctx context.Context) context.Context {
	p.trace.TLSHandshakeStart = func() { p.advance(phaseTLS) }
	p.trace.GotConn = func(httptrace.GotConnInfo) { p.advance(phaseHeaders) }
	return context.WithValue(httptrace.WithClientTrace(ctx, &p.trace), phaseKey{}, p)
}

// phaseOf is the phase of the request that a connection is dialled for.
func phaseOf(ctx context.Context) *phase {
	if p, ok := ctx.Value(phaseKey{}).(*phase); ok {
		return p
	}
	return new(phase)
}

func (p *phase) describe() (errclass.Reason, string) {
	switch p.at.Load() {
	case phaseDNS:
		return errclass.PhaseDNS, "no answer from the resolver about"
	case phaseTLS:
		return errclass.PhaseTLS, "no TLS handshake with"
	case phaseHeaders:
		return errclass.PhaseHeaders, "no response headers from"
	case phaseBody:
		return errclass.PhaseBody, "no complete response body from"
	}
	return errclass.PhaseConnect, "no connection to"
}
