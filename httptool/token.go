package httptool

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	// maxTokens bounds how many access tokens a tool keeps.
	maxTokens = 1000
	// defaultTokenLife is how long a token is used whose life the token endpoint
	// doesn't tell, and longestTokenLife how long any is.
	defaultTokenLife = 5 * time.Minute
	longestTokenLife = 24 * time.Hour
	// renewBefore, or a tenth of its life where that is less, is how long before
	// it expires a token is replaced.
	renewBefore = 30 * time.Second
	// newToken is the age up to which a token that is refused is not taken for a
	// revoked one: to fetch another wouldn't help, and a target that answers 401
	// for reasons of its own would have the token endpoint asked at every call.
	newToken = 5 * time.Second
)

// accessToken is what a token endpoint issued.
type accessToken struct {
	value   string
	fetched time.Time
	renew   time.Time // when it is to be replaced
}

// tokenKey stands for all that a token was asked for with, secret included.
type tokenKey [sha256.Size]byte

// tokenCache holds the access tokens of one tool. It is safe for concurrent use.
type tokenCache struct {
	now func() time.Time

	mu      sync.Mutex
	tokens  map[tokenKey]accessToken
	flights map[tokenKey]*flight
}

// flight is a token request under way, made by one run for all that wait for it.
type flight struct {
	phase *phase // how far it has come
	done  chan struct{}

	// Set before done is closed.
	token     accessToken
	failure   *errclass.Error
	abandoned bool // the run that made it ended: it says nothing to the others
}

func newTokenCache() *tokenCache {
	return &tokenCache{now: time.Now, tokens: map[tokenKey]accessToken{}, flights: map[tokenKey]*flight{}}
}

// join returns a token other than the refused one or, where there is none, the
// flight that fetches it; leads says that it is for the caller to make.
func (c *tokenCache) join(key tokenKey, refused string) (token accessToken, f *flight, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token, ok := c.tokens[key]; ok && token.value != refused && c.now().Before(token.renew) {
		return token, nil, false
	}
	if f := c.flights[key]; f != nil {
		return accessToken{}, f, false
	}
	f = &flight{phase: new(phase), done: make(chan struct{}), abandoned: true}
	c.flights[key] = f
	return accessToken{}, f, true
}

// land ends a flight. A failure is for those who wait and is forgotten then.
func (c *tokenCache) land(key tokenKey, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, key)
	if f.token.value != "" {
		if _, known := c.tokens[key]; !known && len(c.tokens) >= maxTokens {
			c.evict()
		}
		c.tokens[key] = f.token
	}
	close(f.done)
}

// evict makes room by dropping the token that is to be replaced first.
func (c *tokenCache) evict() {
	var first tokenKey
	var earliest time.Time
	for key, token := range c.tokens {
		if earliest.IsZero() || token.renew.Before(earliest) {
			first, earliest = key, token.renew
		}
	}
	delete(c.tokens, first)
}

// issued is a token that lives for so many seconds; 0 where that is unknown.
func (c *tokenCache) issued(value string, seconds float64) accessToken {
	life := defaultTokenLife
	if seconds > 0 {
		life = time.Duration(min(seconds, longestTokenLife.Seconds()) * float64(time.Second))
	}
	now := c.now()
	return accessToken{value, now, now.Add(life - min(renewBefore, life/10))}
}

// isNew reports whether a token was fetched a moment ago.
func (c *tokenCache) isNew(token accessToken) bool { return c.now().Sub(token.fetched) < newToken }
