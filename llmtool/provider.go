package llmtool

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
)

// Provider is one entry of the providers file.
type Provider struct {
	// ID is what tools name it by: 1 to 64 letters, digits, "_" and "-".
	ID string `json:"id"`
	// Type is the API that it speaks: "openai", "azure_openai", "deepseek", "groq",
	// "mistral", "ollama", "openrouter", "together", "xai", "custom" for anything
	// else that is compatible with OpenAI's, or that of a [Dialect] of the host's.
	Type string `json:"type"`
	// BaseURL is where the API begins, with its version: "https://api.openai.com/v1".
	// Defaults by type; "custom" has no default.
	BaseURL string `json:"baseUrl,omitempty"`
	// APIVersion is for APIs that are versioned beside their URL: Azure's, whose
	// default is 2024-10-21. It must be empty for all others.
	APIVersion string `json:"apiVersion,omitempty"`
	// APIKey is an expression over env and credentials, never a key itself. Empty
	// for servers that want none.
	APIKey string `json:"apiKey,omitempty"`
	// Model is for tools that name none, and for tools that fall back to this provider.
	Model string `json:"model,omitempty"`
	// Headers are sent with every request. Values may hold expressions; those
	// that carry a secret must.
	Headers map[string]string `json:"headers,omitempty"`
	// Timeout of one request, in milliseconds, at most an hour. Defaults to 60000.
	// A tool's own counts where it is shorter. Of a request whose answer is
	// streamed it bounds each wait for more; once there is text, no wait may be
	// longer than 30 s.
	Timeout int `json:"timeout,omitempty"`
	// Pricing by model, for [Usage.EstimatedCost]; a model with a date in its name
	// has the price of the one without, unless it has its own. Defaults to the list
	// prices of the vendor that Type names, for the models known on [PricesOf].
	Pricing map[string]Price `json:"pricing,omitempty"`
}

const (
	defaultTimeout = 60 * time.Second
	maxTimeout     = 3600_000 // milliseconds
)

// known are the types of the providers file's format whose dialects aren't built in.
var known = []string{"anthropic", "google"}

// provider is a [Provider] that has been checked, with an account to use it with.
type provider struct {
	id      string
	dialect Dialect
	baseURL string
	version string // of the API
	host    string
	model   string
	limit   *limit // of one request
	prices  map[string]Price

	key              *expression.Template // nil: none
	headers          []headerTemplate
	env, credentials []string // the names that these read

	door http.RoundTripper
	account
	client Client
}

