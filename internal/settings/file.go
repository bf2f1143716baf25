package settings

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/almyty-inc/toolrun/internal/document"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

func (l *loader) fromFile(name string) {
	doc, err := read(name)
	if err != nil {
		l.faults = append(l.faults, err)
		return
	}
	if doc == nil {
		return
	}
	shape, err := l.shape()
	if err != nil {
		l.faults = append(l.faults, err)
		return
	}
	value, err := strictjson.Decode(doc.JSON)
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("%s: %w", name, err))
		return
	}
	wrong := map[string]bool{}
	for _, fault := range shape.Validate(value) {
		l.faults = append(l.faults, fmt.Errorf("%s: %s", doc.Where(fault.Field), describe(fault.Field, fault.Message)))
		wrong[firstOf(fault.Field)] = true
	}
	if _, ok := value.(map[string]any); !ok {
		return
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(doc.JSON, &members); err != nil {
		l.faults = append(l.faults, fmt.Errorf("%s: %w", name, err))
		return
	}
	for _, key := range inOrder(doc, members) {
		if !wrong[key] {
			l.fromMember(doc, key, members[key])
		}
	}
}

func (l *loader) fromMember(doc *document.Document, key string, raw json.RawMessage) {
	f := l.keys[key]
	if f == nil || hasSource(f) {
		return
	}
	values, err := texts(raw)
	if err == nil {
		err = set(f, values)
	}
	where := doc.Where("/" + key)
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("%s: %s: %w", where, key, err))
	}
	setSource(f, "file "+where)
}

// read reads a configuration file of bounded size. It is nil for one of comments
// only, which would be no document.
func read(name string) (*document.Document, error) {
	// O_NONBLOCK keeps the opening of a named pipe from waiting for its other end.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("the configuration can't be read: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the configuration can't be read: %s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, document.MaxBytes+1)) // Parse refuses what is longer
	if err != nil {
		return nil, fmt.Errorf("the configuration can't be read: %w", err)
	}
	if len(data) <= document.MaxBytes && blank(string(data)) {
		return nil, nil
	}
	return document.Parse(name, data)
}

func blank(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// shape is the JSON Schema of the file. Its messages are those of all other
// files of ours, with the key that was probably meant.
func (l *loader) shape() (*schema.Schema, error) {
	properties := make(map[string]any, len(l.keys))
	for key, f := range l.keys {
		properties[key] = shapeOf(f.Value)
	}
	raw, err := strictjson.Marshal(map[string]any{"type": "object", "additionalProperties": false, "properties": properties})
	if err != nil {
		return nil, err
	}
	s, faults := schema.Compile(raw)
	if len(faults) > 0 {
		return nil, errors.New("settings: the schema of the flags is broken: " + schema.Message(faults))
	}
	return s, nil
}

// shapeOf is what a flag's value looks like in the file. Text must be text, so
// that 007 and 1e3 stay as they are written; what reads texts of its own, as
// durations and sizes, may be a number too.
func shapeOf(v pflag.Value) map[string]any {
	if _, ok := v.(pflag.SliceValue); ok {
		return map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	}
	switch kind := v.Type(); {
	case kind == "string":
		return map[string]any{"type": "string"}
	case kind == "bool":
		return map[string]any{"type": "boolean"}
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), kind == "count":
		return map[string]any{"type": "integer"}
	case strings.HasPrefix(kind, "float"):
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": []string{"string", "number"}}
}

// texts is a value, or the values of a list, as they would stand on the command
// line.
func texts(raw json.RawMessage) ([]string, error) {
	switch raw[0] {
	case '[':
		var list []string
		err := strictjson.Unmarshal(raw, &list)
		return list, err
	case '"':
		var text string
		err := strictjson.Unmarshal(raw, &text)
		return []string{text}, err
	}
	return []string{string(raw)}, nil
}

// inOrder is the keys as they follow each other in the file.
func inOrder(doc *document.Document, members map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, y := doc.Positions["/"+a], doc.Positions["/"+b]
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column), strings.Compare(a, b))
	})
	return keys
}

// firstOf is the first name in a JSON pointer. Flags' names need no unescaping.
func firstOf(pointer string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	return name
}

// describe puts the key before what is wrong with it.
func describe(pointer, message string) string {
	if key := strings.TrimPrefix(pointer, "/"); key != "" {
		return key + ": " + message
	}
	return message
}
