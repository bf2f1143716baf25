package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// parameters are those of --params with those of -p over them.
func (f *runFlags) parameters(parameterSchema json.RawMessage, in io.Reader) (json.RawMessage, error) {
	data, err := f.readParams(in)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(f.pairs))
	for _, pair := range f.pairs {
		key, text, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("-p %s: write key=value", pair)
		}
		texts[key] = text
	}
	if len(texts) == 0 {
		return data, nil
	}
	object := map[string]any{}
	if len(data) > 0 {
		value, err := strictjson.Decode(data)
		var ok bool
		if object, ok = value.(map[string]any); err != nil || !ok {
			return data, nil // the runner rejects it, in the words for parameters without -p
		}
	}
	readPairs(object, texts, parameterSchema)
	return strictjson.Marshal(object)
}

// readPairs adds texts to object: each as the JSON that it is, or as it stands
// where it is none or the schema refuses the JSON and takes the text.
func readPairs(object map[string]any, texts map[string]string, parameterSchema json.RawMessage) {
	for key, text := range texts {
		value, err := strictjson.Decode([]byte(text))
		if err != nil {
			value = text
		}
		object[key] = value
	}
	if len(parameterSchema) == 0 {
		return
	}
	compiled, faults := schema.Compile(parameterSchema)
	if len(faults) > 0 {
		return // the runner has accepted it, so this can't be
	}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		refused := compiled.Validate(object)
		if len(refused) == 0 {
			return
		}
		asJSON := object[key]
		object[key] = texts[key]
		if left := compiled.Validate(object); len(left) > 0 && (!names(refused, key) || names(left, key)) {
			object[key] = asJSON
		}
	}
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// names reports whether one of faults lies in a member of the object.
func names(faults []errclass.FieldError, key string) bool {
	pointer := "/" + pointerEscaper.Replace(key)
	return slices.ContainsFunc(faults, func(f errclass.FieldError) bool {
		return f.Field == pointer || strings.HasPrefix(f.Field, pointer+"/")
	})
}

// maxParams bounds what is read from a file or stdin; the runner's own limit is
// lower.
const maxParams = 64 << 20

func (f *runFlags) readParams(in io.Reader) ([]byte, error) {
	switch {
	case f.params == "-":
		return readAll(in, "stdin")
	case strings.HasPrefix(f.params, "@"):
		file, err := os.Open(f.params[1:])
		if err != nil {
			return nil, fmt.Errorf("--params: %w", err)
		}
		defer file.Close()
		return readAll(file, f.params[1:])
	}
	return []byte(f.params), nil
}

func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxParams+1))
	if err != nil {
		return nil, fmt.Errorf("--params: %w", err)
	}
	if len(data) > maxParams {
		return nil, fmt.Errorf("--params: %s exceeds %d bytes", name, maxParams)
	}
	return bytes.TrimSpace(data), nil
}
