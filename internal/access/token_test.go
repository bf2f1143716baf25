package access_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
)

// What a token's claims must be, with a signature that holds.
func TestClaims(t *testing.T) {
	now := start.Unix()
	is := func(name string, value any) map[string]any { return map[string]any{name: value} }
	organizations := func(value any) map[string]any {
		return map[string]any{"organizations": value, "organizationId": nil, "role": nil}
	}
	acme := map[string]access.Role{"acme": access.Member}
	for _, tc := range []struct {
		name   string
		change map[string]any
		want   *access.Principal // nil: refused
	}{
		{"as usual", nil, &access.Principal{ID: "user:ada", Organizations: acme}},
		{"foreign claims", is("email", "ada@example.com"), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"expired within the leeway", is("exp", now-9), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"expired", is("exp", now-10), nil},
		{"long expired", is("exp", 1), nil},
		{"no exp", is("exp", nil), nil},
		{"exp of part of a second", is("exp", float64(now)+0.5), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"exp in the year 9999", is("exp", 253402300799), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"exp later", is("exp", 253402300800), nil},
		{"exp that overflows", is("exp", math.MaxFloat64), nil},
		{"negative exp", is("exp", -1), nil},
		{"exp as text", is("exp", "99999999999"), nil},
		{"exp as a list", is("exp", []int64{now + 60}), nil},
		{"exp true", is("exp", true), nil},
		{"nbf past", is("nbf", now-1), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"nbf within the leeway", is("nbf", now+10), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"negative nbf", is("nbf", -1), nil},
		{"nbf that overflows", is("nbf", -math.MaxFloat64), nil},
		{"not yet valid", is("nbf", now+11), nil},
		{"nbf as text", is("nbf", "0"), nil},
		{"iat within the leeway", is("iat", now+10), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"iat in the future", is("iat", now+11), nil},
		{"iat as an object", is("iat", map[string]any{}), nil},
		{"no iss", is("iss", nil), nil},
		{"wrong iss", is("iss", "almyty2"), nil},
		{"iss in another case", is("iss", "Almyty"), nil},
		{"iss as a list", is("iss", []string{"almyty"}), nil},
		{"empty iss", is("iss", ""), nil},
		{"no aud", is("aud", nil), nil},
		{"wrong aud", is("aud", "almyty-web"), nil},
		{"aud list with ours", is("aud", []string{"almyty-web", "almyty-api"}), &access.Principal{ID: "user:ada", Organizations: acme}},
		{"aud list without ours", is("aud", []string{"almyty-web"}), nil},
		{"empty aud list", is("aud", []string{}), nil},
		{"aud list of numbers", is("aud", []any{1, "almyty-api"}), nil},
		{"aud as an object", is("aud", map[string]any{"almyty-api": true}), nil},
		{"aud list with null", is("aud", []any{nil, "almyty-api"}), nil},
		{"no sub", is("sub", nil), nil},
		{"empty sub", is("sub", ""), nil},
		{"sub as a number", is("sub", 7), nil},
		{"longest sub", is("sub", strings.Repeat("x", 256)), &access.Principal{ID: "user:" + strings.Repeat("x", 256), Organizations: acme}},
		{"longer sub", is("sub", strings.Repeat("x", 257)), nil},
		{"sub with a line break", is("sub", "ada\nadmin"), nil},
		{"no organization", is("organizationId", nil), nil},
		{"empty organization", is("organizationId", ""), nil},
		{"longest organization", is("organizationId", strings.Repeat("x", 128)), &access.Principal{ID: "user:ada", Organizations: map[string]access.Role{strings.Repeat("x", 128): access.Member}}},
		{"longer organization", is("organizationId", strings.Repeat("x", 129)), nil},
		{"organization as a list", is("organizationId", []string{"acme"}), nil},
		{"no role", is("role", nil), nil},
		{"empty role", is("role", ""), nil},
		{"unknown role", is("role", "owner"), nil},
		{"role in another case", is("role", "Admin"), nil},
		{"role as a list", is("role", []string{"admin"}), nil},
		{"several organizations", organizations(map[string]string{"acme": "admin", "globex": "viewer"}),
			&access.Principal{ID: "user:ada", Organizations: map[string]access.Role{"acme": access.Admin, "globex": access.Viewer}}},
		{"organizations empty", organizations(map[string]string{}), nil},
		{"organizations as a list", organizations([]string{"acme"}), nil},
		{"organizations with an unknown role", organizations(map[string]string{"acme": "admin", "globex": "owner"}), nil},
		{"organizations with null", organizations(map[string]any{"acme": nil}), nil},
		{"organizations with an empty name", organizations(map[string]string{"": "admin"}), nil},
		{"both forms", is("organizations", map[string]string{"globex": "admin"}), nil},
		{"organizations and a role", map[string]any{"organizations": map[string]string{"globex": "viewer"}, "organizationId": nil, "role": "admin"}, nil},
		{"tools", is("tools", []string{"weather"}), &access.Principal{ID: "user:ada", Organizations: acme, Tools: []string{"weather"}}},
		{"tools empty", is("tools", []string{}), nil},
		{"tools as text", is("tools", "weather"), nil},
		{"tools with a name that can't be", is("tools", []string{"*"}), nil},
		{"another case", map[string]any{"EXP": now + 60, "exp": nil}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := open(t, access.Options{JWT: access.JWTOptions{Secret: secret}})
			p, err := a.Authenticate(t.Context(), bearer(hs256(t, claims(tc.change))), home)
			if tc.want == nil {
				require.Equal(t, "Invalid or expired token", refused(t, p, err).Message)
				return
			}
			require.NoError(t, err)
			require.EqualExportedValues(t, tc.want, p)
		})
	}
}

