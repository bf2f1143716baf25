package schema

import (
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxMessage is about how long [Message] gets, in bytes.
const maxMessage = 400

// Message is all faults in one line: "Validation failed: quantity is required;
// items[2].price must be number". What no longer fits is counted.
func Message(faults []errclass.FieldError) string {
	if len(faults) == 0 {
		return "Validation failed"
	}
	var b strings.Builder
	b.WriteString("Validation failed: ")
	for i, f := range faults {
		text := sentence(f)
		if i > 0 && b.Len()+len(text) > maxMessage {
			b.WriteString("; and " + strconv.Itoa(len(faults)-i) + " more")
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(text)
	}
	return errclass.OneLine(b.String(), maxMessage+50)
}

func sentence(f errclass.FieldError) string {
	where := path(f.Field)
	if where == "" {
		where = "parameters"
	}
	return where + " " + f.Message
}

// path writes a pointer as code would: items[2].price.
func path(pointer string) string {
	if pointer == "" {
		return ""
	}
	var b strings.Builder
	for i, token := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		name := unescaper.Replace(token)
		switch {
		case isIndex(token):
			b.WriteString("[" + token + "]")
		case plain(name):
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(name)
		default:
			b.WriteString("[" + quote(name) + "]")
		}
	}
	return shorten(b.String(), 200)
}

// plain reports whether a name can stand in a path as it is.
func plain(name string) bool {
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '$', r > 0x7f, r == '…':
		default:
			return false
		}
	}
	return name != "" && len(name) <= maxQuoted
}
