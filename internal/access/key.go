package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/almyty-inc/toolrun/errclass"
)

// Key is an API key as it is stored: the secret itself is not.
type Key struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Organization is whose key it is, or [EveryOrganization].
	Organization string `json:"organization"`
	Role         Role   `json:"role"`
	// Tools are the ids or names of the only tools that the key is for. Empty: all.
	Tools []string `json:"tools,omitempty"`
	// RequestsPerMinute is the key's own limit; zero for none.
	RequestsPerMinute int       `json:"requestsPerMinute,omitzero"`
	CreatedAt         time.Time `json:"createdAt,omitzero"`
	// ExpiresAt is when the key ends to hold; zero for never.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// RevokedAt is when the key was revoked: it doesn't hold once this is set.
	RevokedAt time.Time `json:"revokedAt,omitzero"`
	// Hash is the SHA-256 of the secret in lower-case hexadecimal. Keep it inside.
	Hash string `json:"hash,omitempty"`
	// Hint is the end of the secret, by which people tell their keys apart.
	Hint string `json:"hint,omitempty"`
}

// EveryOrganization is the Organization of a [Key] for all of them: the platform's own.
// No organization can be called so.
const EveryOrganization = "*"

// Keys finds the key whose secret has a hash, revoked ones too.
type Keys interface {
	KeyByHash(hash string) (Key, bool)
}

const (
	keyPrefix = "ak_live_"
	// keyDigits of base62 carry 256 bits.
	keyDigits = 43
	base62    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	keyHint   = 4

	maxKeyTools          = 1000
	maxName              = 128 // of a key or an organization, in bytes
	maxRequestsPerMinute = 1_000_000_000
)

var toolName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// NewKey completes a key that has a name, an organization and a role, and returns it
// with its secret, which nobody can find out again. The error is an
// [*errclass.APIError] (422) that lists all faults.
func NewKey(k Key) (Key, string, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if faults := k.faults(now); len(faults) > 0 {
		e := errclass.NewAPIError(errclass.CodeValidation, "Invalid key: %s %s", strings.TrimPrefix(faults[0].Field, "/"), faults[0].Message)
		e.Fields = faults
		return Key{}, "", e
	}
	secret := newSecret()
	hash := sha256.Sum256([]byte(secret))
	k.ID = uuid.NewString()
	k.Hash = hex.EncodeToString(hash[:])
	k.Hint = secret[len(secret)-keyHint:]
	k.CreatedAt, k.RevokedAt = now, time.Time{}
	return k, secret, nil
}

func (k *Key) faults(now time.Time) (faults []errclass.FieldError) {
	fault := func(field, message string) {
		faults = append(faults, errclass.FieldError{Field: field, Message: message})
	}
	if !validName(k.Name) {
		fault("/name", nameRule)
	}
	if !validName(k.Organization) {
		fault("/organization", nameRule)
	}
	if _, err := ParseRole(string(k.Role)); err != nil {
		fault("/role", fmt.Sprintf("must be %s, %s or %s", Viewer, Member, Admin))
	}
	if k.Tools != nil && len(k.Tools) == 0 { // it would read as all tools, and can't have been meant so
		fault("/tools", "must name one at least, or be left out: the key is for all tools then")
	}
	if len(k.Tools) > maxKeyTools {
		fault("/tools", fmt.Sprintf("must be at most %d", maxKeyTools))
	}
	for i, tool := range k.Tools[:min(len(k.Tools), maxKeyTools)] {
		if !toolName.MatchString(tool) {
			fault(fmt.Sprintf("/tools/%d", i), "must be 1 to 64 of the characters A-Z, a-z, 0-9, _ and -")
		}
	}
	if k.RequestsPerMinute < 0 || k.RequestsPerMinute > maxRequestsPerMinute {
		fault("/requestsPerMinute", fmt.Sprintf("must be 0 (no limit) to %d", maxRequestsPerMinute))
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		fault("/expiresAt", "must lie in the future")
	}
	return faults
}

const nameRule = "must be 1 to 128 bytes of UTF-8 without control characters"

func validName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !hasControl(name)
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// newSecret draws each digit evenly: bytes past the last whole multiple of 62 are
// thrown away.
func newSecret() string {
	secret := make([]byte, 0, len(keyPrefix)+keyDigits)
	secret = append(secret, keyPrefix...)
	var random [2 * keyDigits]byte
	for {
		_, _ = rand.Read(random[:]) // never fails: the program ends instead
		for _, b := range random {
			if b >= 256/62*62 {
				continue
			}
			secret = append(secret, base62[b%62])
			if len(secret) == cap(secret) {
				return string(secret)
			}
		}
	}
}

// ofKey finds the key of a credential. The search is by hash, so that how long it
// takes tells nothing about the secret.
func (a *Authenticator) ofKey(c credential) (*Principal, error) {
	if a.keys == nil {
		return nil, errors.New("API keys are not configured")
	}
	if len(c.secret) != len(keyPrefix)+keyDigits || !strings.HasPrefix(c.secret, keyPrefix) {
		return nil, errors.New("not an API key by its form")
	}
	hash := hex.EncodeToString(c.sum[:])
	k, ok := a.keys.KeyByHash(hash)
	if !ok || subtle.ConstantTimeCompare([]byte(k.Hash), []byte(hash)) != 1 {
		return nil, errors.New("unknown API key")
	}
	if err := k.holds(a.now()); err != nil {
		return nil, fmt.Errorf("API key %s %w", k.ID, err)
	}
	p := &Principal{ID: "key:" + k.ID, Tools: k.Tools, Key: &k}
	if k.Organization == EveryOrganization {
		p.Any = k.Role
	} else {
		p.Organizations = map[string]Role{k.Organization: k.Role}
	}
	return p, nil
}

// holds distrusts what is stored, too: a record that was cut or mangled opens nothing.
func (k *Key) holds(now time.Time) error {
	switch {
	case !k.RevokedAt.IsZero():
		return errors.New("is revoked")
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return errors.New("has expired")
	case k.ID == "" || !validName(k.Organization):
		return errors.New("has no id or no organization")
	}
	_, err := ParseRole(string(k.Role))
	return err
}
