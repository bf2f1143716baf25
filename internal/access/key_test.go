package access_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
)

func TestNewKey(t *testing.T) {
	before := time.Now().Add(-time.Second)
	given := access.Key{
		ID: "mine", Hash: "mine", Hint: "mine", CreatedAt: start, RevokedAt: start, // are set or cleared
		Name: "ci", Organization: "Ä cme", Role: access.Admin, Tools: []string{"weather"}, RequestsPerMinute: 7,
		ExpiresAt: time.Now().Add(time.Hour),
	}
	k, secret, err := access.NewKey(given)
	require.NoError(t, err)
	require.Regexp(t, `^ak_live_[0-9A-Za-z]{43}$`, secret)
	hash := sha256.Sum256([]byte(secret))
	require.Equal(t, hex.EncodeToString(hash[:]), k.Hash)
	require.True(t, strings.HasSuffix(secret, k.Hint))
	require.Len(t, k.Hint, 4)
	require.Regexp(t, `^[0-9a-f-]{36}$`, k.ID)
	require.True(t, k.CreatedAt.After(before) && k.RevokedAt.IsZero())
	require.Equal(t, given.ExpiresAt, k.ExpiresAt)

	text, err := json.Marshal(k)
	require.NoError(t, err)
	require.NotContains(t, string(text), secret)
	require.NotContains(t, string(text), "revokedAt")
	var back access.Key
	require.NoError(t, json.Unmarshal(text, &back))
	require.True(t, back.ExpiresAt.Equal(k.ExpiresAt))
	back.ExpiresAt, k.ExpiresAt = time.Time{}, time.Time{}
	require.Equal(t, k, back)
}

func TestNewKeyNamesAllFaults(t *testing.T) {
	long := strings.Repeat("x", 129)
	_, secret, err := access.NewKey(access.Key{
		Name: "a\nb", Organization: long, Role: "owner", Tools: []string{"ok", "not ok"}, RequestsPerMinute: -1, ExpiresAt: start,
	})
	require.Empty(t, secret)
	var e *errclass.APIError
	require.ErrorAs(t, err, &e)
	require.Equal(t, 422, e.StatusCode())
	require.Equal(t, "Invalid key: name must be 1 to 128 bytes of UTF-8 without control characters", e.Message)
	var fields []string
	for _, f := range e.Fields {
		fields = append(fields, f.Field)
	}
	require.Equal(t, []string{"/name", "/organization", "/role", "/tools/1", "/requestsPerMinute", "/expiresAt"}, fields)

	ok := access.Key{Name: long[:128], Organization: long[:128], Role: access.Viewer, Tools: make([]string, 1000), RequestsPerMinute: 1e9}
	for i := range ok.Tools {
		ok.Tools[i] = "t"
	}
	_, _, err = access.NewKey(ok)
	require.NoError(t, err)
	for name, change := range map[string]func(*access.Key){
		"no name":         func(k *access.Key) { k.Name = "" },
		"no organization": func(k *access.Key) { k.Organization = "" },
		"no role":         func(k *access.Key) { k.Role = "" },
		"not UTF-8":       func(k *access.Key) { k.Organization = "\xff" },
		"many tools":      func(k *access.Key) { k.Tools = append(k.Tools, "t") },
		"long tool":       func(k *access.Key) { k.Tools = []string{strings.Repeat("x", 65)} },
		"many requests":   func(k *access.Key) { k.RequestsPerMinute++ },
	} {
		k := ok
		change(&k)
		_, _, err := access.NewKey(k)
		require.Error(t, err, name)
	}
}

// Each digit comes about as often as each other: a modulus alone would give the
// first eight a quarter more.
func TestSecretsAreEven(t *testing.T) {
	counts := map[rune]int{}
	seen := map[string]bool{}
	const n = 5000
	for range n {
		_, secret, err := access.NewKey(access.Key{Name: "n", Organization: "o", Role: access.Viewer})
		require.NoError(t, err)
		require.False(t, seen[secret])
		seen[secret] = true
		for _, digit := range secret[len("ak_live_"):] {
			counts[digit]++
		}
	}
	require.Len(t, counts, 62)
	for digit, count := range counts {
		require.InDelta(t, n*43/62, count, n*43/62/9, "%c", digit) // 6.5 standard deviations
	}
}

func TestKeys(t *testing.T) {
	other := strings.Repeat("0", 64)
	for _, tc := range []struct {
		name   string
		change func(*access.Key)
		ok     bool
	}{
		{"as made", func(*access.Key) {}, true},
		{"expires later", func(k *access.Key) { k.ExpiresAt = start.Add(time.Nanosecond) }, true},
		{"expires now", func(k *access.Key) { k.ExpiresAt = start }, false},
		{"revoked", func(k *access.Key) { k.RevokedAt = start.Add(-time.Hour) }, false},
		{"revoked by a clock that is ahead", func(k *access.Key) { k.RevokedAt = start.Add(time.Hour) }, false},
		{"another's hash", func(k *access.Key) { k.Hash = other }, false},
		{"no hash", func(k *access.Key) { k.Hash = "" }, false},
		{"no id", func(k *access.Key) { k.ID = "" }, false},
		{"no organization", func(k *access.Key) { k.Organization = "" }, false},
		{"no role", func(k *access.Key) { k.Role = "" }, false},
		{"unknown role", func(k *access.Key) { k.Role = "owner" }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &store{}
			k, secret := s.add(t, access.Key{Tools: []string{"weather"}, RequestsPerMinute: 3})
			hash := k.Hash
			tc.change(&k)
			s.keys[hash] = k
			p, err := open(t, access.Options{Keys: s}).Authenticate(t.Context(), bearer(secret), home)
			if !tc.ok {
				require.Equal(t, "Invalid or expired token", refused(t, p, err).Message)
				return
			}
			require.NoError(t, err)
			require.Equal(t, &access.Principal{
				ID: "key:" + k.ID, Organizations: map[string]access.Role{"acme": access.Member},
				Tools: []string{"weather"}, Key: &k,
			}, p)
		})
	}
}

func TestRevocationHoldsAtOnce(t *testing.T) {
	s := &store{}
	k, secret := s.add(t, access.Key{})
	a := open(t, access.Options{Keys: s})
	_, err := a.Authenticate(t.Context(), bearer(secret), home)
	require.NoError(t, err)
	k.RevokedAt = start
	s.put(k)
	p, err := a.Authenticate(t.Context(), bearer(secret), home)
	refused(t, p, err)
}
