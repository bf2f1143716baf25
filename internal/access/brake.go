package access

import (
	"math"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

const (
	// maxAddresses bounds how many addresses that failed are remembered; those that
	// are long unseen are forgotten first.
	maxAddresses = 100_000
	// addressIdle is after when an address has regained all its failures.
	addressIdle = time.Minute
	// maxHeld bounds how many subjects of tokens that held are remembered.
	maxHeld = 65_536
	// heldFor is how long a subject whose token held for an address passes the brake.
	heldFor = time.Hour
)

// brake slows down addresses that send credentials which don't hold, not others behind the
// same address: one who guesses would lock out all of an office, or of a proxy that isn't
// known as one. So credentials are checked all the same. What holds is turned away only
// where it may be a guess come true.
type brake struct {
	failures  int
	addresses *otter.Cache[netip.Prefix, *rate.Limiter] // only those that failed
	passes    *otter.Cache[pass, struct{}]
}

// pass is a caller whose token held for an address.
type pass struct {
	from   netip.Prefix
	caller string
}

func newBrake(failures int, now func() time.Time) *brake {
	var c otter.Clock
	if now != nil {
		c = clock(now)
	}
	return &brake{
		failures: failures,
		addresses: otter.Must(&otter.Options[netip.Prefix, *rate.Limiter]{
			MaximumSize: maxAddresses, ExpiryCalculator: otter.ExpiryAccessing[netip.Prefix, *rate.Limiter](addressIdle), Clock: c,
		}),
		passes: otter.Must(&otter.Options[pass, struct{}]{
			MaximumSize: maxHeld, ExpiryCalculator: otter.ExpiryAccessing[pass, struct{}](heldFor), Clock: c,
		}),
	}
}

func (b *brake) close() {
	b.addresses.StopAllGoroutines()
	b.passes.StopAllGoroutines()
}

// held is how long until from may know that a credential of p holds; mostly zero.
func (b *brake) held(from netip.Prefix, p *Principal, now time.Time) time.Duration {
	if !p.guessable {
		return 0
	}
	known := pass{from, p.ID}
	if _, ok := b.passes.GetIfPresent(known); ok { // which prolongs it
		return 0
	}
	if wait := b.wait(from, now); wait > 0 {
		return wait
	}
	b.passes.Set(known, struct{}{})
	return 0
}

// wait is how long until from has a failure left; mostly zero.
func (b *brake) wait(from netip.Prefix, now time.Time) time.Duration {
	l, ok := b.addresses.GetIfPresent(from)
	if !ok {
		return 0
	}
	return untilOne(l, now)
}

// failed spends one failure of from; where none is left, it returns how long until
// there is.
func (b *brake) failed(from netip.Prefix, now time.Time) time.Duration {
	l, _ := b.addresses.ComputeIfAbsent(from, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Limit(float64(b.failures)/time.Minute.Seconds()), b.failures), false
	})
	if l.AllowN(now, 1) {
		return 0
	}
	return max(untilOne(l, now), time.Millisecond)
}

// untilOne is how long until l has one to spend, rounded up so that it has by then.
func untilOne(l *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - l.TokensAt(now)
	if missing <= 1e-9 { // a limiter counts in floating point
		return 0
	}
	return time.Duration(math.Ceil(missing/float64(l.Limit())*1000)) * time.Millisecond
}

// neighbourhood is what one customer of a network has: an IPv4 address, or a /64 of
// IPv6. Callers without an address, as of a Unix socket, are one.
func neighbourhood(address netip.Addr) netip.Prefix {
	address = address.Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits) // invalid only where address is
	return prefix
}

// clock makes a function the clock of a cache, without ticks: what is over is found
// so when it is asked for.
type clock func() time.Time

func (c clock) NowNano() int64                      { return c().UnixNano() }
func (c clock) Tick(time.Duration) <-chan time.Time { return nil }
