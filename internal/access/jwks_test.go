package access_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
)

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// withJWKS is an authenticator with keys from somewhere, its clock and its log.
func withJWKS(t testing.TB, source string) (*access.Authenticator, *clock, *logBuffer) {
	t.Helper()
	c, log := &clock{}, &logBuffer{}
	a := open(t, access.Options{
		JWT: access.JWTOptions{JWKS: source}, Now: c.now, Failures: 1000, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	return a, c, log
}

// check tells by its status whether a token holds.
func check(t testing.TB, a *access.Authenticator, token string) int {
	t.Helper()
	p, err := a.Authenticate(t.Context(), bearer(token), home)
	if err == nil {
		return http.StatusOK
	}
	return refused(t, p, err).StatusCode()
}

// A new key is found by its first token, an old one ends with the next reading, and
// tokens of keys that never were make the endpoint be asked once in five seconds.
func TestRotation(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "old", nil)))
	a, c, _ := withJWKS(t, i.URL)
	old, next := es256(t, p256(), "old", claims(nil)), es256(t, otherEC(), "new", claims(nil))
	require.Equal(t, 200, check(t, a, old))
	require.Equal(t, 401, check(t, a, forged(old, claims(map[string]any{"role": "admin"}))))
	require.EqualValues(t, 1, i.asked.Load(), "a bad signature says nothing about the keys")

	i.serve(jwks(t, jwk(t, &p256().PublicKey, "old", nil), jwk(t, &otherEC().PublicKey, "new", nil)))
	require.Equal(t, 200, check(t, a, next))
	require.Equal(t, 200, check(t, a, old))
	require.EqualValues(t, 2, i.asked.Load())

	i.serve(jwks(t, jwk(t, &otherEC().PublicKey, "new", nil)))
	unknown := es256(t, otherEC(), "unknown", claims(nil))
	for range 100 {
		require.Equal(t, 401, check(t, a, unknown))
	}
	c.forward(5*time.Second - time.Millisecond)
	require.Equal(t, 401, check(t, a, unknown))
	require.EqualValues(t, 2, i.asked.Load(), "asked again too early")
	require.Equal(t, 200, check(t, a, old))

	c.forward(time.Millisecond)
	for range 100 {
		require.Equal(t, 401, check(t, a, unknown))
	}
	require.EqualValues(t, 3, i.asked.Load())
	require.Equal(t, 401, check(t, a, old), "a key that was withdrawn")
	require.Equal(t, 200, check(t, a, next))
}

// Where neither keys nor tokens have kids, a signature that fits no key may be that of
// a new one.
func TestRotationWithoutKids(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "", nil)))
	a, _, _ := withJWKS(t, i.URL)
	of := func(method jwt.SigningMethod, key any) string {
		return token(t, method, key, `{"alg":"`+method.Alg()+`"}`, claims(nil))
	}
	require.Equal(t, 200, check(t, a, of(jwt.SigningMethodES256, p256())))
	i.serve(jwks(t, jwk(t, &otherEC().PublicKey, "", nil)))
	require.Equal(t, 200, check(t, a, of(jwt.SigningMethodES256, otherEC())))
	require.Equal(t, 401, check(t, a, of(jwt.SigningMethodES256, p256())))
	require.Equal(t, 401, check(t, a, of(jwt.SigningMethodRS256, rsaKey())))
	require.EqualValues(t, 2, i.asked.Load())
}

