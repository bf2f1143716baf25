package access_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
)

func BenchmarkAuthenticate(b *testing.B) {
	s := &store{}
	_, key := s.add(b, access.Key{})
	i := newIssuer(b, jwks(b, jwk(b, &p256().PublicKey, "a", nil)))
	a := open(b, access.Options{Keys: s, JWT: access.JWTOptions{Secret: secret, JWKS: i.URL}})
	for _, c := range []struct{ name, secret string }{
		{"key", key}, {"hs256", hs256(b, claims(nil))}, {"es256", es256(b, p256(), "a", claims(nil))},
	} {
		header := bearer(c.secret)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := a.Authenticate(b.Context(), header, home)
				require.NoError(b, err)
			}
		})
	}
}
