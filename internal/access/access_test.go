package access_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
)

func TestOptionsAreChecked(t *testing.T) {
	for _, tc := range []struct {
		name  string
		opts  access.Options
		error string
	}{
		{"negative failures", access.Options{Failures: -1}, "access: Failures must be 0 (for 20) to 1000000, not -1"},
		{"too many failures", access.Options{Failures: 1_000_001}, "access: Failures must be 0 (for 20) to 1000000, not 1000001"},
		{"short secret", access.Options{JWT: access.JWTOptions{Secret: secret[:31]}}, "access: JWT.Secret must have at least 32 bytes, not 31"},
		{"negative leeway", access.Options{JWT: access.JWTOptions{Secret: secret, Leeway: -1}}, "access: JWT.Leeway must be 0 (for 10s) to 5m0s, not -1ns"},
		{"much leeway", access.Options{JWT: access.JWTOptions{Secret: secret, Leeway: 301 * time.Second}}, "access: JWT.Leeway must be 0 (for 10s) to 5m0s, not 5m1s"},
		{"plain http", access.Options{JWT: access.JWTOptions{JWKS: "http://example.com/jwks"}}, "access: JWT.JWKS: must be an https URL; http is for localhost, 127.0.0.1 and [::1] only"},
		{"loopback in the name only", access.Options{JWT: access.JWTOptions{JWKS: "http://127.0.0.1.example.com/"}}, "access: JWT.JWKS: must be an https URL; http is for localhost, 127.0.0.1 and [::1] only"},
		{"another scheme", access.Options{JWT: access.JWTOptions{JWKS: "ftp://localhost/jwks"}}, "access: JWT.JWKS: must be an https URL; http is for localhost, 127.0.0.1 and [::1] only"},
		{"no host", access.Options{JWT: access.JWTOptions{JWKS: "https://"}}, "access: JWT.JWKS: must be an https URL or a file"},
		{"password", access.Options{JWT: access.JWTOptions{JWKS: "https://a:hunter2@example.com/"}}, "access: JWT.JWKS: must be a URL without user and password"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := access.New(t.Context(), tc.opts)
			require.EqualError(t, err, tc.error)
			require.Nil(t, a)
		})
	}
}

func TestZeroOptionsLetNobodyIn(t *testing.T) {
	a := open(t, access.Options{})
	_, key := new(store).add(t, access.Key{})
	for _, secret := range []string{key, hs256(t, claims(nil)), "x"} {
		p, err := a.Authenticate(t.Context(), bearer(secret), home)
		e := refused(t, p, err)
		require.Equal(t, "Invalid or expired token", e.Message)
		require.Equal(t, errclass.CodeUnauthorized, e.Code)
	}
}

func TestCredentials(t *testing.T) {
	s := &store{}
	k, key := s.add(t, access.Key{})
	a := open(t, access.Options{Keys: s, JWT: access.JWTOptions{Secret: secret}, Failures: 1000})
	jwt := hs256(t, claims(nil))
	long := hs256(t, claims(map[string]any{"padding": strings.Repeat("x", 5000)}))
	const (
		invalid = "Invalid or expired token"
		missing = "Missing credentials: send Authorization: Bearer <API key or token>"
		form    = "Send Authorization: Bearer <API key or token>"
		empty   = "The credential is empty: send Authorization: Bearer <API key or token>"
	)
	for _, tc := range []struct {
		name          string
		authorization []string
		apiKey        []string
		want          string // an ID, or a message
	}{
		{"key", []string{"Bearer " + key}, nil, "key:" + k.ID},
		{"token", []string{"Bearer " + jwt}, nil, "user:ada"},
		{"long token", []string{"Bearer " + long}, nil, "user:ada"},
		{"lower case", []string{"bearer " + key}, nil, "key:" + k.ID},
		{"upper case", []string{"BEARER " + key}, nil, "key:" + k.ID},
		{"several spaces", []string{"Bearer   " + key}, nil, "key:" + k.ID},
		{"X-API-Key", nil, []string{key}, "key:" + k.ID},
		{"a token as X-API-Key", nil, []string{jwt}, invalid},
		{"nothing", nil, nil, missing},
		{"both", []string{"Bearer " + key}, []string{key}, "Send one of Authorization and X-API-Key, not both"},
		{"two keys", nil, []string{key, key}, "Send one Authorization or X-API-Key header, not several"},
		{"two tokens", []string{"Bearer " + jwt, "Bearer " + jwt}, nil, "Send one Authorization or X-API-Key header, not several"},
		{"empty header", []string{""}, nil, form},
		{"empty key header", nil, []string{""}, empty},
		{"scheme only", []string{"Bearer"}, nil, empty},
		{"scheme and spaces", []string{"Bearer   "}, nil, empty},
		{"no scheme", []string{key}, nil, form},
		{"Basic", []string{"Basic " + key}, nil, form},
		{"tab", []string{"Bearer\t" + key}, nil, form},
		{"longer scheme", []string{"Bearers " + key}, nil, form},
		{"list", []string{"Bearer " + key + ", Bearer " + key}, nil, invalid},
		{"something behind", []string{"Bearer " + key + " "}, nil, invalid},
		{"shorter", []string{"Bearer " + key[:len(key)-1]}, nil, invalid},
		{"longer", []string{"Bearer " + key + "0"}, nil, invalid},
		{"other case", []string{"Bearer " + strings.ToUpper(key)}, nil, invalid},
		{"last digit", []string{"Bearer " + key[:len(key)-1] + "!"}, nil, invalid},
		{"unknown key", []string{"Bearer ak_live_" + strings.Repeat("0", 43)}, nil, invalid},
		{"the hash for the key", []string{"Bearer " + k.Hash}, nil, invalid},
		{"at the bound", nil, []string{strings.Repeat("x", 8192)}, invalid},
		{"too long", nil, []string{strings.Repeat("x", 8193)}, "The credential is longer than 8192 bytes"},
		{"zeros", []string{"Bearer \x00\x00"}, nil, invalid},
		{"not UTF-8", []string{"Bearer \xff.\xff.\xff"}, nil, invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			header := http.Header{}
			for _, v := range tc.authorization {
				header.Add("Authorization", v)
			}
			for _, v := range tc.apiKey {
				header.Add("X-API-Key", v)
			}
			p, err := a.Authenticate(t.Context(), header, home)
			if err == nil {
				require.Equal(t, tc.want, p.ID)
				return
			}
			e := refused(t, p, err)
			require.Equal(t, tc.want, e.Message)
			require.Equal(t, http.StatusUnauthorized, e.StatusCode())
		})
	}
}

