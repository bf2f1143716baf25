package access

import (
	"crypto/sha256"
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
	// maxHeld bounds how many credentials that held are remembered.
	maxHeld = 65_536
	// heldFor is how long a credential that held for an address passes the brake.
	heldFor = time.Hour
)

// brake slows down addresses that send credentials which don't hold. A check that is
// under way when the brake falls still ends: what it found out, where it failed, is
// told as 429.
type brake struct {
	failures  int
	addresses *otter.Cache[netip.Prefix, *rate.Limiter] // only those that failed
	passes    *otter.Cache[pass, struct{}]
}

// pass is a credential that held for an address.
type pass struct {
	from netip.Prefix
	sum  [sha256.Size]byte
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

// wait is how long until from may try c; mostly zero.
func (b *brake) wait(from netip.Prefix, c credential, now time.Time) time.Duration {
	l, ok := b.addresses.GetIfPresent(from)
	if !ok {
		return 0
	}
	wait := untilOne(l, now)
	if wait == 0 {
		return 0
	}
	// Reading a pass prolongs it, which is right: it holds again, or failed takes it.
	if _, ok := b.passes.GetIfPresent(pass{from, c.sum}); ok {
		return 0
	}
	return wait
}

// held remembers that c held.
func (b *brake) held(from netip.Prefix, c credential) {
	p := pass{from, c.sum}
	if _, ok := b.passes.GetIfPresent(p); !ok {
		b.passes.Set(p, struct{}{})
	}
}

// failed spends one failure of from; where none is left, it returns how long until
// there is.
func (b *brake) failed(from netip.Prefix, c credential, now time.Time) time.Duration {
	b.passes.Invalidate(pass{from, c.sum})
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