var validID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// compileProvider checks the provider at index i of the list.
func compileProvider(
	given Provider, i int, env map[string]string, credentials map[string]any, door http.RoundTripper, dialects []Dialect,
) (*provider, []errclass.FieldError) {
	c := &providerCheck{index: i, dialects: append(slices.Clone(builtIn), dialects...)}
	c.p = &provider{
		id: given.ID, model: given.Model, prices: given.Pricing, door: door,
		limit: &limit{cmp.Or(time.Duration(given.Timeout)*time.Millisecond, defaultTimeout), "the provider's timeout"},
	}
	switch {
	case given.ID == "":
		c.fault("id", "is required")
	case !validID.MatchString(given.ID):
		c.fault("id", "must be 1 to 64 letters, digits, \"_\" or \"-\"")
	}
	if given.Timeout < 0 || given.Timeout > maxTimeout {
		c.fault("timeout", "must be between 1 and %d milliseconds", maxTimeout)
	}
	c.dialect(given)
	c.key(given.APIKey)
	for _, name := range slices.Sorted(maps.Keys(given.Headers)) {
		c.header(name, given.Headers[name])
	}
	for _, model := range slices.Sorted(maps.Keys(given.Pricing)) {
		c.price(model, given.Pricing[model])
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return c.p.with(c.p.values(env, credentials)), nil
}

// providerCheck collects what is wrong with one provider.
type providerCheck struct {
	index    int
	dialects []Dialect
	p        *provider
	faults   []errclass.FieldError
}

func (c *providerCheck) fault(field, format string, args ...any) {
	c.faults = append(c.faults, providerFault(c.index, field, fmt.Sprintf(format, args...)))
}

func providerFault(index int, field, message string) errclass.FieldError {
	return errclass.FieldError{Field: fmt.Sprintf("/providers/%d/%s", index, field), Message: message}
}

func (c *providerCheck) dialect(given Provider) {
	at := slices.IndexFunc(c.dialects, func(d Dialect) bool { return d.Type == given.Type })
	if at < 0 {
		var types []string
		for _, d := range c.dialects {
			types = append(types, d.Type)
		}
		slices.Sort(types)
		supported := strings.Join(types, ", ")
		switch {
		case given.Type == "":
			c.fault("type", "is required; one of: %s", supported)
		case slices.Contains(known, given.Type):
			c.fault("type", "%q is not supported by this build; supported are: %s", given.Type, supported)
		default:
			c.fault("type", "must be one of: %s", supported)
		}
		return
	}
	c.p.dialect = c.dialects[at]
	if given.APIVersion != "" && c.p.dialect.APIVersion == "" {
		c.fault("apiVersion", "has no meaning for type %q", given.Type)
	}
	c.p.version = cmp.Or(given.APIVersion, c.p.dialect.APIVersion)
	c.p.baseURL = strings.TrimRight(cmp.Or(given.BaseURL, c.p.dialect.BaseURL), "/")
	if c.p.baseURL == "" {
		c.fault("baseUrl", "is required for type %q", given.Type)
		return
	}
	u, err := url.Parse(c.p.baseURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		c.fault("baseUrl", "must be an http or https URL")
	case u.User != nil:
		c.fault("baseUrl", "must not hold a user name or password; use apiKey or headers")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		c.fault("baseUrl", "must not have a query or fragment")
	default:
		c.p.host = u.Host
	}
}

func (c *providerCheck) key(source string) {
	if source != "" {
		c.p.key = c.secret("apiKey", source)
	}
}

// carriesSecret are the headers whose value is a credential.
var carriesSecret = []string{"Authorization", "Proxy-Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key", "Cookie"}

// ours are the headers that the client sets itself.
var ours = []string{"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Accept", "Accept-Encoding"}

func (c *providerCheck) header(name, source string) {
	field := "headers/" + escapePointer(name)
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		c.fault(field, "is not a valid header name")
		return
	case slices.Contains(ours, canonical):
		c.fault(field, "can't be set; the client sets it itself")
		return
	}
	compile := c.template
	if slices.Contains(carriesSecret, canonical) {
		compile = c.secret
	}
	c.p.headers = append(c.p.headers, headerTemplate{name, compile(field, source)})
}

// secret is template for what must not stand in the file itself.
func (c *providerCheck) secret(field, source string) *expression.Template {
	if t, err := expression.Compile(source, expression.Declared{}); err == nil {
		if env, credentials := t.Names(); len(env)+len(credentials) == 0 {
			c.fault(field, "must not hold a key itself; name one, as in {{env.API_KEY}}")
			return nil
		}
	}
	return c.template(field, source)
}

// template compiles an expression over env and credentials; nil after a fault.
func (c *providerCheck) template(field, source string) *expression.Template {
	t, err := expression.Compile(source, expression.Declared{})
	if err != nil {
		c.fault(field, "%s", expressionMessage(err))
		return nil
	}
	env, credentials := t.Names()
	c.p.env, c.p.credentials = append(c.p.env, env...), append(c.p.credentials, credentials...)
	return t
}

func (c *providerCheck) price(model string, price Price) {
	for _, part := range []struct {
		name  string
		value float64
	}{{"prompt", price.Prompt}, {"completion", price.Completion}} {
		if part.value < 0 || math.IsNaN(part.value) || math.IsInf(part.value, 0) {
			c.fault("pricing/"+escapePointer(model)+"/"+part.name, "must not be negative")
		}
	}
}

// expressionMessage is what is wrong with an expression.
func expressionMessage(err error) string {
	if e, ok := errors.AsType[*expression.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
