package sandbox

import (
	"bytes"
	"crypto/rand"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/net/http/httpguts"
)

// headerName is a header's name in lower case, or null.
func (e *execution) headerName(call goja.FunctionCall) goja.Value {
	name := call.Argument(0).String()
	if !httpguts.ValidHeaderFieldName(name) {
		return goja.Null()
	}
	return e.rt.ToValue(strings.ToLower(name))
}

// headerValue is a header's value without the white space around it, or null
// where it holds what a header can't.
func (e *execution) headerValue(call goja.FunctionCall) goja.Value {
	value := strings.Trim(call.Argument(0).String(), "\t\n\r ")
	for _, r := range value {
		if r == 0 || r == '\n' || r == '\r' || r > 0xff {
			return goja.Null()
		}
	}
	return e.rt.ToValue(value)
}

// normalMethod is a method as the standard writes it, or null for one that is
// none or forbidden.
func (e *execution) normalMethod(call goja.FunctionCall) goja.Value {
	method := call.Argument(0).String()
	if !httpguts.ValidHeaderFieldName(method) { // both are tokens
		return goja.Null()
	}
	switch upper := strings.ToUpper(method); upper {
	case "CONNECT", "TRACE", "TRACK":
		return goja.Null()
	case "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT":
		return e.rt.ToValue(upper)
	}
	return e.rt.ToValue(method)
}

// bodyKind says how formData reads a content type.
func (e *execution) bodyKind(call goja.FunctionCall) goja.Value {
	mediaType, _, _ := strings.Cut(call.Argument(0).String(), ";")
	switch strings.ToLower(strings.Trim(mediaType, asciiSpace)) {
	case "multipart/form-data":
		return e.rt.ToValue("multipart")
	case "application/x-www-form-urlencoded":
		return e.rt.ToValue("urlencoded")
	}
	return goja.Null()
}

func (e *execution) boundary(goja.FunctionCall) goja.Value {
	return e.rt.ToValue("----toolrun" + strings.ToLower(rand.Text()))
}

// parseMultipart reads a form: parseMultipart(body, contentType) gives a list of
// {name, filename or null, type, data}, or null.
func (e *execution) parseMultipart(call goja.FunctionCall) goja.Value {
	parts, ok := readForm(e.buffer(call.Argument(0)), call.Argument(1).String())
	if !ok {
		return goja.Null()
	}
	items := make([]any, len(parts))
	for i, part := range parts {
		object := e.rt.CreateObject(nil)
		e.define(object, "name", e.rt.ToValue(part.name))
		e.define(object, "filename", goja.Null())
		if part.file {
			e.define(object, "filename", e.rt.ToValue(part.filename))
		}
		e.define(object, "type", e.rt.ToValue(part.mediaType))
		e.define(object, "data", e.newBuffer(part.data))
		items[i] = object
	}
	return e.rt.NewArray(items...)
}

// formPart is an entry of a multipart form.
type formPart struct {
	name, filename, mediaType string
	file                      bool
	data                      []byte
}

// maxFormParts bounds what a form is made of, as each entry costs much more than
// its bytes.
const maxFormParts = 10000

func readForm(body []byte, contentType string) ([]formPart, bool) {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || parameters["boundary"] == "" {
		return nil, false
	}
	var parts []formPart
	reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for {
		raw, err := reader.NextRawPart()
		if err == io.EOF {
			return parts, true
		}
		if err != nil || len(parts) == maxFormParts {
			return nil, false
		}
		part, ok := readFormPart(raw.Header, raw)
		if !ok {
			return nil, false
		}
		parts = append(parts, part)
	}
}

func readFormPart(header textproto.MIMEHeader, content io.Reader) (part formPart, ok bool) {
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	if err != nil || kind != "form-data" {
		return part, false
	}
	name, named := parameters["name"]
	if !named {
		return part, false
	}
	part.name = unescapeFormName(name)
	if filename, isFile := parameters["filename"]; isFile {
		part.file, part.filename = true, unescapeFormName(filename)
		part.mediaType = "text/plain"
		if given := header.Get("Content-Type"); given != "" {
			part.mediaType = strings.ToValidUTF8(given, "\ufffd")
		}
	}
	part.data, err = io.ReadAll(content)
	return part, err == nil
}

// unescapeFormName undoes what browsers, and the prelude, do to names.
func unescapeFormName(name string) string {
	return strings.NewReplacer("%0A", "\n", "%0D", "\r", "%22", `"`).Replace(name)
}
