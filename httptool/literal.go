package httptool

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/internal/redact"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// plain is a placeholder that holds no text of its own.
var plain = regexp.MustCompile("\\{\\{[^{}'\"`]*\\}\\}")

// minPiece is the length in bytes from which text beside placeholders counts as
// a secret: "Bearer " is none.
const minPiece = 8

// Literals are the secrets that stand in a itself, where its author wrote a
// value in place of {{env.NAME}}: what must not be shown.
func (a *Auth) Literals() []string {
	var found []string
	for _, name := range a.secretFields() {
		text, ok := strictjson.ScalarText(a.Config[name])
		if !ok {
			continue
		}
		pieces := plain.Split(text, -1)
		if len(pieces) == 1 {
			found = append(found, text)
		}
		for _, piece := range pieces {
			piece = strings.Trim(piece, "{}'\"` ")
			if len(pieces) == 1 || len(piece) >= minPiece {
				found = append(found, piece)
			}
		}
	}
	return found
}

// Redacted is a copy of a that may be shown: a secret field whose value is more
// than placeholders reads "[redacted]".
func (a *Auth) Redacted() *Auth {
	if a == nil {
		return nil
	}
	shown := &Auth{Type: a.Type, Config: maps.Clone(a.Config)}
	for _, name := range a.secretFields() {
		text, ok := strictjson.ScalarText(a.Config[name])
		if !ok || strings.Trim(plain.ReplaceAllString(text, ""), " :") != "" {
			shown.Config[name] = redact.Marker
		}
	}
	return shown
}

// secretFields are all but those known to be harmless, sorted.
func (a *Auth) secretFields() []string {
	if a == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(a.Config)), func(name string) bool {
		switch name {
		case "name", "in", "tokenUrl", "clientId", "scope", "audience", "clientAuth", "grantType":
			return true
		case "headerName", "parameter", "location", "credentialId": // as a stored tool has them
			return true
		case "username": // with no password it is the key, as Stripe has it
			password, _ := strictjson.ScalarText(a.Config["password"])
			return password != ""
		}
		return false
	})
}
