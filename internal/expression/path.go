package expression

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/parser/utils"
)

// The roots that every path starts at.
const (
	rootParameters  = "parameters"
	rootEnv         = "env"
	rootCredentials = "credentials"
)

var roots = []string{rootParameters, rootEnv, rootCredentials}

// path is a root and the constant keys (string) and indices (int64) after it.
type path struct {
	root string
	keys []any
}

// with returns the path one step further.
func (p *path) with(key any) *path {
	keys := append(p.keys[:len(p.keys):len(p.keys)], key)
	return &path{root: p.root, keys: keys}
}

// lookup finds the value; nil is absent.
func (p *path) lookup(s *Scope) (any, error) {
	var v any
	switch p.root {
	case rootEnv:
		text, ok := s.Env[p.keys[0].(string)]
		if !ok {
			return nil, missing(p.String())
		}
		v = text
	case rootCredentials:
		v = s.Credentials[p.keys[0].(string)]
	default:
		if len(p.keys) == 0 {
			return whole(s.Parameters), nil
		}
		v = member(s.Parameters, p.keys[0])
	}
	for _, key := range p.keys[min(1, len(p.keys)):] {
		if v == nil {
			break
		}
		v = member(v, key)
	}
	if v == nil && p.root != rootParameters {
		return nil, missing(p.String())
	}
	return plain(v)
}

// whole is the parameters as a value: an empty object where there are none.
func whole(parameters map[string]any) any {
	if parameters == nil {
		return map[string]any{}
	}
	return parameters
}

// String is the path as an author writes it.
func (p *path) String() string {
	var b strings.Builder
	b.WriteString(p.root)
	for _, key := range p.keys {
		switch key := key.(type) {
		case int64:
			b.WriteString("[" + strconv.FormatInt(key, 10) + "]")
		case string:
			if utils.IsValidIdentifier(key) {
				b.WriteString("." + key)
			} else {
				b.WriteString("[" + strconv.Quote(key) + "]")
			}
		}
	}
	return b.String()
}

// member is the member of v that key names, or nil. A negative index counts from
// the end.
func member(v, key any) any {
	switch v := v.(type) {
	case map[string]any:
		if name, ok := key.(string); ok {
			return v[name]
		}
	case []any:
		i, ok := key.(int64)
		if ok && i < 0 {
			i += int64(len(v))
		}
		if ok && i >= 0 && i < int64(len(v)) {
			return v[i]
		}
	}
	return nil
}

// plain turns v into one of the values that expressions compute with. Embedders
// in Go hand in ints; anything that JSON has no word for is a fault.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, int64, float64, json.Number, []any, map[string]any:
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case float32:
		return float64(v), nil
	}
	return nil, fault("reads a value that isn't JSON")
}
