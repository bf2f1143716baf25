package access_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
)

// braked is an authenticator with a key, and a way to try credentials from addresses:
// zero where they hold, else the status.
type braked struct {
	*access.Authenticator
	t     testing.TB
	clock *clock
	store *store
	key   access.Key
	good  string
	wait  time.Duration // of the last 429
}

func newBraked(t testing.TB, failures int) *braked {
	b := &braked{t: t, clock: &clock{}, store: &store{}}
	b.key, b.good = b.store.add(t, access.Key{})
	b.Authenticator = open(t, access.Options{
		Keys: b.store, JWT: access.JWTOptions{Secret: secret}, Failures: failures, Now: b.clock.now,
	})
	return b
}

func (b *braked) try(secret, address string) int {
	b.t.Helper()
	p, err := b.Authenticate(b.t.Context(), bearer(secret), netip.MustParseAddr(address))
	if err == nil {
		return http.StatusOK
	}
	e := refused(b.t, p, err)
	b.wait = e.RetryAfter
	return e.StatusCode()
}

// fail uses up the failures of an address.
func (b *braked) fail(n int, address string) {
	b.t.Helper()
	for i := range n {
		require.Equal(b.t, 401, b.try(fmt.Sprintf("wrong%d", i), address))
	}
}

func TestBrake(t *testing.T) {
	b := newBraked(t, 0) // 20
	const bad, other = "198.51.100.1", "198.51.100.2"
	b.fail(20, bad)
	require.Equal(t, 429, b.try("wrong", bad))
	require.Equal(t, 3*time.Second, b.wait)
	require.Equal(t, 429, b.try(hs256(t, claims(nil)), bad), "a right guess is not told")
	require.Equal(t, 200, b.try(b.good, other))
	require.Equal(t, 401, b.try("wrong", other))

	b.clock.forward(3*time.Second - time.Millisecond)
	require.Equal(t, 429, b.try("wrong", bad))
	require.Equal(t, time.Millisecond, b.wait)
	b.clock.forward(time.Millisecond)
	require.Equal(t, 401, b.try("wrong", bad), "one came back")
	require.Equal(t, 429, b.try("wrong", bad))
	b.clock.forward(3 * time.Second)
	require.Equal(t, 200, b.try(b.good, bad))
	require.Equal(t, 200, b.try(b.good, bad), "what holds spends nothing")
	require.Equal(t, 401, b.try("wrong", bad))
	b.clock.forward(time.Minute)
	b.fail(20, bad)
	require.Equal(t, 429, b.try("wrong", bad))
}

func TestBrakeAnswer(t *testing.T) {
	b := newBraked(t, 1)
	b.fail(1, "192.0.2.1")
	p, err := b.Authenticate(t.Context(), bearer("wrong"), home)
	e := refused(t, p, err)
	require.Equal(t, "Rate limit exceeded. Retry after 60 seconds.", e.Message)
	require.Equal(t, time.Minute, e.RetryAfter)
	require.Equal(t, 1, e.RateLimit)
}

// A request without a credential, or one that can't be read as one, guesses nothing.
func TestFormIsNotAGuess(t *testing.T) {
	b := newBraked(t, 1)
	for _, header := range []http.Header{
		{}, {"Authorization": {"Basic x"}}, {"Authorization": {"Bearer a", "Bearer b"}}, {"Authorization": {"Bearer"}},
		{"X-Api-Key": {strings.Repeat("x", 8193)}},
	} {
		p, err := b.Authenticate(t.Context(), header, home)
		require.Equal(t, 401, refused(t, p, err).StatusCode())
	}
	require.Equal(t, 200, b.try(b.good, home.String()))
	b.fail(1, home.String())
}

// What nobody guesses passes the brake at once.
func TestWhoCantHaveGuessedPasses(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	store := &store{}
	key, good := store.add(t, access.Key{})
	b := &braked{t: t, clock: &clock{}, store: store}
	b.Authenticator = open(t, access.Options{Keys: store, JWT: access.JWTOptions{JWKS: i.URL}, Failures: 1, Now: b.clock.now})
	const address = "198.51.100.1"
	require.Equal(t, 200, b.try(es256(t, p256(), "a", claims(nil)), "198.51.100.2")) // the keys are there
	b.fail(1, address)
	require.Equal(t, 429, b.try("wrong", address))
	require.Equal(t, 200, b.try(good, address))
	require.Equal(t, 200, b.try(es256(t, p256(), "a", claims(nil)), address))
	require.Equal(t, 429, b.try("wrong", address), "what holds gives nothing back")

	key.RevokedAt = start
	store.put(key)
	require.Equal(t, 429, b.try(good, address))
}

