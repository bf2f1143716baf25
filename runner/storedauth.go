package runner

import (
	"strconv"

	"github.com/almyty-inc/toolrun/httptool"
)

// storedAuthNames are the platform's names of an auth config's fields, by type and
// by the name that they have here.
var storedAuthNames = map[string][]struct{ ours, theirs string }{
	"apiKey": {
		{"value", "key"}, {"value", "apiKey"}, {"name", "headerName"}, {"name", "parameter"}, {"in", "location"},
	},
	"bearer": {{"token", "accessToken"}},
}

// credentialFields are where a credential that is more than a text holds what an
// auth config of a type needs, by the name that this has here.
var credentialFields = map[string]map[string][]string{
	"apiKey": {"value": {"apiKey", "key", "value"}},
	"bearer": {"token": {"token", "accessToken", "apiKey"}},
	"basic":  {"username": {"username"}, "password": {"password"}},
}

// auth translates an auth config that the author wrote at a pointer; nil where it
// asks for nothing.
func (tr *translation) auth(pointer string, a *httptool.Auth) *httptool.Auth {
	if a == nil || a.Type == "none" {
		return nil
	}
	tr.moved("/authConfig", pointer)
	out := &httptool.Auth{Type: a.Type, Config: map[string]any{}}
	if out.Type == "api_key" {
		out.Type = "apiKey"
	}
	if _, ready := a.Config["accessToken"]; ready && out.Type == "oauth2" {
		out.Type = "bearer" // with the token at hand there is nothing to ask for
	}
	for name, value := range a.Config {
		ours := name
		for _, pair := range storedAuthNames[out.Type] {
			if pair.theirs == name {
				ours = pair.ours
				tr.moved(at("/authConfig/config", ours), at(pointer, "config", name))
			}
		}
		if _, twice := out.Config[ours]; twice {
			tr.tool.fault(at(pointer, "config", name), "says the same as another field: keep one of the two")
		}
		out.Config[ours] = value
	}
	tr.credential(pointer, out)
	return out
}

// credential replaces the id of one of the platform's credentials by expressions
// that read the credential of that name.
func (tr *translation) credential(pointer string, a *httptool.Auth) {
	id, ok := a.Config["credentialId"].(string)
	if !ok {
		return
	}
	delete(a.Config, "credentialId")
	credential := "credentials[" + strconv.Quote(id) + "]"
	for ours, fields := range credentialFields[a.Type] {
		text := ""
		for _, field := range fields {
			text += credential + "." + field + " ?? "
		}
		if a.Type == "basic" {
			text = credential + "." + fields[0]
		} else {
			text += credential
		}
		a.Config[ours] = "{{" + text + "}}"
		tr.moved(at("/authConfig/config", ours), at(pointer, "config", "credentialId"))
	}
}