func TestRoles(t *testing.T) {
	order := []access.Role{"", access.Viewer, access.Member, access.Admin}
	for i, has := range order {
		for j, need := range order {
			require.Equal(t, j > 0 && i >= j, has.Allows(need), "%q for %q", has, need)
		}
		require.False(t, has.Allows("owner"))
		require.False(t, access.Role("owner").Allows(has))
		role, err := access.ParseRole(string(has))
		require.Equal(t, i > 0, err == nil)
		require.Equal(t, has, role)
	}
	for _, name := range []string{"Admin", "admin ", "owner"} {
		role, err := access.ParseRole(name)
		require.EqualError(t, err, "the role must be viewer, member or admin")
		require.Empty(t, role)
	}
}

func TestPrincipal(t *testing.T) {
	p := &access.Principal{Organizations: map[string]access.Role{"acme": access.Viewer}, Tools: []string{"a", "b"}}
	role, ok := p.RoleIn("acme")
	require.True(t, ok)
	require.Equal(t, access.Viewer, role)
	role, ok = p.RoleIn("ACME")
	require.False(t, ok)
	require.Empty(t, role)
	require.True(t, p.MayUse("b"))
	require.False(t, p.MayUse("c"))
	require.False(t, p.MayUse(""))

	role, ok = access.Anonymous().RoleIn("anything")
	require.True(t, ok)
	require.Equal(t, access.Admin, role)
	require.True(t, access.Anonymous().MayUse("c"))

	var nobody access.Principal
	_, ok = nobody.RoleIn("")
	require.False(t, ok)
}

// The log has the reason, which the answer doesn't tell, and neither has the
// credential.
func TestLogHasNoCredential(t *testing.T) {
	var log bytes.Buffer
	s := &store{}
	k, key := s.add(t, access.Key{})
	k.RevokedAt = start
	s.put(k)
	a := open(t, access.Options{
		Keys: s, JWT: access.JWTOptions{Secret: secret},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	for _, tc := range []struct{ secret, reason string }{
		{key, "is revoked"},
		{hs256(t, claims(map[string]any{"exp": "hunter2"})), "claims of wrong types"},
		{hs256(t, claims(map[string]any{"role": "hunter2"})), "an unknown role"},
		{hs256(t, claims(map[string]any{"exp": start.Unix() - 60})), "token is expired"},
		{forged(hs256(t, claims(nil)), claims(map[string]any{"sub": "hunter2"})), "signature is invalid"},
		{"hunter2.hunter2.hunter2", "could not"},
	} {
		log.Reset()
		p, err := a.Authenticate(t.Context(), bearer(tc.secret), netip.MustParseAddr("2001:db8::1"))
		e := refused(t, p, err)
		require.Equal(t, "Invalid or expired token", e.Message)
		require.Contains(t, log.String(), tc.reason)
		require.Contains(t, log.String(), "address=2001:db8::1")
		for _, part := range append(strings.Split(tc.secret, "."), "hunter2") {
			require.NotContains(t, log.String(), part)
		}
	}
}
