package llmtool

import (
	"net/http"

	"github.com/almyty-inc/toolrun/errclass"
)

// Clients holds a ready client for each configured provider. Make it once, with
// [NewClients], and share it: it is safe for concurrent use, and holds no
// connections of its own.
type Clients struct {
	byID map[string]*provider
}

// NewClients checks all providers and makes their clients. Every request goes
// through rt, which decides what may be reached; a nil rt reaches nothing. Faults
// carry pointers such as "/0/type" beneath the list, prefixed with "/providers".
// dialects are those that the host has besides OpenAI's.
//
// env and credentials are for the runs whose [Input] has no value of a name: what
// a run brings wins, name by name. One that neither has is no fault here: the
// runs that use the provider fail, with [errclass.MissingCredential].
func NewClients(
	providers []Provider, env map[string]string, credentials map[string]any, rt http.RoundTripper, dialects ...Dialect,
) (*Clients, []errclass.FieldError) {
	if rt == nil {
		rt = closedDoor{}
	}
	c := &Clients{byID: make(map[string]*provider, len(providers))}
	var faults []errclass.FieldError
	for i, given := range providers {
		p, more := compileProvider(given, i, env, credentials, rt, dialects)
		faults = append(faults, more...)
		if p == nil {
			continue
		}
		if c.byID[p.id] != nil {
			faults = append(faults, providerFault(i, "id", "is used by another provider"))
			continue
		}
		c.byID[p.id] = p
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

// Names returns the names of env and credentials that a provider's definition
// reads. Both are empty for an unknown provider and for nil Clients.
func (c *Clients) Names(id string) (env, credentials []string) {
	if p := c.find(id); p != nil {
		return p.env, p.credentials
	}
	return nil, nil
}

func (c *Clients) find(id string) *provider {
	if c == nil {
		return nil
	}
	return c.byID[id]
}

// closedDoor is the network of a host that gave none.
type closedDoor struct{}

func (closedDoor) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errclass.New(errclass.RequestBlocked, errclass.Blocked, "no network access is configured")
}
