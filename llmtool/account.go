package llmtool

import (
	"maps"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/redact"
)

// account is in whose name a provider is asked: what its expressions amount to
// for the env and credentials of one run. It is never changed.
type account struct {
	values  *expression.Scope // what it was made of; only the names that are read
	apiKey  string
	header  http.Header
	secrets *redact.Redactor // knows the values that must not be seen
	missing error            // why the provider can't be used: a value that isn't there
}

// headerTemplate is a header of a provider.
type headerTemplate struct {
	name  string
	value *expression.Template
}

// values picks what the provider reads out of env and credentials.
func (p *provider) values(env map[string]string, credentials map[string]any) *expression.Scope {
	s := &expression.Scope{Env: map[string]string{}, Credentials: map[string]any{}}
	for _, name := range p.env {
		if value, ok := env[name]; ok {
			s.Env[name] = value
		}
	}
	for _, name := range p.credentials {
		if value, ok := credentials[name]; ok {
			s.Credentials[name] = value
		}
	}
	return s
}

// forRun is the provider with the account of a run: the run's env and credentials
// win over those that the provider was made with. The provider itself is left as
// it is, so that no run sees another's.
func (p *provider) forRun(in Input) *provider {
	if p.unchanged(in) {
		return p
	}
	s := p.values(p.account.values.Env, p.account.values.Credentials)
	given := p.values(in.Env, in.Credentials)
	maps.Copy(s.Env, given.Env)
	maps.Copy(s.Credentials, given.Credentials)
	return p.with(s)
}

// unchanged reports whether a run gives the provider no values but its own. Only
// texts are compared: whoever holds anything else may have changed it since.
func (p *provider) unchanged(in Input) bool {
	own := p.account.values
	for _, name := range p.env {
		value, given := in.Env[name]
		if had, ok := own.Env[name]; given && (!ok || had != value) {
			return false
		}
	}
	for _, name := range p.credentials {
		value, given := in.Credentials[name]
		if !given {
			continue
		}
		text, isText := value.(string)
		if had, ok := own.Credentials[name].(string); !isText || !ok || had != text {
			return false
		}
	}
	return true
}

// with is the provider with the account that the values make.
func (p *provider) with(values *expression.Scope) *provider {
	own := *p
	own.account = p.open(values)
	door := &wire{door: p.door, header: own.header}
	client, err := p.dialect.Connect(Account{
		BaseURL: p.baseURL, APIKey: own.apiKey, APIVersion: p.version, HTTP: door.httpClient(),
	})
	if own.client = client; err != nil && own.missing == nil {
		e := errclass.Newf(errclass.ConfigurationError, errclass.BadDefinition, "provider %s can't be used as it is configured", p.id).WithCause(err)
		e.Upstream.Provider = p.id
		own.missing = e
	}
	return &own
}

// open evaluates the provider's expressions. What is absent leaves the provider
// unusable, for the first reason met.
func (p *provider) open(values *expression.Scope) account {
	a := account{values: values, header: http.Header{}}
	var hidden []any
	for _, value := range values.Env {
		hidden = append(hidden, value)
	}
	for _, value := range values.Credentials {
		hidden = append(hidden, value)
	}
	miss := func(err error) {
		if a.missing == nil {
			e := *errclass.Classify(err)
			e.Upstream.Provider = p.id
			a.missing = &e
		}
	}
	evaluate := func(t *expression.Template) (string, bool) {
		text, present, err := t.Text(values, nil)
		if err != nil {
			miss(err)
			return "", false
		}
		if env, credentials := t.Names(); len(env)+len(credentials) > 0 {
			hidden = append(hidden, text)
		}
		return text, present
	}
	if p.key != nil {
		key, present := evaluate(p.key)
		switch {
		case !present: // null, say: a request without a key would be somebody else's, or nobody's
			miss(errclass.New(errclass.ConfigurationError, errclass.MissingCredential,
				"the apiKey of provider "+p.id+" has no value: "+p.keyNames()))
		case !httpguts.ValidHeaderFieldValue(key):
			miss(errclass.New(errclass.ConfigurationError, errclass.MissingCredential,
				"the apiKey of provider "+p.id+" holds a line break or control character"))
		default:
			a.apiKey = strings.TrimSpace(key)
		}
	}
	for _, h := range p.headers {
		value, present := evaluate(h.value)
		switch {
		case !present:
		case !httpguts.ValidHeaderFieldValue(value):
			miss(errclass.Newf(errclass.ConfigurationError, errclass.BadDefinition,
				"the header %s of provider %s holds a line break or control character", h.name, p.id))
		default:
			a.header.Set(h.name, value)
		}
	}
	a.secrets = redact.New(redact.Collect(hidden...))
	return a
}

// keyNames are the names that apiKey reads, as the author wrote them.
func (p *provider) keyNames() string {
	var names []string
	env, credentials := p.key.Names()
	for _, name := range env {
		names = append(names, "env."+name)
	}
	for _, name := range credentials {
		names = append(names, "credentials."+name)
	}
	return strings.Join(names, ", ")
}
