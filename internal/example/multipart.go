package example

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"unicode/utf8"
)

// decodeMultipart reads a multipart form as authors write one: a text, an object
// with filename, contentType and text or base64 for a part that has a file name
// or a type, and a list where a name occurs more than once.
func decodeMultipart(body []byte, boundary string) (any, error) {
	form := map[string][]any{}
	for r := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return listed(form), nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		form[p.FormName()] = append(form[p.FormName()], partOf(p, content))
	}
}

func partOf(p *multipart.Part, content []byte) any {
	filename, contentType := p.FileName(), p.Header.Get("Content-Type")
	if filename == "" && contentType == "" {
		return string(content)
	}
	part := map[string]any{}
	if filename != "" {
		part["filename"] = filename
	}
	if contentType != "" {
		part["contentType"] = contentType
	}
	if utf8.Valid(content) {
		part["text"] = string(content)
	} else {
		part["base64"] = base64.StdEncoding.EncodeToString(content)
	}
	return part
}

// listed makes of values what an author writes: one, or a list where a name
// occurs more than once.
func listed(values map[string][]any) any {
	object := make(map[string]any, len(values))
	for name, all := range values {
		if len(all) == 1 {
			object[name] = all[0]
		} else {
			object[name] = all
		}
	}
	return object
}
