package httptool

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Auth is the authConfig of a definition: how requests are authenticated.
//
//	none
//	basic   username, password
//	bearer  token
//	apiKey  name, value, in (header, the default, or query)
//	oauth2  tokenUrl, clientId, clientSecret, scope, audience, clientAuth (basic,
//	        the default, or body), grantType (client_credentials, the only one)
//
// With oauth2 a run fetches an access token from tokenUrl, which never reads
// parameters, and sends it as a bearer token to the tool's own origin. Token
// requests go through the transport of the run and take of the attempt's time;
// they follow no redirects. A token is kept in memory until shortly before it
// expires, or 5 minutes where the token endpoint doesn't say when, apart for each
// organization ([WithOrganization]); runs that need one at the same time share one request. A
// 401 to a token older than 5 seconds has the request sent once more with a new
// token, whatever its method; that is an attempt, but none of the retries. A token
// never stands in a failure.
type Auth struct {
	Type   string         `json:"type"`
	Config map[string]any `json:"config,omitempty"`
}

type authTemplate struct {
	kind                      string
	name                      string
	inQuery                   bool
	username, password, value *expression.Template
	oauth                     *clientCredentials
}

var authFields = map[string][]string{
	"none": nil, "": nil, "basic": {"username", "password"}, "bearer": {"token"}, "apiKey": {"name", "value", "in"},
	"oauth2": {"tokenUrl", "clientId", "clientSecret", "scope", "audience", "clientAuth", "grantType"},
}

func (c *compiler) auth(a *Auth) *authTemplate {
	if a == nil {
		return nil
	}
	allowed, known := authFields[a.Type]
	if !known {
		c.fault("/authConfig/type", "must be one of: none, basic, bearer, apiKey, oauth2")
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(a.Config)) {
		if !slices.Contains(allowed, name) {
			message := "is not allowed for this type"
			if len(allowed) > 0 {
				message += ", which takes: " + strings.Join(allowed, ", ")
			}
			c.fault("/authConfig/config/"+pointerName(name), message)
		}
	}
	t := &authTemplate{kind: a.Type}
	switch a.Type {
	case "basic":
		t.username = c.authText(a, "username", true)
		t.password = c.authText(a, "password", false)
	case "bearer":
		t.value = c.authText(a, "token", true)
	case "apiKey":
		t.value = c.authText(a, "value", true)
		c.apiKeyPlace(t, a)
	case "oauth2":
		t.oauth = c.clientCredentials(a)
	default:
		return nil
	}
	return t
}

// checkAuthTarget refuses a credential for whatever host a caller names.
func (c *compiler) checkAuthTarget(r *requestTemplate) {
	if r.auth != nil && r.url != nil && r.url.foreign {
		c.fault("/authConfig", "can't stand beside a URL that a parameter chooses: a caller could have the credential sent anywhere; write the host literally or take it from env")
	}
}

func (c *compiler) apiKeyPlace(t *authTemplate, a *Auth) {
	switch a.Config["in"] {
	case nil, "header":
	case "query":
		t.inQuery = true
	default:
		c.fault("/authConfig/config/in", "must be one of: header, query")
	}
	t.name, _ = a.Config["name"].(string)
	if t.name == "" && !t.inQuery && a.Config["name"] == nil {
		t.name = "X-API-Key"
	}
	switch {
	case t.name == "":
		c.fault("/authConfig/config/name", "is required")
	case t.inQuery:
	case !httpguts.ValidHeaderFieldName(t.name):
		c.fault("/authConfig/config/name", "is not a valid header name")
	case refusedHeaders[textproto.CanonicalMIMEHeaderKey(t.name)] != "":
		c.fault("/authConfig/config/name", refusedHeaders[textproto.CanonicalMIMEHeaderKey(t.name)])
	}
}

func (c *compiler) authText(a *Auth, name string, required bool) *expression.Template {
	pointer := "/authConfig/config/" + name
	v, set := a.Config[name]
	text, ok := strictjson.ScalarText(v)
	switch {
	case !set && required:
		c.fault(pointer, "is required")
		return nil
	case set && !ok:
		c.fault(pointer, "must be a string")
		return nil
	}
	return c.text(pointer, text)
}

// apply adds the credential to the headers or the query. That of oauth2 is a
// [grant].
func (t *authTemplate) apply(s *expression.Scope, h http.Header, query string) (string, error) {
	if t == nil || t.oauth != nil {
		return query, nil
	}
	switch t.kind {
	case "basic":
		username, err := secretText(t.username, s, "username")
		if err != nil {
			return "", err
		}
		if strings.Contains(username, ":") {
			return "", badInput("the user name of basic authentication must not hold a colon")
		}
		password, err := secretText(t.password, s, "password")
		h["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))}
		return query, err
	case "bearer":
		token, err := secretText(t.value, s, "token")
		h["Authorization"] = []string{"Bearer " + token}
		return query, headerFault(err, token)
	}
	value, err := secretText(t.value, s, "value")
	if err != nil {
		return "", err
	}
	if !t.inQuery {
		h[textproto.CanonicalMIMEHeaderKey(t.name)] = []string{value}
		return query, headerFault(nil, value)
	}
	name, _ := expression.QueryComponent(t.name)
	b, err := appendPair([]byte(query), name, value)
	return string(b), err
}

func secretText(t *expression.Template, s *expression.Scope, name string) (string, error) {
	text, present, err := t.Text(s, nil)
	if err == nil && (!present || text == "" && name != "password") {
		err = errclass.Newf(errclass.ConfigurationError, errclass.MissingCredential, "%s of authConfig has no value", name)
	}
	return text, err
}

// headerFault is err, or the fault of a header's value.
func headerFault(err error, value string) error {
	if err != nil {
		return err
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return badInput("the credential of authConfig holds what a header can't, such as a line break")
	}
	return nil
}
