package openapi

import (
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxAlternatives bounds how many alternatives, of servers and of security, are
// looked at, and maxSchemes the schemes of one.
const (
	maxAlternatives = 20
	maxSchemes      = 10
)

// security sets what authenticates the operation: the first alternative that can
// be expressed, and none only where that is all.
func (b *builder) security(base string) error {
	alternatives, place := list(b.im.doc.root["security"]), "#/security"
	if own, set := b.op["security"]; set {
		alternatives, place = list(own), b.place+"/security"
	}
	why, anonymous := "", len(alternatives) == 0
	for _, alternative := range alternatives[:min(len(alternatives), maxAlternatives)] {
		schemes := object(alternative)
		if len(schemes) == 0 {
			anonymous = true
			continue
		}
		c := credentials{b: b, base: base, headers: map[string]any{}, query: map[string]any{}}
		reason := c.all(schemes)
		if reason == "" {
			c.use()
			return nil
		}
		if why == "" {
			why = reason
		}
	}
	if anonymous {
		if why != "" {
			b.remark(place, "is called without authentication: "+why)
		}
		return nil
	}
	return &leftOut{place, why}
}

// credentials are those of one alternative: schemes that all have to be there.
type credentials struct {
	b       *builder
	base    string
	auth    *auth
	headers map[string]any
	query   map[string]any
	cookies []cookie
	secrets []Secret
}

// use makes them the operation's.
func (c *credentials) use() {
	b := c.b
	b.auth, b.headers, b.query, b.cookies = c.auth, c.headers, c.query, c.cookies
	for i := range c.secrets {
		if c.secrets[i].Servers == nil {
			c.secrets[i].Servers = slices.Sorted(maps.Keys(b.servers))
		}
	}
	b.secrets = c.secrets
}

// all adds the schemes; what it returns is why it can't.
func (c *credentials) all(schemes map[string]any) string {
	if len(schemes) > maxSchemes {
		return fmt.Sprintf("it needs more than %d security schemes at once", maxSchemes)
	}
	for _, name := range slices.Sorted(maps.Keys(schemes)) {
		components := object(c.b.im.doc.root["components"])
		place := "#/components/securitySchemes/" + escape(name)
		value, _, err := c.b.im.doc.resolve(object(components["securitySchemes"])[name], place)
		scheme := object(value)
		if err != nil || scheme == nil {
			return fmt.Sprintf("its security scheme %q isn't described", name)
		}
		if why := c.add(name, scheme, list(schemes[name])); why != "" {
			return fmt.Sprintf("its security scheme %q %s", name, why)
		}
	}
	return ""
}

func (c *credentials) add(name string, scheme map[string]any, scopes []any) string {
	kind := text(scheme["type"])
	if kind == "http" {
		kind = strings.ToLower(text(scheme["scheme"]))
	}
	switch kind {
	case "basic":
		return c.basic(name)
	case "bearer":
		return c.bearer(name, "a bearer token")
	case "apiKey":
		return c.apiKey(name, text(scheme["in"]), text(scheme["name"]))
	case "oauth2":
		return c.oauth2(name, object(scheme["flows"]), scopes)
	case "openIdConnect":
		return c.bearer(name, "an access token")
	}
	return fmt.Sprintf("is of type %q, which can't be expressed", cut(kind, 50))
}

// secret notes a variable of the environment and returns its placeholder's
// expression.
func (c *credentials) secret(name, use string) string {
	c.secrets = append(c.secrets, Secret{Name: name, Use: use})
	return "env." + name
}

// first reports whether the credential may be the definition's authConfig.
func (c *credentials) first(a *auth) bool {
	if c.auth != nil {
		return false
	}
	c.auth = a
	return true
}

// header sets a header beside authConfig; only one scheme may set each.
func (c *credentials) header(name, value string) string {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	for other := range c.headers {
		if textproto.CanonicalMIMEHeaderKey(other) == canonical {
			return "sets a header that another scheme sets"
		}
	}
	if c.authHeader() == canonical {
		return "sets a header that another scheme sets"
	}
	c.headers[name] = value
	return ""
}

// authHeader is the header that authConfig sets.
func (c *credentials) authHeader() string {
	switch {
	case c.auth == nil || c.auth.Config["in"] == "query":
		return ""
	case c.auth.Type == "apiKey":
		return textproto.CanonicalMIMEHeaderKey(text(c.auth.Config["name"]))
	}
	return "Authorization"
}

func (c *credentials) basic(scheme string) string {
	username := c.secret(variable(scheme, "USERNAME"), "the user name of "+scheme)
	password := c.secret(variable(scheme, "PASSWORD"), "the password of "+scheme)
	if c.first(&auth{"basic", map[string]any{"username": placeholder(username), "password": placeholder(password)}}) {
		return ""
	}
	return c.header("Authorization", "Basic "+placeholder("base64("+username+` + ":" + `+password+")"))
}

func (c *credentials) bearer(scheme, what string) string {
	token := placeholder(c.secret(variable(scheme, "TOKEN"), what+" of "+scheme))
	if c.first(&auth{"bearer", map[string]any{"token": token}}) {
		return ""
	}
	return c.header("Authorization", "Bearer "+token)
}

func (c *credentials) apiKey(scheme, in, name string) string {
	if name == "" {
		return "has no name"
	}
	key := c.secret(variable(scheme, "KEY"), "the API key of "+scheme)
	switch in {
	case "header":
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if canonical != "Authorization" && refusedHeaders[canonical] != "" || canonical == "Content-Type" || !httpguts.ValidHeaderFieldName(name) {
			return "has a header that can't be set"
		}
		if c.first(&auth{"apiKey", map[string]any{"name": name, "value": placeholder(key), "in": "header"}}) {
			return ""
		}
		return c.header(name, placeholder(key))
	case "query":
		if c.first(&auth{"apiKey", map[string]any{"name": name, "value": placeholder(key), "in": "query"}}) {
			return ""
		}
		if c.query[name] != nil || c.auth.Config["in"] == "query" && c.auth.Config["name"] == name {
			return "sets a query parameter that another scheme sets"
		}
		c.query[name] = placeholder(key)
		return ""
	case "cookie":
		if !httpguts.ValidHeaderFieldName(name) {
			return "has a name that a cookie can't have"
		}
		c.cookies = append(c.cookies, cookie{name, "urlEncode(" + key + ")", true})
		return ""
	}
	return fmt.Sprintf("is in %q, which isn't known", cut(in, 50))
}

// oauth2 fetches tokens itself where the scheme has a flow for machines; else the
// token comes from the environment.
func (c *credentials) oauth2(scheme string, flows map[string]any, scopes []any) string {
	flow := object(flows["clientCredentials"])
	tokenURL := c.absolute(text(flow["tokenUrl"]))
	if flow == nil || tokenURL == "" || c.auth != nil {
		return c.bearer(scheme, "an access token")
	}
	before := len(c.secrets)
	config := map[string]any{
		"tokenUrl":     literal(tokenURL),
		"clientId":     placeholder(c.secret(variable(scheme, "CLIENT_ID"), "the OAuth2 client id of "+scheme)),
		"clientSecret": placeholder(c.secret(variable(scheme, "CLIENT_SECRET"), "the OAuth2 client secret of "+scheme)),
	}
	for i := before; i < len(c.secrets); i++ {
		c.secrets[i].Servers = []string{tokenURL} // and not the API's, which gets the token
	}
	var names []string
	for _, scope := range scopes {
		names = append(names, text(scope))
	}
	if len(names) > 0 {
		config["scope"] = literal(strings.Join(names, " "))
	}
	c.first(&auth{"oauth2", config})
	return ""
}

// absolute resolves a URL against the server's; "" where that gives none.
func (c *credentials) absolute(address string) string {
	base, err := url.Parse(c.base + "/")
	if err != nil || address == "" {
		return ""
	}
	u, err := base.Parse(address)
	if err != nil || !absolute(u) {
		return ""
	}
	return u.String()
}
