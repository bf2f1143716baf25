package access

import "slices"

// Principal is a caller. The zero value may do nothing anywhere.
type Principal struct {
	// ID names the caller in logs and records: "key:<id>", "user:<sub>" or "anonymous".
	ID string
	// Organizations are those that the caller belongs to.
	Organizations map[string]Role
	// Any is the caller's role in every organization; empty for callers who only
	// belong to some.
	Any Role
	// Tools are the ids or names of the only tools that the caller may see and use.
	// Empty: all.
	Tools []string
	// Key is the API key of the caller; nil for others.
	Key *Key

	// guessable is a caller by a secret that people chose.
	guessable bool
}

// Anonymous is everybody, for a service that asks for no credentials.
func Anonymous() *Principal { return &Principal{ID: "anonymous", Any: Admin} }

// RoleIn is the caller's role in an organization; false where there is none.
func (p *Principal) RoleIn(organization string) (Role, bool) {
	if p.Any != "" {
		return p.Any, true
	}
	role, ok := p.Organizations[organization]
	return role, ok
}

// MayUse tells whether the caller's tools are unlimited or have tool, an id or name,
// among them. It says nothing about the role.
func (p *Principal) MayUse(tool string) bool {
	return len(p.Tools) == 0 || slices.Contains(p.Tools, tool)
}
