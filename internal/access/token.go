package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// JWTOptions says which JSON Web Tokens (RFC 7519) hold. At least one of Secret and
// JWKS is needed for any to.
type JWTOptions struct {
	// Secret checks HS256 tokens; at least 32 bytes. Whoever knows it can make tokens.
	Secret []byte
	// JWKS is where the public keys are that RS256, RS384, RS512, ES256, ES384, ES512
	// and EdDSA tokens are checked with (RFC 7517): an https URL, an http URL of this
	// machine's loopback, or a file. They are read again every five minutes, and for a
	// token of an unknown key at most once in five seconds.
	JWKS string
	// Transport fetches the JWKS. Nil: one of its own, without a proxy.
	Transport http.RoundTripper
	// Issuer must be the token's iss. Defaults to "almyty".
	Issuer string
	// Audience must be among the token's aud. Defaults to "almyty-api".
	Audience string
	// Leeway is how far this clock may be off from the issuer's. Defaults to 10 s; at
	// most 5 min.
	Leeway time.Duration
}

const (
	defaultIssuer   = "almyty"
	defaultAudience = "almyty-api"
	defaultLeeway   = 10 * time.Second
	maxLeeway       = 5 * time.Minute
	// minSecret is the length of an HS256 hash, as RFC 7518, section 3.2, demands.
	minSecret  = 32
	maxSubject = 256 // bytes

	hmacMethod = "HS256"
)

var (
	errNoKeys     = errors.New("the JWKS was never read")
	errUnknownKey = errors.New("no key with this kid and alg")
	errClaims     = errors.New("claims of wrong types, twice or null")
)

// tokens checks JSON Web Tokens.
type tokens struct {
	secret []byte  // nil: no HS256
	keys   *keySet // nil: HS256 only
	parser *jwt.Parser
}

// newTokens returns nil where no token can hold.
func newTokens(ctx context.Context, opts JWTOptions, now func() time.Time, log *slog.Logger) (*tokens, error) {
	if len(opts.Secret) == 0 && opts.JWKS == "" {
		return nil, nil
	}
	if n := len(opts.Secret); n > 0 && n < minSecret {
		return nil, fmt.Errorf("JWT.Secret must have at least %d bytes, not %d", minSecret, n)
	}
	if opts.Leeway < 0 || opts.Leeway > maxLeeway {
		return nil, fmt.Errorf("JWT.Leeway must be 0 (for %s) to %s, not %s", defaultLeeway, maxLeeway, opts.Leeway)
	}
	t := &tokens{secret: opts.Secret}
	var methods []string
	if len(opts.Secret) > 0 {
		methods = append(methods, hmacMethod)
	}
	if opts.JWKS != "" {
		var err error
		if t.keys, err = openKeySet(ctx, opts.JWKS, opts.Transport, now, log); err != nil {
			return nil, fmt.Errorf("JWT.JWKS: %w", err)
		}
		methods = append(methods, publicMethods...)
	}
	if opts.Leeway == 0 {
		opts.Leeway = defaultLeeway
	}
	t.parser = jwt.NewParser(
		jwt.WithValidMethods(methods), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now), jwt.WithLeeway(opts.Leeway),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithIssuer(or(opts.Issuer, defaultIssuer)), jwt.WithAudience(or(opts.Audience, defaultAudience)),
	)
	return t, nil
}

func or(given, fallback string) string {
	if given == "" {
		return fallback
	}
	return given
}

func (t *tokens) close() {
	if t.keys != nil {
		t.keys.close()
	}
}

// verify checks a token.
func (t *tokens) verify(ctx context.Context, raw string) (*Principal, error) {
	if strings.ContainsAny(raw, "\r\n") { // encoding/base64 passes over them
		return nil, errors.New("a token with line breaks")
	}
	keys := t.current()
	p, err := t.parse(raw, keys)
	if !errors.Is(err, errUnknownKey) {
		return p, err
	}
	return t.verifyAnew(ctx, raw, keys)
}

// verifyAnew checks a token of a key that is not among those seen, as soon as there
// are newer ones: twice, as those that another call has read meanwhile may have been
// asked for too early.
func (t *tokens) verifyAnew(ctx context.Context, raw string, seen *snapshot) (*Principal, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	for range 2 {
		if !t.keys.renew(ctx, seen) {
			break
		}
		seen = t.current()
		if p, err := t.parse(raw, seen); !errors.Is(err, errUnknownKey) {
			return p, err
		}
	}
	if t.current() == nil {
		return nil, errNoKeys
	}
	return nil, errUnknownKey
}

func (t *tokens) current() *snapshot {
	if t.keys == nil {
		return nil
	}
	return t.keys.current.Load()
}

