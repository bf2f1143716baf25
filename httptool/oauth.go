package httptool

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/httperr"
	"github.com/almyty-inc/toolrun/internal/redact"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// maxTokenBytes bounds what a token endpoint answers.
const maxTokenBytes = 64 << 10

// clientCredentials is a compiled grant of OAuth 2.0's client credentials
// (RFC 6749, section 4.4).
type clientCredentials struct {
	tokenURL                    *urlTemplate
	id, secret, scope, audience *expression.Template
	inBody                      bool
	tokens                      *tokenCache
}

// grant is what one run may ask for a token with.
type grant struct {
	request *request
	key     tokenKey
	secret  string
	tokens  *tokenCache
}

func (c *compiler) clientCredentials(a *Auth) *clientCredentials {
	if kind := a.Config["grantType"]; kind != nil && kind != "client_credentials" {
		c.fault("/authConfig/config/grantType", "must be client_credentials: there is nobody to log in while a tool runs")
	}
	t := &clientCredentials{
		id: c.authText(a, "clientId", true), secret: c.authText(a, "clientSecret", true),
		scope: c.authText(a, "scope", false), audience: c.authText(a, "audience", false),
		tokens: newTokenCache(),
	}
	switch a.Config["clientAuth"] {
	case nil, "basic":
	case "body":
		t.inBody = true
	default:
		c.fault("/authConfig/config/clientAuth", "must be one of: basic, body")
	}
	const pointer = "/authConfig/config/tokenUrl"
	address, ok := a.Config["tokenUrl"].(string)
	switch {
	case a.Config["tokenUrl"] != nil && !ok:
		c.fault(pointer, "must be a string")
		return nil
	case c.readsParameters(address):
		c.fault(pointer, "must not read parameters: a caller could have the secret sent anywhere; write it literally or take it from env or credentials")
		return nil
	}
	t.tokenURL = c.url(pointer, address)
	return t
}

func (c *compiler) readsParameters(text string) bool {
	t, err := expression.Compile(text, c.declared)
	return err == nil && t.ReadsParameters()
}

// grant evaluates what a token is asked for with; nil for other kinds of auth.
func (t *authTemplate) grant(s *expression.Scope, organization string) (*grant, error) {
	if t == nil || t.oauth == nil {
		return nil, nil
	}
	address, err := t.oauth.address(s)
	if err != nil {
		return nil, err
	}
	id, err := secretText(t.oauth.id, s, "clientId")
	if err != nil {
		return nil, err
	}
	secret, err := secretText(t.oauth.secret, s, "clientSecret")
	if err != nil {
		return nil, err
	}
	form, err := t.oauth.form(s)
	if err != nil {
		return nil, err
	}
	parts, err := strictjson.Marshal([]string{organization, address.String(), id, secret, form.Encode()})
	if err != nil {
		return nil, badInput("authConfig holds what is not valid UTF-8")
	}
	req := &request{method: http.MethodPost, url: address, header: http.Header{
		"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}, "User-Agent": {"toolrun"},
	}}
	if t.oauth.inBody {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	} else { // encoded before they are joined: section 2.3.1
		pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
		req.header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
	}
	req.body = []byte(form.Encode())
	return &grant{req, sha256.Sum256(parts), secret, t.oauth.tokens}, nil
}

func (o *clientCredentials) address(s *expression.Scope) (*url.URL, error) {
	address, query, err := o.tokenURL.render(s)
	if err != nil {
		return nil, err
	}
	address.RawQuery = query
	_, _, err = inspectURL(address)
	return address, err
}

// form holds what a token is asked for, without the client.
func (o *clientCredentials) form(s *expression.Scope) (url.Values, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	for name, template := range map[string]*expression.Template{"scope": o.scope, "audience": o.audience} {
		text, _, err := template.Text(s, nil)
		if err != nil {
			return nil, err
		}
		if text != "" {
			form.Set(name, text)
		}
	}
	return form, nil
}

// exchange sends one request, with the token of its grant if it has one. A token
// of the cache that the target refuses may have been revoked: the request, which
// a 401 says was not acted upon, is then sent once more with a new one.
func (c *call) exchange(req *request) (*http.Response, *errclass.Error) {
	if req.grant == nil {
		return c.roundTrip(req)
	}
	token, failure := c.token(req.grant, "")
	if failure != nil {
		return nil, failure
	}
	resp, failure := c.roundTrip(req.bearing(c, token))
	if failure != nil || resp.StatusCode != http.StatusUnauthorized || req.grant.tokens.isNew(token) {
		return resp, failure
	}
	discard(resp.Body)
	c.sent = false
	if token, failure = c.token(req.grant, token.value); failure != nil {
		return nil, failure
	}
	c.attempts++
	return c.roundTrip(req.bearing(c, token))
}

// bearing is the request with a token, which c will keep out of its failures.
func (r *request) bearing(c *call, token accessToken) *request {
	if !slices.Contains(c.tokens, token.value) {
		c.tokens = append(c.tokens, token.value)
	}
	next := *r
	next.header = r.header.Clone()
	next.header["Authorization"] = []string{"Bearer " + token.value}
	return &next
}

