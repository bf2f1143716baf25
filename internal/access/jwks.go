package access

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	// refreshEvery is when keys are read again unasked: so long a key that was
	// withdrawn may still hold.
	refreshEvery = 5 * time.Minute
	// renewEvery bounds how often tokens of unknown keys make them be read.
	renewEvery = 5 * time.Second
	// fetchTimeout bounds one reading.
	fetchTimeout = 5 * time.Second
	maxJWKS      = 1 << 20 // bytes
	maxKeys      = 100

	minRSA, maxRSA = 2048, 8192 // bits
)

var publicMethods = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}

// keySet is a JWKS that is read again and again. Where it can't be, what was read
// last stays.
type keySet struct {
	where   string // for the log
	load    func(context.Context) ([]byte, error)
	now     func() time.Time
	log     *slog.Logger
	current atomic.Pointer[snapshot] // nil before the first
	renewal *rate.Limiter

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	reading chan struct{} // closed when the reading under way is over; nil when none is
}

// snapshot is the keys of one reading.
type snapshot struct {
	text []byte
	keys []publicKey
}

type publicKey struct {
	kid     string
	key     any
	methods []string // for which of publicMethods
}

// find returns the keys for a method that have a kid, or all for it where kid is "".
// It works on nil.
func (s *snapshot) find(kid, method string) (found []jwt.VerificationKey) {
	if s == nil {
		return nil
	}
	for _, k := range s.keys {
		if (kid == "" || k.kid == kid) && slices.Contains(k.methods, method) {
			found = append(found, k.key)
		}
	}
	return found
}

// openKeySet reads a file at once, and begins to read a URL.
func openKeySet(ctx context.Context, source string, transport http.RoundTripper, now func() time.Time, log *slog.Logger) (*keySet, error) {
	s := &keySet{now: now, log: log, renewal: rate.NewLimiter(rate.Every(renewEvery), 1)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if !strings.Contains(source, "://") {
		s.where, s.load = source, func(context.Context) ([]byte, error) { return readKeyFile(source) }
		if err := s.readFile(); err != nil {
			s.cancel()
			return nil, err
		}
	} else {
		u, err := keyURL(source)
		if err != nil {
			s.cancel()
			return nil, err
		}
		s.where, s.load = u.Scheme+"://"+u.Host+u.Path, fetcher(source, transport)
		s.mu.Lock()
		s.begin()
		s.mu.Unlock()
	}
	s.work.Go(s.refresh)
	return s, nil
}

func (s *keySet) close() {
	s.mu.Lock()
	s.cancel() // after this, none begins
	s.mu.Unlock()
	s.work.Wait()
}

// keyURL checks where keys may come from: nobody on the way may change them.
func keyURL(source string) (*url.URL, error) {
	u, err := url.Parse(source)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("must be an https URL or a file")
	case u.User != nil:
		return nil, errors.New("must be a URL without user and password")
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("must be an https URL; http is for localhost, 127.0.0.1 and [::1] only")
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback() || strings.EqualFold(host, "localhost")
}

// refresh reads the keys from time to time, until the set is closed.
func (s *keySet) refresh() {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			s.mu.Lock()
			if s.reading == nil {
				s.begin()
			}
			s.mu.Unlock()
		}
	}
}

// renew waits for keys that are newer than seen, which may be there already or on
// their way, or has them read, if that wasn't done for anybody just now. It tells
// whether it is worth to look again.
func (s *keySet) renew(ctx context.Context, seen *snapshot) bool {
	s.mu.Lock()
	done := s.reading
	switch {
	case s.current.Load() != seen:
		s.mu.Unlock()
		return true
	case done == nil && (s.ctx.Err() != nil || !s.renewal.AllowN(s.now(), 1)):
		s.mu.Unlock()
		return false
	case done == nil:
		done = s.begin()
	}
	s.mu.Unlock()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// begin reads the keys for all who wait; s.mu is held.
func (s *keySet) begin() (done chan struct{}) {
	done = make(chan struct{})
	s.reading = done
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
		defer cancel()
		if err := s.read(ctx); err != nil && s.ctx.Err() == nil {
			s.log.Warn("JWKS not read; the keys read last stay", slog.String("jwks", s.where), slog.String("error", err.Error()))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reading = nil
		close(done)
	})
	return done
}

