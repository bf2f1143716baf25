package access_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	secret = []byte("0123456789abcdef0123456789abcdef")
	home   = netip.MustParseAddr("192.0.2.1")
)

// clock is a time that tests set forward.
type clock struct{ since atomic.Int64 }

func (c *clock) now() time.Time          { return start.Add(time.Duration(c.since.Load())) }
func (c *clock) forward(d time.Duration) { c.since.Add(int64(d)) }

func open(t testing.TB, opts access.Options) *access.Authenticator {
	t.Helper()
	if opts.Now == nil {
		opts.Now = new(clock).now
	}
	a, err := access.New(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func bearer(secret string) http.Header {
	return http.Header{"Authorization": {"Bearer " + secret}}
}

// refused is the APIError of an Authenticate that must have one.
func refused(t testing.TB, p *access.Principal, err error) *errclass.APIError {
	t.Helper()
	require.Nil(t, p)
	var e *errclass.APIError
	require.ErrorAs(t, err, &e)
	return e
}

// store is the keys by hash.
type store struct {
	mu   sync.Mutex
	keys map[string]access.Key
}

func (s *store) KeyByHash(hash string) (access.Key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[hash]
	return k, ok
}

func (s *store) put(k access.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]access.Key{}
	}
	s.keys[k.Hash] = k
}

// add makes a key of acme.
func (s *store) add(t testing.TB, k access.Key) (access.Key, string) {
	t.Helper()
	k.Name, k.Organization = "ci", "acme"
	if k.Role == "" {
		k.Role = access.Member
	}
	k, secret, err := access.NewKey(k)
	require.NoError(t, err)
	s.put(k)
	return k, secret
}

// The keys of the issuers, made once.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return rsaOf(2048) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return rsaOf(2048) })
	weakRSA  = sync.OnceValue(func() *rsa.PrivateKey { return rsaOf(1024) })
	p256     = sync.OnceValue(func() *ecdsa.PrivateKey { return ecdsaOf(elliptic.P256()) })
	otherEC  = sync.OnceValue(func() *ecdsa.PrivateKey { return ecdsaOf(elliptic.P256()) })
	p384     = sync.OnceValue(func() *ecdsa.PrivateKey { return ecdsaOf(elliptic.P384()) })
	p521     = sync.OnceValue(func() *ecdsa.PrivateKey { return ecdsaOf(elliptic.P521()) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return must(ed25519.GenerateKey(rand.Reader)) })
)

func must[P, K any](_ P, k K, err error) K {
	if err != nil {
		panic(err)
	}
	return k
}

func rsaOf(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	return must(0, k, err)
}
func ecdsaOf(c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	return must(0, k, err)
}

// jwk is a key of a JWKS with members set or, by nil, taken out.
func jwk(t testing.TB, key any, kid string, change map[string]any) map[string]any {
	t.Helper()
	k, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
		Marshal:  jwkset.JWKMarshalOptions{Private: true},
		Metadata: jwkset.JWKMetadataOptions{KID: kid},
	})
	require.NoError(t, err)
	text, err := json.Marshal(k.Marshal())
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(text, &m))
	return changed(m, change)
}

func changed(m, change map[string]any) map[string]any {
	m = maps.Clone(m)
	for name, value := range change {
		if value == nil {
			delete(m, name)
			continue
		}
		m[name] = value
	}
	return m
}

func jwks(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	if keys == nil {
		keys = []map[string]any{}
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	return string(text)
}

// issuer is an endpoint with a JWKS.
type issuer struct {
	*httptest.Server
	asked  atomic.Int32
	status atomic.Int32
	text   atomic.Pointer[string]
	block  atomic.Pointer[chan struct{}] // answers wait for it, where it is set
}

func newIssuer(t testing.TB, text string) *issuer {
	t.Helper()
	i := &issuer{}
	i.serve(text)
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) serve(text string) {
	i.text.Store(&text)
	i.status.Store(http.StatusOK)
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, text := i.status.Load(), *i.text.Load()
	i.asked.Add(1)
	if block := i.block.Load(); block != nil {
		select {
		case <-*block:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(int(status))
	_, _ = w.Write([]byte(text))
}

// claims of a token that holds, with members set or, by nil, taken out.
func claims(change map[string]any) string {
	text, err := json.Marshal(changed(map[string]any{
		"iss": "almyty", "aud": "almyty-api", "sub": "ada", "exp": start.Add(5 * time.Minute).Unix(),
		"organizationId": "acme", "role": "member",
	}, change))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// token signs header and claims, whatever they are.
func token(t testing.TB, method jwt.SigningMethod, key any, header, claims string) string {
	t.Helper()
	signed := b64(header) + "." + b64(claims)
	signature, err := method.Sign(signed, key)
	require.NoError(t, err)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func hs256(t testing.TB, claims string) string {
	t.Helper()
	return token(t, jwt.SigningMethodHS256, secret, `{"alg":"HS256","typ":"JWT"}`, claims)
}

func es256(t testing.TB, key *ecdsa.PrivateKey, kid, claims string) string {
	t.Helper()
	return token(t, jwt.SigningMethodES256, key, `{"alg":"ES256","kid":"`+kid+`"}`, claims)
}

// forged is a token with other claims under the same signature.
func forged(token, claims string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + b64(claims) + "." + parts[2]
}

func jsonText(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