// token returns an access token other than the refused one, of the cache or
// fetched. Runs that need the same one wait for a single request.
func (c *call) token(g *grant, refused string) (accessToken, *errclass.Error) {
	for {
		token, f, leads := g.tokens.join(g.key, refused)
		if f == nil {
			return token, nil
		}
		if leads {
			failure := c.fetchToken(g, f)
			return f.token, failure
		}
		select {
		case <-f.done:
		case <-c.ctx.Done():
			waiting := &call{tool: c.tool, parent: c.parent, ctx: c.ctx, phase: f.phase}
			return accessToken{}, waiting.tokenFailure(g, waiting.failure(c.ctx.Err(), hostOf(g.request.url), false))
		}
		switch {
		case f.abandoned: // the next one to come by makes a request of its own
		case f.failure != nil:
			copied := *f.failure
			return accessToken{}, &copied
		default:
			return f.token, nil
		}
	}
}

// fetchToken makes a flight, within the attempt's time.
func (c *call) fetchToken(g *grant, f *flight) *errclass.Error {
	defer g.tokens.land(g.key, f)
	tool := &Tool{timeout: c.tool.timeout, graphql: c.tool.graphql, maxBytes: maxTokenBytes}
	own := newCall(c.parent, tool, c.rt)
	own.phase, own.ctx = f.phase, f.phase.under(c.ctx)
	reply, failure := own.send(g.request)
	if failure == nil {
		f.token, failure = g.read(reply)
		failure = own.annotate(failure, reply)
	}
	failure = own.tokenFailure(g, failure)
	f.abandoned = failure != nil && c.ctx.Err() != nil
	if failure != nil && !f.abandoned {
		shared := *failure
		f.failure = &shared
	}
	return failure
}

const checkTokenURL = "Check that tokenUrl is the token endpoint of the authorization server."

// read reads what a token endpoint answered (RFC 6749, section 5.1).
func (g *grant) read(r *reply) (accessToken, *errclass.Error) {
	wrong := func(reason errclass.Reason, format string, args ...any) (accessToken, *errclass.Error) {
		e := errclass.Newf(errclass.InvalidResponse, reason, format, args...)
		e.Hint = checkTokenURL
		return accessToken{}, e
	}
	text := bytes.TrimPrefix(r.body, bom)
	v, err := strictjson.Decode(text)
	if err != nil {
		return accessToken{}, notJSON(err, text, r)
	}
	answer, _ := v.(map[string]any)
	value, _ := answer["access_token"].(string)
	if value == "" {
		if message := httperr.Message(answer); message != "" {
			return wrong(errclass.UpstreamFailed, "%s", errclass.OneLine(message, maxMessage))
		}
		return wrong(errclass.NoData, "the answer has no access_token")
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return wrong(errclass.Malformed, "the access_token holds what a header can't")
	}
	// Required, but left out by some servers.
	if kind := answer["token_type"]; kind != nil {
		if name, _ := kind.(string); !strings.EqualFold(name, "Bearer") {
			shown, _ := strictjson.ScalarText(kind)
			return wrong(errclass.Malformed, "the token is of type %q, and only Bearer can be used", errclass.OneLine(shown, 40))
		}
	}
	life, _ := strictjson.ScalarText(answer["expires_in"]) // a text with some
	seconds, _ := strconv.ParseFloat(life, 64)
	return g.tokens.issued(value, seconds), nil
}

// tokenFailure says of a failure that it is the token request's, and not the
// tool's own. Its class and reason stay, but for a client that the token
// endpoint refuses with 400, as RFC 6749, section 5.2, lets it.
func (c *call) tokenFailure(g *grant, e *errclass.Error) *errclass.Error {
	if e == nil || c.foreign(e) || e.Class == errclass.Cancelled {
		return e
	}
	host := hostOf(g.request.url)
	what := "token request to " + host
	switch {
	case e.Class == errclass.HTTPError:
		status, message, _ := strings.Cut(e.Detail, ": ")
		word := message
		if e.Upstream.Code != "" {
			word, message = e.Upstream.Code, e.Upstream.Code+": "+message
		}
		switch word {
		case "invalid_client", "unauthorized_client", "invalid_grant":
			auth := errclass.New(errclass.HTTPError, errclass.Auth, "")
			e.Reason, e.Origin, e.Hint, e.Retryable = auth.Reason, auth.Origin, auth.Hint, auth.Retryable
		}
		e.Detail = strings.TrimSuffix(status+": "+what+": "+message, ": ")
	case e.Reason == errclass.Redirect:
		e.Detail = what + ": the answer is a redirect, and a token request follows none"
		e.Hint = checkTokenURL
	case strings.Contains(e.Detail, host):
		e.Detail = "token request: " + e.Detail
	default:
		e.Detail = strings.TrimSuffix(what+": "+e.Detail, ": ")
	}
	e.Detail = errclass.OneLine(e.Detail, 400)
	return withoutSecrets(e, g.secret)
}

// withoutSecrets takes secrets out of a failure.
func withoutSecrets(e *errclass.Error, secrets ...string) *errclass.Error {
	r := redact.New(secrets)
	for _, field := range []*string{&e.Detail, &e.Upstream.Code, &e.Upstream.RequestID} {
		*field = r.String(*field)
	}
	if e.Cause != nil {
		if text := e.Cause.Error(); r.String(text) != text {
			e.Cause = errors.New(r.String(text))
		}
	}
	return e
}
