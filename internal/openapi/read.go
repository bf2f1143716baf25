package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// read decodes JSON, or YAML where the text doesn't begin as JSON does.
func read(data []byte) (any, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !jsonStart.Match(data) {
		return readYAML(data)
	}
	v, err := strictjson.Decode(data)
	if err == nil {
		return v, nil
	}
	if v, yamlErr := readYAML(data); yamlErr == nil { // it may begin so, too
		return v, nil
	}
	return nil, fmt.Errorf("the description is not valid JSON: %w", err)
}

var jsonStart = regexp.MustCompile(`^[ \t\r\n]*\{[ \t\r\n]*["}]`)

func readYAML(data []byte) (any, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("the description is not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, errors.New("the description is empty")
	}
	// Aliases multiply; what they may add is bounded by what stands there.
	r := yamlReader{left: 1000 + 10*len(data)}
	return r.value(root.Content[0], 0)
}

// yamlReader turns nodes into the values of strictjson, by the core schema of
// YAML 1.2: a date is a text.
type yamlReader struct{ left int }

func (r *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	r.left--
	switch {
	case r.left < 0:
		return nil, fmt.Errorf("line %d: the description's aliases multiply its size", n.Line)
	case depth > strictjson.MaxDepth:
		return nil, fmt.Errorf("line %d: the description nests more than %d levels deep", n.Line, strictjson.MaxDepth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, element := range n.Content {
			v, err := r.value(element, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		return r.mapping(n, depth)
	}
	return scalar(n), nil
}

func (r *yamlReader) mapping(n *yaml.Node, depth int) (any, error) {
	members := make(map[string]any, len(n.Content)/2)
	var merged []any
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: the key of a mapping is not a text", key.Line)
		}
		v, err := r.value(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, v)
			continue
		}
		if _, twice := members[key.Value]; twice {
			return nil, fmt.Errorf("line %d: the key %q stands twice in one mapping", key.Line, key.Value)
		}
		members[key.Value] = v
	}
	for _, v := range merged {
		r.merge(members, v)
	}
	return members, nil
}

// merge adds the members of what << names, under those that are there.
func (r *yamlReader) merge(members map[string]any, v any) {
	sources, ok := v.([]any)
	if !ok {
		sources = []any{v}
	}
	for _, source := range sources {
		for name, member := range object(source) {
			if _, set := members[name]; !set {
				members[name] = member
				r.left--
			}
		}
	}
}

var prefixed = regexp.MustCompile(`^-?0[box]`)

func scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		plain := strings.TrimPrefix(strings.ReplaceAll(n.Value, "_", ""), "+")
		base := 10 // also after zeros: 1.2 writes octals as 0o17
		if prefixed.MatchString(plain) {
			base = 0
		}
		if i, err := strconv.ParseInt(plain, base, 64); err == nil {
			return i
		}
		return number(plain)
	case "!!float":
		return number(n.Value)
	}
	return n.Value
}

// number is the value of a text that YAML takes for a number; where JSON can't
// have it, the text.
func number(s string) any {
	if v, err := strictjson.Decode([]byte(s)); err == nil {
		switch v.(type) {
		case int64, float64, json.Number:
			return v
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return s
	}
	return f
}