// parse checks a token with these keys. A token without a kid is checked with each
// that fits; that none is its own may mean that they are old.
func (t *tokens) parse(raw string, keys *snapshot) (*Principal, error) {
	var c claims
	tried := false
	token, err := t.parser.ParseWithClaims(raw, &c, func(token *jwt.Token) (any, error) {
		kid, err := checkHeader(token.Header)
		if err != nil {
			return nil, err
		}
		if token.Method.Alg() == hmacMethod {
			return t.secret, nil
		}
		fitting := keys.find(kid, token.Method.Alg())
		if len(fitting) == 0 {
			return nil, errUnknownKey
		}
		tried = kid == ""
		return jwt.VerificationKeySet{Keys: fitting}, nil
	})
	if tried && errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		return nil, errUnknownKey
	}
	if err != nil {
		return nil, err
	}
	p, err := c.principal()
	if err == nil {
		p.guessable = token.Method.Alg() == hmacMethod
	}
	return p, err
}

// checkHeader returns the kid, or "". Extensions that the token says one must
// understand (RFC 7515, section 4.1.11) are not; tokens for another purpose say so
// by their type (RFC 8725, section 3.11).
func checkHeader(header map[string]any) (kid string, err error) {
	if _, ok := header["crit"]; ok {
		return "", errors.New("critical extensions are not understood")
	}
	if typ, ok := header["typ"]; ok {
		text, _ := typ.(string)
		text = strings.TrimPrefix(strings.ToLower(text), "application/")
		if text != "jwt" && text != "at+jwt" {
			return "", errors.New("a token of another type")
		}
	}
	if given, ok := header["kid"]; ok {
		if kid, ok = given.(string); !ok || kid == "" {
			return "", errors.New("the kid is not a text")
		}
	}
	return kid, nil
}

// claims are what a token says. They are read case-sensitively; members that are
// null, of another type, or there twice make the token invalid.
type claims struct {
	Subject       string          `json:"sub"`
	Issuer        string          `json:"iss"`
	Audience      audience        `json:"aud"`
	Expires       *float64        `json:"exp"`
	NotBefore     *float64        `json:"nbf"`
	IssuedAt      *float64        `json:"iat"`
	Organization  *string         `json:"organizationId"`
	Role          *string         `json:"role"`
	Organizations map[string]Role `json:"organizations"`
	Tools         []string        `json:"tools"`
}

// audience is one name or a list of them.
type audience []string

func (a *audience) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == jsontext.KindString {
		*a = make(audience, 1)
		return json.UnmarshalDecode(dec, &(*a)[0])
	}
	return json.UnmarshalDecode(dec, (*[]string)(a))
}

var noNull = json.WithUnmarshalers(json.UnmarshalFromFunc(func(dec *jsontext.Decoder, _ any) error {
	if dec.PeekKind() == jsontext.KindNull {
		return errClaims
	}
	return errors.ErrUnsupported // as if this weren't here
}))

// UnmarshalJSON keeps what the claims say out of the error.
func (c *claims) UnmarshalJSON(data []byte) error {
	type plain claims
	if err := json.Unmarshal(data, (*plain)(c), noNull); err != nil {
		return errClaims
	}
	return nil
}

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires) }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return date(c.NotBefore) }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt) }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings(c.Audience), nil }

// maxDate is the end of the year 9999. Beyond, an exp is a mistake, and the
// conversion to an integer would overflow at some point.
const maxDate = 253402300799

func date(seconds *float64) (*jwt.NumericDate, error) {
	if seconds == nil {
		return nil, nil
	}
	if *seconds < 0 || *seconds > maxDate {
		return nil, errors.New("a date out of range")
	}
	return &jwt.NumericDate{Time: time.Unix(int64(*seconds), 0)}, nil
}

// principal is who the claims, which hold, speak of.
func (c *claims) principal() (*Principal, error) {
	if c.Subject == "" || len(c.Subject) > maxSubject || hasControl(c.Subject) {
		return nil, errors.New("sub is missing, too long or has control characters")
	}
	organizations, err := c.organizations()
	if err != nil {
		return nil, err
	}
	// An empty list would read as all tools later, and can't have been meant so.
	if c.Tools != nil && len(c.Tools) == 0 {
		return nil, errors.New("tools is empty")
	}
	for _, tool := range c.Tools {
		if !toolName.MatchString(tool) {
			return nil, errors.New("tools has what is no name of a tool")
		}
	}
	return &Principal{ID: "user:" + c.Subject, Organizations: organizations, Tools: c.Tools}, nil
}

func (c *claims) organizations() (map[string]Role, error) {
	if c.Organizations == nil {
		if c.Organization == nil || c.Role == nil {
			return nil, errors.New("neither organizations nor organizationId with role")
		}
		c.Organizations = map[string]Role{*c.Organization: Role(*c.Role)}
	} else if c.Organization != nil || c.Role != nil {
		return nil, errors.New("both organizations and organizationId or role")
	}
	if len(c.Organizations) == 0 {
		return nil, errors.New("organizations is empty")
	}
	for name, role := range c.Organizations {
		if !validName(name) || name == EveryOrganization {
			return nil, errors.New("an organization without a valid name")
		}
		if _, err := ParseRole(string(role)); err != nil {
			return nil, errors.New("an unknown role")
		}
	}
	return c.Organizations, nil
}