func TestOutageKeepsTheLastKeys(t *testing.T) {
	good := jwks(t, jwk(t, &p256().PublicKey, "a", nil))
	many := make([]map[string]any, 101)
	for n := range many {
		many[n] = jwk(t, &otherEC().PublicKey, fmt.Sprint(n), nil)
	}
	i := newIssuer(t, good)
	a, c, log := withJWKS(t, i.URL)
	known, unknown := es256(t, p256(), "a", claims(nil)), es256(t, otherEC(), "b", claims(nil))
	require.Equal(t, 200, check(t, a, known))
	for _, tc := range []struct {
		status      int
		text, error string
	}{
		{500, good, "status 500, not 200"},
		{204, "", "status 204, not 200"},
		{200, "<html>", "not a JWK Set"},
		{200, "", "not a JWK Set"},
		{200, "{}", "not a JWK Set"},
		{200, `{"keys":null}`, "not a JWK Set"},
		{200, `{"keys":[],"keys":[]}`, "not a JWK Set"},
		{200, `{"Keys":[]}`, "not a JWK Set"},
		{200, good[:len(good)-1], "not a JWK Set"},
		{200, jwks(t, many...), "a JWK Set of 101 keys; at most 100"},
		{200, good + strings.Repeat(" ", 1<<20+1-len(good)), "larger than 1048576 bytes"},
	} {
		i.serve(tc.text)
		i.status.Store(int32(tc.status))
		c.forward(5 * time.Second)
		asked := i.asked.Load()
		require.Equal(t, 401, check(t, a, unknown))
		require.Equal(t, asked+1, i.asked.Load())
		require.Equal(t, 200, check(t, a, known), tc.error)
		require.Contains(t, log.String(), tc.error)
	}
	i.serve(strings.Replace(jwks(t, many[:100]...), `"kid":"0"`, `"kid":"b"`, 1))
	c.forward(5 * time.Second)
	require.Equal(t, 200, check(t, a, unknown))
	i.Close()
	c.forward(5 * time.Second)
	require.Equal(t, 401, check(t, a, known))
	require.Equal(t, 200, check(t, a, unknown))
	require.Contains(t, log.String(), "connection refused")
}

// An endpoint that is down keeps no service from starting: its tokens get 503 until
// it answers, and such failures are not counted against anybody.
func TestNeverRead(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	i.status.Store(http.StatusServiceUnavailable)
	c := &clock{}
	s := &store{}
	_, key := s.add(t, access.Key{})
	a := open(t, access.Options{Keys: s, JWT: access.JWTOptions{JWKS: i.URL}, Now: c.now, Failures: 1})
	good := es256(t, p256(), "a", claims(nil))
	for range 5 {
		p, err := a.Authenticate(t.Context(), bearer(good), home)
		e := refused(t, p, err)
		require.Equal(t, 503, e.StatusCode())
		require.Equal(t, 5*time.Second, e.RetryAfter)
		require.Equal(t, "Tokens cannot be checked at the moment. Retry after 5 seconds.", e.Message)
	}
	require.Equal(t, 200, check(t, a, key))
	i.status.Store(http.StatusOK)
	c.forward(5 * time.Second)
	require.Equal(t, 200, check(t, a, good))
}

// Many tokens of a new key at once are answered by one reading, all of them.
func TestRotationUnderLoad(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "old", nil)))
	a, _, _ := withJWKS(t, i.URL)
	require.Equal(t, 200, check(t, a, es256(t, p256(), "old", claims(nil))))
	i.serve(jwks(t, jwk(t, &otherEC().PublicKey, "new", nil)))
	next := es256(t, otherEC(), "new", claims(nil))
	var group sync.WaitGroup
	release := make(chan struct{})
	status := make([]int, 64)
	for n := range status {
		group.Go(func() {
			<-release
			status[n] = check(t, a, next)
		})
	}
	close(release)
	group.Wait()
	for _, s := range status {
		require.Equal(t, 200, s)
	}
	require.EqualValues(t, 2, i.asked.Load())
}

// A call that gives up doesn't take the reading with it, on which others wait; Close
// does.
func TestSlowEndpoint(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	block := make(chan struct{})
	i.block.Store(&block)
	a, _, _ := withJWKS(t, i.URL)
	good := es256(t, p256(), "a", claims(nil))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := a.Authenticate(ctx, bearer(good), home)
	require.Equal(t, 503, refused(t, p, err).StatusCode())
	close(block)
	require.Equal(t, 200, check(t, a, good))
	require.EqualValues(t, 1, i.asked.Load())

	forever := make(chan struct{})
	i.block.Store(&forever)
	b, err := access.New(t.Context(), access.Options{JWT: access.JWTOptions{JWKS: i.URL}})
	require.NoError(t, err)
	closing := time.Now()
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	require.Less(t, time.Since(closing), 4*time.Second, "waited for the timeout")
	require.Equal(t, 503, check(t, b, good))
}