// Claims that no encoder writes: what one reader takes for the last of two members,
// another takes for the first.
func TestClaimsText(t *testing.T) {
	good := claims(nil)
	inner := good[1 : len(good)-1]
	for _, tc := range []struct {
		name, claims string
		ok           bool
	}{
		{"good", good, true},
		{"white space", "\n" + good + " ", true},
		{"role twice", "{" + inner + `,"role":"admin"}`, false},
		{"role twice, once escaped", "{" + inner + `,"rol\u0065":"admin"}`, false},
		{"a foreign member twice", "{" + inner + `,"x":1,"x":1}`, false},
		{"an organization twice", strings.Replace(good, `"organizationId":"acme"`, `"organizations":{"acme":"viewer","acme":"admin"}`, 1), false},
		{"exp null", strings.Replace(good, `"exp":`, `"exp":null,"y":`, 1), false},
		{"nbf null", "{" + inner + `,"nbf":null}`, false},
		{"iat null", "{" + inner + `,"iat":null}`, false},
		{"tools null", "{" + inner + `,"tools":null}`, false},
		{"tools with null", "{" + inner + `,"tools":[null]}`, false},
		{"organizations null", "{" + inner + `,"organizations":null}`, false},
		{"null", "null", false},
		{"list", "[" + good + "]", false},
		{"text", `"` + b64(good) + `"`, false},
		{"empty", "", false},
		{"two", good + good, false},
		{"cut", good[:len(good)-1], false},
		{"not UTF-8", strings.Replace(good, "ada", "ad\xff", 1), false},
		{"half a surrogate", strings.Replace(good, "ada", `ad\ud800`, 1), false},
		{"not a number", strings.Replace(good, `"exp":`, `"exp":1e999,"y":`, 1), false},
		{"deep", "{" + inner + `,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}", true},
		{"comment", "/**/" + good, false},
		{"byte order mark", "\ufeff" + good, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := open(t, access.Options{JWT: access.JWTOptions{Secret: secret}})
			p, err := a.Authenticate(t.Context(), bearer(hs256(t, tc.claims)), home)
			if tc.ok {
				require.NoError(t, err)
				return
			}
			refused(t, p, err)
		})
	}
}

// Headers, algorithms and signatures, against one authenticator that has a secret and
// keys of every kind.
func TestSignatures(t *testing.T) {
	edPublic := edKey().Public()
	i := newIssuer(t, jwks(t,
		jwk(t, &rsaKey().PublicKey, "rsa", nil), jwk(t, &p256().PublicKey, "p256", nil), jwk(t, &p384().PublicKey, "p384", nil),
		jwk(t, &p521().PublicKey, "p521", nil), jwk(t, edPublic, "ed", nil),
		jwk(t, &rsaKey().PublicKey, "rsa512", map[string]any{"alg": "RS512", "use": "sig", "key_ops": []string{"verify"}}),
		jwk(t, &p256().PublicKey, "twin", nil), jwk(t, &rsaKey().PublicKey, "twin", nil),
	))
	good := claims(nil)
	spki, err := x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	rs, es, hs, ed := jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodHS256, jwt.SigningMethodEdDSA
	header := func(alg, kid string) string { return `{"alg":"` + alg + `","kid":"` + kid + `"}` }
	rsToken := token(t, rs, rsaKey(), header("RS256", "rsa"), good)
	esToken := es256(t, p256(), "p256", good)
	hsToken := hs256(t, good)
	parts := strings.Split(esToken, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString

	for _, tc := range []struct {
		name, token string
		ok          bool
	}{
		{"HS256", hsToken, true},
		{"HS256 with any kid", token(t, hs, secret, header("HS256", "x"), good), true},
		{"RS256", rsToken, true},
		{"RS384", token(t, jwt.SigningMethodRS384, rsaKey(), header("RS384", "rsa"), good), true},
		{"RS512", token(t, jwt.SigningMethodRS512, rsaKey(), header("RS512", "rsa512"), good), true},
		{"ES256", esToken, true},
		{"ES384", token(t, jwt.SigningMethodES384, p384(), header("ES384", "p384"), good), true},
		{"ES512", token(t, jwt.SigningMethodES512, p521(), header("ES512", "p521"), good), true},
		{"EdDSA", token(t, ed, edKey(), header("EdDSA", "ed"), good), true},
		{"RS256 without kid", token(t, rs, rsaKey(), `{"alg":"RS256"}`, good), true},
		{"ES256 without kid", token(t, es, p256(), `{"alg":"ES256"}`, good), true},
		{"a kid of two keys, RS256", token(t, rs, rsaKey(), header("RS256", "twin"), good), true},
		{"a kid of two keys, ES256", es256(t, p256(), "twin", good), true},
		{"typ JWT", token(t, hs, secret, `{"alg":"HS256","typ":"jwt"}`, good), true},
		{"typ of an access token", token(t, hs, secret, `{"alg":"HS256","typ":"application/at+jwt"}`, good), true},

		{"none", b64(`{"alg":"none"}`) + "." + b64(good) + ".", false},
		{"none with kid", b64(header("none", "rsa")) + "." + b64(good) + ".", false},
		{"none in another case", b64(`{"alg":"None"}`) + "." + b64(good) + ".", false},
		{"none with a signature", b64(`{"alg":"none"}`) + "." + b64(good) + "." + parts[2], false},
		{"no alg", token(t, hs, secret, `{}`, good), false},
		{"alg as a list", token(t, hs, secret, `{"alg":["HS256"]}`, good), false},
		{"alg in another case", token(t, hs, secret, `{"alg":"hs256"}`, good), false},
		{"HS384", token(t, jwt.SigningMethodHS384, secret, `{"alg":"HS384"}`, good), false},
		{"HS512", token(t, jwt.SigningMethodHS512, secret, `{"alg":"HS512"}`, good), false},
		{"PS256", token(t, jwt.SigningMethodPS256, rsaKey(), header("PS256", "rsa"), good), false},
		{"unknown alg", token(t, hs, secret, `{"alg":"XX256"}`, good), false},
		{"HS256 with the public key in PEM", token(t, hs, publicPEM, header("HS256", "rsa"), good), false},
		{"HS256 with the public key in DER", token(t, hs, spki, header("HS256", "rsa"), good), false},
		{"HS256 with the modulus", token(t, hs, rsaKey().N.Bytes(), header("HS256", "rsa"), good), false},
		{"HS256 with no secret", token(t, hs, []byte{}, `{"alg":"HS256"}`, good), false},
		{"HS256 with zeros", token(t, hs, make([]byte, 32), `{"alg":"HS256"}`, good), false},
		{"RS256 with a method's own key", token(t, rs, rsaKey(), header("RS256", "rsa512"), good), false},
		{"RS256 with the kid of an EC key", token(t, rs, rsaKey(), header("RS256", "p256"), good), false},
		{"ES256 with the kid of an RSA key", es256(t, p256(), "rsa", good), false},
		{"ES256 with the kid of P-384", es256(t, p256(), "p384", good), false},
		{"ES384 named ES256", token(t, jwt.SigningMethodES384, p384(), header("ES256", "p384"), good), false},
		{"another's RSA key", token(t, rs, otherRSA(), header("RS256", "rsa"), good), false},
		{"another's RSA key without kid", token(t, rs, otherRSA(), `{"alg":"RS256"}`, good), false},
		{"another's EC key", es256(t, otherEC(), "p256", good), false},
		{"unknown kid", es256(t, p256(), "p257", good), false},
		{"empty kid", es256(t, p256(), "", good), false},
		{"kid as a number", token(t, es, p256(), `{"alg":"ES256","kid":1}`, good), false},
		{"kid null", token(t, es, p256(), `{"alg":"ES256","kid":null}`, good), false},
		{"the token's own key", token(t, es, otherEC(), `{"alg":"ES256","kid":"p256","jwk":`+jwkText(t)+`,"jku":"`+i.URL+`"}`, good), false},
		{"crit", token(t, hs, secret, `{"alg":"HS256","crit":["b64"],"b64":true}`, good), false},
		{"crit null", token(t, hs, secret, `{"alg":"HS256","crit":null}`, good), false},
		{"crit empty", token(t, hs, secret, `{"alg":"HS256","crit":[]}`, good), false},
		{"another purpose", token(t, hs, secret, `{"alg":"HS256","typ":"logout+jwt"}`, good), false},
		{"typ as a number", token(t, hs, secret, `{"alg":"HS256","typ":1}`, good), false},
		{"forged payload, HS256", forged(hsToken, claims(map[string]any{"role": "admin"})), false},
		{"forged payload, RS256", forged(rsToken, claims(map[string]any{"role": "admin"})), false},
		{"forged payload, ES256", forged(esToken, claims(map[string]any{"role": "admin"})), false},
		{"no signature", parts[0] + "." + parts[1] + ".", false},
		{"two parts", parts[0] + "." + parts[1], false},
		{"four parts", esToken + ".x", false},
		{"encrypted, five parts", esToken + ".x.y", false},
		{"dots", "..", false},
		{"cut signature", parts[0] + "." + parts[1] + "." + encode(signature[:63]), false},
		{"longer signature", esToken + "AAAA", false},
		{"signature of zeros", parts[0] + "." + parts[1] + "." + encode(make([]byte, 64)), false},
		{"padded", parts[0] + "." + parts[1] + "." + base64.URLEncoding.EncodeToString(signature), false},
		{"line break in the signature", parts[0] + "." + parts[1] + "." + parts[2][:4] + "\n" + parts[2][4:], false},
		{"stray bits in the signature", strayBits(hsToken), false},
		{"header null", token(t, hs, secret, "null", good), false},
		{"header a list", token(t, hs, secret, "[]", good), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := open(t, access.Options{JWT: access.JWTOptions{Secret: secret, JWKS: i.URL}})
			p, err := a.Authenticate(t.Context(), bearer(tc.token), home)
			if tc.ok {
				require.NoError(t, err)
				require.Equal(t, "user:ada", p.ID)
				return
			}
			require.Equal(t, "Invalid or expired token", refused(t, p, err).Message)
		})
	}
}

func jwkText(t *testing.T) string {
	text := jwks(t, jwk(t, &otherEC().PublicKey, "p256", nil))
	return text[len(`{"keys":[`) : len(text)-len("]}")]
}

// strayBits changes the bits of the last digit that stand for nothing: a second text
// of the same token would be a second name for it.
func strayBits(token string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, token[len(token)-1])
	return token[:len(token)-1] + string(digits[last^1])
}

// Each kind of key alone: the other's tokens don't hold.
func TestOnlyWhatIsConfigured(t *testing.T) {
	i := newIssuer(t, jwks(t, jwk(t, &p256().PublicKey, "a", nil)))
	hs, es := hs256(t, claims(nil)), es256(t, p256(), "a", claims(nil))

	a := open(t, access.Options{JWT: access.JWTOptions{Secret: secret}})
	_, err := a.Authenticate(t.Context(), bearer(hs), home)
	require.NoError(t, err)
	p, err := a.Authenticate(t.Context(), bearer(es), home)
	refused(t, p, err)

	a = open(t, access.Options{JWT: access.JWTOptions{JWKS: i.URL}})
	_, err = a.Authenticate(t.Context(), bearer(es), home)
	require.NoError(t, err)
	p, err = a.Authenticate(t.Context(), bearer(hs), home)
	refused(t, p, err)
	p, err = a.Authenticate(t.Context(), bearer(token(t, jwt.SigningMethodHS256, []byte{}, `{"alg":"HS256"}`, claims(nil))), home)
	refused(t, p, err)
}

func TestOtherIssuerAudienceAndLeeway(t *testing.T) {
	a := open(t, access.Options{JWT: access.JWTOptions{Secret: secret, Issuer: "me", Audience: "you", Leeway: time.Minute}})
	_, err := a.Authenticate(t.Context(), bearer(hs256(t, claims(map[string]any{"iss": "me", "aud": "you", "exp": start.Unix() - 59}))), home)
	require.NoError(t, err)
	for _, change := range []map[string]any{
		{"iss": "me"}, {"aud": "you"}, {"iss": "me", "aud": "you", "exp": start.Unix() - 60},
	} {
		p, err := a.Authenticate(t.Context(), bearer(hs256(t, claims(change))), home)
		refused(t, p, err)
	}
}

// A token ends to hold while the service runs, however often it held.
func TestExpiryHolds(t *testing.T) {
	c := &clock{}
	a := open(t, access.Options{JWT: access.JWTOptions{Secret: secret}, Now: c.now})
	text := hs256(t, claims(nil)) // five minutes, and ten seconds of leeway
	c.forward(5*time.Minute + 9*time.Second)
	_, err := a.Authenticate(t.Context(), bearer(text), home)
	require.NoError(t, err)
	c.forward(time.Second)
	p, err := a.Authenticate(t.Context(), bearer(text), home)
	refused(t, p, err)
}