// Who is braked holds no connection while keys are read anew for tokens that he makes up.
func TestWhoIsBrakedWaitsForNoKeys(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	b := &braked{t: t, clock: &clock{}}
	b.Authenticator = open(t, access.Options{JWT: access.JWTOptions{JWKS: i.URL}, Failures: 1, Now: b.clock.now})
	require.Equal(t, 200, b.try(es256(t, p256(), "a", claims(nil)), "198.51.100.1")) // the keys are there
	b.fail(1, "198.51.100.1")
	block := make(chan struct{})
	i.block.Store(&block)
	defer close(block)
	began := time.Now()
	require.Equal(t, 429, b.try(es256(t, p256(), "unknown", claims(nil)), "198.51.100.1"))
	require.Less(t, time.Since(began), 4*time.Second) // one reading may take 5 s
}

// Of those whose token might be a guess, who was there before goes on, for an hour after
// they last were, also with another token.
func TestWhoHeldPasses(t *testing.T) {
	b := newBraked(t, 2)
	const address = "198.51.100.1"
	block := func() {
		for b.try("wrong", address) != 429 {
		}
	}
	n := 0
	token := func(subject string) string {
		n++ // another each time
		return hs256(t, claims(map[string]any{"sub": subject, "jti": fmt.Sprint(n), "exp": start.Add(24 * time.Hour).Unix()}))
	}
	require.Equal(t, 200, b.try(token("ada"), address))
	block()
	require.Equal(t, 200, b.try(token("ada"), address))
	require.Equal(t, 429, b.try(token("eve"), address))
	require.Equal(t, 429, b.try(token("eve"), address), "and isn't known for that")

	b.clock.forward(time.Hour - time.Second)
	block()
	require.Equal(t, 200, b.try(token("ada"), address), "and is prolonged by that")
	b.clock.forward(time.Hour - time.Second)
	block()
	require.Equal(t, 200, b.try(token("ada"), address))
	b.clock.forward(time.Hour)
	block()
	require.Equal(t, 429, b.try(token("ada"), address))

	// Eve was there, not here.
	b.clock.forward(time.Minute)
	require.Equal(t, 200, b.try(token("eve"), address))
	b.fail(2, "198.51.100.2")
	require.Equal(t, 429, b.try(token("eve"), "198.51.100.2"))
}

// Who waits as long as told is heard, whatever the limit's fractions are.
func TestRetryAfterIsExact(t *testing.T) {
	for _, failures := range []int{1, 7, 13, 19, 23, 60, 997} {
		b := newBraked(t, failures)
		for n := 0; b.try("wrong", "192.0.2.1") != 429; n++ {
			require.Less(t, n, failures)
		}
		for range 50 {
			b.clock.forward(b.wait)
			require.Equal(t, 401, b.try("wrong", "192.0.2.1"), failures)
			for b.try("wrong", "192.0.2.1") != 429 {
			}
		}
	}
}

func TestNeighbourhoods(t *testing.T) {
	for _, tc := range []struct {
		failed, tried string
		same          bool
	}{
		{"198.51.100.1", "198.51.100.1", true},
		{"198.51.100.1", "198.51.100.0", false},
		{"198.51.100.1", "::ffff:198.51.100.1", true},
		{"2001:db8::1", "2001:db8::ffff:0:0:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"::", "::1", true},
		{"0.0.0.0", "::", false},
	} {
		b := newBraked(t, 1)
		b.fail(1, tc.failed)
		require.Equal(t, map[bool]int{true: 429, false: 401}[tc.same], b.try("wrong", tc.tried), "%s then %s", tc.failed, tc.tried)
	}
}

// Callers of a Unix socket have no address, and are one.
func TestNoAddress(t *testing.T) {
	b := newBraked(t, 1)
	for _, want := range []int{401, 429} {
		p, err := b.Authenticate(t.Context(), bearer("wrong"), netip.Addr{})
		require.Equal(t, want, refused(t, p, err).StatusCode())
	}
	require.Equal(t, 401, b.try("wrong", "::"))
}

// However many try at once, no more than the limit are told that they failed, and
// those that hold are never turned away.
func TestBrakeUnderLoad(t *testing.T) {
	b := newBraked(t, 20)
	var group sync.WaitGroup
	var told, slowed, held atomic.Int32
	release := make(chan struct{})
	for n := range 32 {
		group.Go(func() {
			<-release
			for i := range 50 {
				p, err := b.Authenticate(t.Context(), bearer(fmt.Sprintf("wrong%d-%d", n, i)), home)
				if refused(t, p, err).StatusCode() == 401 {
					told.Add(1)
				} else {
					slowed.Add(1)
				}
				if _, err := b.Authenticate(t.Context(), bearer(b.good), home); err == nil {
					held.Add(1)
				}
			}
		})
	}
	close(release)
	group.Wait()
	require.EqualValues(t, 20, told.Load())
	require.EqualValues(t, 32*50-20, slowed.Load())
	require.EqualValues(t, 32*50, held.Load())
}