// The reading that a call joins may have begun before its key was there.
func TestJoinedTooLate(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "old", nil)))
	a, c, _ := withJWKS(t, i.URL)
	require.Equal(t, 200, check(t, a, es256(t, p256(), "old", claims(nil))))
	block := make(chan struct{})
	i.block.Store(&block)
	var group sync.WaitGroup
	group.Go(func() { check(t, a, es256(t, p256(), "never", claims(nil))) })
	require.Eventually(t, func() bool { return i.asked.Load() == 2 }, time.Minute, time.Millisecond)
	i.serve(jwks(t, jwk(t, &otherEC().PublicKey, "new", nil)))
	c.forward(5 * time.Second)
	var status int
	group.Go(func() { status = check(t, a, es256(t, otherEC(), "new", claims(nil))) })
	runtime.Gosched() // so that it mostly joins; it must hold either way
	close(block)
	group.Wait()
	require.Equal(t, 200, status)
}

// stuck is an endpoint that answers no request before it is told to; later ones it
// does.
type stuck struct {
	free atomic.Bool
	text string
}

func (s *stuck) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.free.Load() {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(s.text)), Request: r}, nil
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A call waits for new keys no longer than five seconds, and a reading takes no longer.
func TestFetchTimeout(t *testing.T) {
	endpoint := &stuck{text: jwks(t, jwk(t, &p256().PublicKey, "a", nil))}
	good := es256(t, p256(), "a", claims(nil))
	synctest.Test(t, func(t *testing.T) {
		c := &clock{}
		a, err := access.New(t.Context(), access.Options{
			JWT: access.JWTOptions{JWKS: "https://example.com/", Transport: endpoint}, Now: c.now,
		})
		require.NoError(t, err)
		defer a.Close()
		began := time.Now()
		require.Equal(t, 503, check(t, a, good))
		require.Equal(t, 5*time.Second, time.Since(began))
		endpoint.free.Store(true)
		time.Sleep(5 * time.Second) // a reading that this call began ends, too
		synctest.Wait()
		c.forward(5 * time.Second)
		require.Equal(t, 200, check(t, a, good))
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

// The context of New ends with the start of a service, whose keys go on being read.
func TestContextOfNew(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	ctx, cancel := context.WithCancel(t.Context())
	a, err := access.New(ctx, access.Options{JWT: access.JWTOptions{JWKS: i.URL}, Now: new(clock).now})
	require.NoError(t, err)
	defer a.Close()
	require.Equal(t, 200, check(t, a, es256(t, p256(), "a", claims(nil))))
	cancel()
	i.serve(jwks(t, jwk(t, &otherEC().PublicKey, "b", nil)))
	require.Equal(t, 200, check(t, a, es256(t, otherEC(), "b", claims(nil))))
}

// What a redirect leads to was not checked when the URL was.
func TestRedirectIsNotFollowed(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	from := httptest.NewServer(http.RedirectHandler(i.URL, http.StatusFound))
	t.Cleanup(from.Close)
	a, _, log := withJWKS(t, from.URL+"/jwks?key=hunter2")
	require.Equal(t, 503, check(t, a, es256(t, p256(), "a", claims(nil))))
	require.Zero(t, i.asked.Load())
	require.Contains(t, log.String(), "status 302, not 200")
	require.NotContains(t, log.String(), "hunter2")
	from.Close()
	b, _, log := withJWKS(t, from.URL+"/jwks?key=hunter2")
	require.Equal(t, 503, check(t, b, es256(t, p256(), "a", claims(nil))))
	require.Contains(t, log.String(), "connection refused")
	require.NotContains(t, log.String(), "hunter2")
}

func TestTLS(t *testing.T) {
	i := &issuer{}
	i.serve(jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	i.Server = httptest.NewUnstartedServer(i)
	log := &logBuffer{}
	i.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(log, nil), slog.LevelInfo)
	i.StartTLS()
	t.Cleanup(i.Close)
	good := es256(t, p256(), "a", claims(nil))
	a, _, log := withJWKS(t, i.URL)
	require.Equal(t, 503, check(t, a, good), "a certificate that nobody vouches for")
	require.Contains(t, log.String(), "certificate")

	trusting := open(t, access.Options{JWT: access.JWTOptions{JWKS: i.URL, Transport: i.Client().Transport}})
	require.Equal(t, 200, check(t, trusting, good))
}

// Which keys of a set are used. Beside each is a good one, which must stay.
func TestKeysOfASet(t *testing.T) {
	good := jwk(t, &p256().PublicKey, "good", nil)
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	rs, es, hs := jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodHS256
	rsaJWK := func(change map[string]any) map[string]any { return jwk(t, &rsaKey().PublicKey, "k", change) }
	weak := jwk(t, &weakRSA().PublicKey, "k", nil)
	for _, tc := range []struct {
		name   string
		jwk    any
		method jwt.SigningMethod
		key    any
		reason string // empty: used
	}{
		{"RSA", rsaJWK(nil), rs, rsaKey(), ""},
		{"RSA for signatures", rsaJWK(map[string]any{"use": "sig", "key_ops": []string{"verify"}, "alg": "RS256"}), rs, rsaKey(), ""},
		{"foreign members", rsaJWK(map[string]any{"issuer": "me", "nbf": 1}), rs, rsaKey(), ""},
		{"RSA with an x5u that is not asked", rsaJWK(map[string]any{"x5u": "http://127.0.0.1:1/"}), rs, rsaKey(), ""},
		{"a member of another type", rsaJWK(map[string]any{"x": 1}), rs, rsaKey(), "not a JWK"},
		{"weak RSA", weak, rs, weakRSA(), "an RSA key of 1024 bits"},
		{"symmetric", map[string]any{"kty": "oct", "kid": "k", "k": b64(string(secret))}, hs, secret, "a symmetric key in a public set"},
		{"RSA with a symmetric part", rsaJWK(map[string]any{"k": b64(string(secret))}), rs, rsaKey(), "a symmetric key in a public set"},
		{"symmetric with alg", map[string]any{"kty": "oct", "kid": "k", "alg": "HS256", "k": b64(string(secret))}, hs, secret, "a symmetric key"},
		{"private RSA", jwk(t, rsaKey(), "k", nil), rs, rsaKey(), "a private key in a public set"},
		{"private EC", jwk(t, otherEC(), "k", nil), es, otherEC(), "a private key in a public set"},
		{"private Ed25519", jwk(t, edKey(), "k", nil), jwt.SigningMethodEdDSA, edKey(), "a private key in a public set"},
		{"for encryption", rsaJWK(map[string]any{"use": "enc"}), rs, rsaKey(), "not for signatures"},
		{"for signing", rsaJWK(map[string]any{"key_ops": []string{"sign"}}), rs, rsaKey(), "not for signatures"},
		{"for encryption by its alg", rsaJWK(map[string]any{"alg": "RSA-OAEP"}), rs, rsaKey(), "its alg is not for keys of its kind"},
		{"alg none", rsaJWK(map[string]any{"alg": "none"}), rs, rsaKey(), "its alg is not for keys of its kind"},
		{"alg HS256", rsaJWK(map[string]any{"alg": "HS256"}), rs, rsaKey(), "its alg is not for keys of its kind"},
		{"RSA with the alg of another kind", rsaJWK(map[string]any{"alg": "ES256"}), rs, rsaKey(), "its alg is not for keys of its kind"},
		{"RSA without exponent", rsaJWK(map[string]any{"e": nil}), rs, rsaKey(), "not a valid key"},
		{"RSA with exponent 1", rsaJWK(map[string]any{"e": "AQ"}), rs, rsaKey(), "not a valid key"},
		{"RSA with a huge exponent", rsaJWK(map[string]any{"e": "AQAAAAAAAQAB"}), rs, rsaKey(), "not a valid key"},
		{"huge RSA", rsaJWK(map[string]any{"n": b64(strings.Repeat("\xff", 1025))}), rs, rsaKey(), "an RSA key of 8200 bits"},
		{"point off the curve", jwk(t, &otherEC().PublicKey, "k", map[string]any{"y": b64(strings.Repeat("\x01", 32))}), es, otherEC(), "not a valid key"},
		{"P-224", map[string]any{"kty": "EC", "crv": "P-224", "kid": "k", "x": b64(string(p224.X.Bytes())), "y": b64(string(p224.Y.Bytes()))}, es, otherEC(), "not a valid key"},
		{"for key agreement", jwk(t, x25519.PublicKey(), "k", nil), es, otherEC(), "a key of a kind that is not supported"},
		{"no kind", map[string]any{"kid": "k"}, es, otherEC(), "not a valid key"},
		{"not an object", 7, es, otherEC(), "not a JWK"},
		{"null", nil, es, otherEC(), "not a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := jwks(t, good)
			set = strings.Replace(set, `[`, `[`+jsonText(t, tc.jwk)+`,`, 1)
			file := filepath.Join(t.TempDir(), "jwks.json")
			require.NoError(t, os.WriteFile(file, []byte(set), 0o600))
			a, _, log := withJWKS(t, file)
			text := token(t, tc.method, tc.key, `{"alg":"`+tc.method.Alg()+`","kid":"k"}`, claims(nil))
			want := map[bool]int{true: 200, false: 401}[tc.reason == ""]
			require.Equal(t, want, check(t, a, text), log.String())
			require.Contains(t, log.String(), tc.reason)
			require.Equal(t, tc.reason == "", log.String() == "")
			require.NotContains(t, log.String(), b64(string(secret)))
			require.Equal(t, 200, check(t, a, es256(t, p256(), "good", claims(nil))))
		})
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "jwks.json")
	for _, tc := range []struct{ text, error string }{
		{"", "not a JWK Set"},
		{`{"keys":[]}`, "the file has no key that can be used: see the log"},
		{jwks(t, jwk(t, p256(), "private", nil)), "the file has no key that can be used: see the log"},
	} {
		require.NoError(t, os.WriteFile(file, []byte(tc.text), 0o600))
		_, err := access.New(t.Context(), access.Options{JWT: access.JWTOptions{JWKS: file}})
		require.ErrorContains(t, err, tc.error)
	}
	for _, path := range []string{filepath.Join(dir, "none"), dir} {
		_, err := access.New(t.Context(), access.Options{JWT: access.JWTOptions{JWKS: path}})
		require.ErrorContains(t, err, path)
	}

	require.NoError(t, os.WriteFile(file, []byte(jwks(t, jwk(t, &p256().PublicKey, "old", nil))), 0o600))
	a, c, _ := withJWKS(t, file)
	require.Equal(t, 200, check(t, a, es256(t, p256(), "old", claims(nil))))
	require.NoError(t, os.Remove(file))
	require.Equal(t, 401, check(t, a, es256(t, otherEC(), "new", claims(nil))))
	require.Equal(t, 200, check(t, a, es256(t, p256(), "old", claims(nil))))
	require.NoError(t, os.WriteFile(file, []byte(jwks(t, jwk(t, &otherEC().PublicKey, "new", nil))), 0o600))
	c.forward(5 * time.Second)
	require.Equal(t, 200, check(t, a, es256(t, otherEC(), "new", claims(nil))))
}

// A key that was withdrawn ends to hold though no token of an unknown key comes.
func TestRefreshUnasked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, []byte(jwks(t, jwk(t, &p256().PublicKey, "a", nil))), 0o600))
	good := es256(t, p256(), "a", claims(nil))
	synctest.Test(t, func(t *testing.T) {
		a, err := access.New(t.Context(), access.Options{JWT: access.JWTOptions{JWKS: file}, Now: new(clock).now})
		require.NoError(t, err)
		defer a.Close()
		require.NoError(t, os.WriteFile(file, []byte(`{"keys":[]}`), 0o600))
		time.Sleep(5*time.Minute - time.Second)
		synctest.Wait()
		require.Equal(t, 200, check(t, a, good))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 401, check(t, a, good))
	})
}
