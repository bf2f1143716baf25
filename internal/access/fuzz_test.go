package access_test

import (
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
)

// Whatever the header says, it is refused with the one error and without a word of
// itself in it, or it is exactly what was given out.
func FuzzAuthorization(f *testing.F) {
	s := &store{}
	_, key := s.add(f, access.Key{})
	good := hs256(f, claims(nil))
	for _, seed := range []string{
		"", "Bearer", "Bearer " + key, "bearer  " + good, "Bearer " + good + ".", "Bearer ..", "Basic eDp5", key, "Bearer " + key[:20],
		"Bearer " + forged(good, claims(map[string]any{"role": "admin"})),
		"Bearer " + b64(`{"alg":"none"}`) + "." + b64(claims(nil)) + ".",
	} {
		f.Add(seed)
	}
	a := open(f, access.Options{Keys: s, JWT: access.JWTOptions{Secret: secret}})
	f.Fuzz(func(t *testing.T, text string) {
		p, err := a.Authenticate(t.Context(), http.Header{"Authorization": {text}}, elsewhere())
		if err == nil {
			scheme, rest, _ := strings.Cut(text, " ")
			require.True(t, strings.EqualFold(scheme, "bearer"))
			require.Contains(t, []string{key, good}, strings.TrimLeft(rest, " "))
			require.NotEmpty(t, p.ID)
			return
		}
		e := refused(t, p, err)
		require.Equal(t, errclass.CodeUnauthorized, e.Code)
		require.Contains(t, []string{
			"Invalid or expired token", "Send Authorization: Bearer <API key or token>", "The credential is longer than 8192 bytes",
			"The credential is empty: send Authorization: Bearer <API key or token>",
		}, e.Message)
	})
}

// Whatever a signed token says, it makes a caller that belongs somewhere, or none.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		claims(nil), claims(map[string]any{"tools": []string{"a"}}), "{}", "null", "[]", `{"exp":1e400}`, `{"aud":{}}`,
		claims(map[string]any{"organizations": map[string]string{"a": "admin"}, "organizationId": nil, "role": nil}),
	} {
		f.Add(`{"alg":"HS256"}`, seed)
	}
	f.Add(`{"alg":"HS256","typ":"JWT","kid":"x"}`, claims(nil))
	f.Add(`{"alg":"HS256","crit":[]}`, claims(nil))
	a := open(f, access.Options{JWT: access.JWTOptions{Secret: secret}})
	f.Fuzz(func(t *testing.T, header, claims string) {
		p, err := a.Authenticate(t.Context(), bearer(token(t, jwt.SigningMethodHS256, secret, header, claims)), elsewhere())
		if err != nil {
			require.Equal(t, errclass.CodeUnauthorized, refused(t, p, err).Code)
			return
		}
		require.NotEmpty(t, p.ID)
		require.NotEmpty(t, p.Organizations)
		require.Empty(t, p.Any)
		for name, role := range p.Organizations {
			require.NotEmpty(t, name)
			require.True(t, role.Allows(access.Viewer))
		}
	})
}

// elsewhere is another address each time, so that no brake falls.
func elsewhere() netip.Addr {
	n := calls.Add(1)
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

var calls atomic.Uint32
