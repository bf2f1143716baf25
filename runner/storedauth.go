package runner

import (
	"maps"
	"slices"
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

// credentialFields are, by type, what an auth config needs and where a credential
// has it that is more than a text.
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
	_, asks := a.Config["tokenUrl"]
	_, token := a.Config["accessToken"]
	_, credential := a.Config["credentialId"]
	switch {
	case a.Type == "api_key":
		out.Type = "apiKey"
	case a.Type == "oauth2" && !asks && (token || credential):
		out.Type = "bearer" // the token is at hand
	}
	for _, name := range slices.Sorted(maps.Keys(a.Config)) {
		tr.authField(pointer, out, name, a.Config[name])
	}
	return out
}

// authField puts a field of an auth config where it belongs.
func (tr *translation) authField(pointer string, out *httptool.Auth, name string, value any) {
	id, isID := value.(string)
	if fields := credentialFields[out.Type]; name == "credentialId" && isID && fields != nil {
		for ours, theirs := range fields {
			tr.setAuth(pointer, out, name, ours, credentialExpression(id, ours, theirs))
		}
		return
	}
	ours := name
	for _, pair := range storedAuthNames[out.Type] {
		if pair.theirs == name {
			ours = pair.ours
		}
	}
	tr.setAuth(pointer, out, name, ours, value)
}

func (tr *translation) setAuth(pointer string, out *httptool.Auth, name, ours string, value any) {
	written := at(pointer, "config", name)
	if _, twice := out.Config[ours]; twice {
		tr.fault(written, "says the same as another field: keep one of the two")
		return
	}
	out.Config[ours] = value
	if ours != name {
		tr.moved(at("/authConfig/config", ours), written)
	}
}

// credentialExpression reads what an auth config needs of one of the platform's
// credentials, which stands under its id among ours: as an object with one of the
// fields, or as a text that is the secret.
func credentialExpression(id, ours string, fields []string) string {
	credential := "credentials[" + strconv.Quote(id) + "]"
	text := ""
	for _, field := range fields {
		text += credential + "." + field + " ?? "
	}
	if ours == "password" {
		return "{{" + text + "''}}"
	}
	return "{{" + text + credential + "}}"
}