func (s *keySet) readFile() error {
	if err := s.read(s.ctx); err != nil {
		return err
	}
	if len(s.current.Load().keys) == 0 {
		return errors.New("the file has no key that can be used: see the log")
	}
	return nil
}

func (s *keySet) read(ctx context.Context) error {
	text, err := s.load(ctx)
	if err != nil {
		return err
	}
	if old := s.current.Load(); old != nil && bytes.Equal(old.text, text) {
		return nil
	}
	keys, err := s.parse(text)
	if err != nil {
		return err
	}
	s.current.Store(&snapshot{text, keys})
	return nil
}

// parse reads a JWK Set. Keys that can't be used are left out: a set may have some
// for other purposes, and one that is bad shouldn't take the others with it.
func (s *keySet) parse(text []byte) (keys []publicKey, err error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
		return nil, errors.New(`not a JWK Set, a JSON object with "keys"`)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("a JWK Set of %d keys; at most %d", len(set.Keys), maxKeys)
	}
	for i, text := range set.Keys {
		key, err := parseKey(text)
		if err != nil {
			s.log.Warn("key of the JWKS not used", slog.String("jwks", s.where), slog.Int("index", i),
				slog.String("kid", key.kid), slog.String("error", err.Error()))
			continue
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// parseKey reads a JWK that checks signatures.
func parseKey(text []byte) (publicKey, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(text, &m); err != nil {
		return publicKey{}, errors.New("not a JWK")
	}
	k := publicKey{kid: m.KID}
	switch {
	case m.KTY == jwkset.KtyOct || m.K != "":
		return k, errors.New("a symmetric key in a public set: whoever reads it can make tokens")
	case m.D+m.P+m.Q+m.DP+m.DQ+m.QI != "" || len(m.OTH) > 0:
		return k, errors.New("a private key in a public set: whoever reads it can make tokens")
	case m.USE != "" && m.USE != jwkset.UseSig, len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return k, errors.New("not for signatures")
	}
	// Certificates are not what the key is trusted for, and x5u is not asked.
	m.X5C, m.X5T, m.X5TS256, m.X5U = nil, "", "", ""
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return k, errors.New("not a valid key of a known kind")
	}
	k.key = jwk.Key()
	if k.methods, err = methodsOf(k.key); err != nil {
		return k, err
	}
	if m.ALG == "" {
		return k, nil
	}
	if !slices.Contains(k.methods, string(m.ALG)) {
		return k, errors.New("its alg is not for keys of its kind, or not supported")
	}
	k.methods = []string{string(m.ALG)}
	return k, nil
}

// methodsOf is what a key may be used for: never anything but its own kind.
func methodsOf(key any) ([]string, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fmt.Errorf("an RSA key of %d bits; %d to %d are safe", bits, minRSA, maxRSA)
		}
		return []string{"RS256", "RS384", "RS512"}, nil
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}, nil
		case 384:
			return []string{"ES384"}, nil
		case 521:
			return []string{"ES512"}, nil
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	}
	return nil, errors.New("a key of a kind that is not supported")
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxJWKS+1))
	if err == nil && len(text) > maxJWKS {
		return nil, fmt.Errorf("larger than %d bytes", maxJWKS)
	}
	return text, err
}

// fetcher reads a URL on a connection of its own each time: it is needed once in
// minutes.
func fetcher(source string, transport http.RoundTripper) func(context.Context) ([]byte, error) {
	if transport == nil {
		transport = &http.Transport{
			DisableKeepAlives: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
			DialContext: (&net.Dialer{Timeout: fetchTimeout}).DialContext,
		}
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // it would leave the URL that was checked
	}}
	return func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return nil, errors.New("not a URL that can be asked")
		}
		req.Header.Set("Accept", "application/jwk-set+json, application/json")
		res, err := client.Do(req)
		if err != nil {
			return nil, withoutURL(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("answered with status %d, not 200", res.StatusCode)
		}
		return readAll(res.Body)
	}
}

// withoutURL drops the URL from an error: its query may hold a secret.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
