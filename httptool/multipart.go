package httptool

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// fileContents are the members of a file that hold what is in it; a file has
// one of them.
var fileContents = []string{"base64", "dataUrl", "text"}

// file is a part of a multipart form that isn't just a text.
type file struct {
	name        string // empty: none is sent
	contentType string
	content     []byte
}

const notAFile = "a file is an object of filename, contentType and one of base64, dataUrl and text"

// checkPart finds the faults of a value in a multipart form: a scalar, a file or
// an array of these.
func (c *compiler) checkPart(at string, v any) {
	array, ok := v.([]any)
	if !ok {
		c.checkFile(at, v)
		return
	}
	for i, element := range array {
		c.checkFile(at+"/"+strconv.Itoa(i), element)
	}
}

func (c *compiler) checkFile(at string, v any) {
	members, ok := v.(map[string]any)
	if !ok {
		if _, ok := strictjson.ScalarText(v); !ok && v != nil {
			c.fault(at, "must be a string, number, boolean, file or an array of these")
		}
		return
	}
	var contents []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if slices.Contains(fileContents, name) {
			contents = append(contents, name)
		}
		c.checkFileMember(at+"/"+pointerName(name), name, members[name])
	}
	if len(contents) != 1 {
		c.fault(at, "needs exactly one of "+strings.Join(fileContents, ", "))
	}
}

// checkFileMember checks a member where it is literal.
func (c *compiler) checkFileMember(at, name string, v any) {
	check := map[string]func(string) error{
		"text":        func(string) error { return nil },
		"base64":      func(s string) error { _, err := decodeBase64(s); return err },
		"dataUrl":     func(s string) error { _, _, err := decodeDataURL(s); return err },
		"filename":    checkFileName,
		"contentType": checkMediaType,
	}[name]
	text, ok := strictjson.ScalarText(v)
	switch {
	case check == nil:
		c.fault(at, "is no member of a file: "+notAFile)
		return
	case !ok:
		c.fault(at, "must be a string")
		return
	}
	t, err := expression.Compile(text, c.declared)
	if err != nil {
		return // a fault that the tree will find, too
	}
	if constant, ok := t.Constant(); ok {
		if err := check(constant); err != nil {
			c.fault(at, err.Error())
		}
	}
}

// fileOf reads a file; nil for a literal one whose content is absent.
func fileOf(v map[string]any, literal bool) (*file, error) {
	text := make(map[string]string, len(v))
	content := ""
	for _, name := range slices.Sorted(maps.Keys(v)) {
		member := v[name]
		if member == nil {
			continue
		}
		s, ok := strictjson.ScalarText(member)
		switch {
		case name != "filename" && name != "contentType" && !slices.Contains(fileContents, name):
			return nil, badInput("%s", notAFile)
		case !ok:
			return nil, badInput("%s of a file must be a string", name)
		case slices.Contains(fileContents, name) && content != "":
			return nil, badInput("a file needs exactly one of %s", strings.Join(fileContents, ", "))
		case slices.Contains(fileContents, name):
			content = name
		}
		text[name] = s
	}
	if content == "" && literal {
		return nil, nil
	}
	f := &file{name: text["filename"], contentType: text["contentType"]}
	mediaType, err := "application/octet-stream", error(nil)
	switch content {
	case "base64":
		f.content, err = decodeBase64(text[content])
	case "dataUrl":
		mediaType, f.content, err = decodeDataURL(text[content])
	case "text":
		mediaType, f.content = "text/plain; charset=utf-8", []byte(text[content])
	default:
		return nil, badInput("a file needs one of %s", strings.Join(fileContents, ", "))
	}
	if err != nil {
		return nil, badInput("%s %s", content, err)
	}
	if f.contentType == "" {
		f.contentType = mediaType
	}
	if f.name == "" && content != "text" {
		f.name = "file" // servers take a part without one for a text
	}
	if err := checkFileName(f.name); err != nil {
		return nil, badInput("filename %s", err)
	}
	if err := checkMediaType(f.contentType); err != nil {
		return nil, badInput("contentType %s", err)
	}
	return f, nil
}

// multipart makes a form as RFC 7578 has it.
func (t *bodyTemplate) multipart(s *expression.Scope, h http.Header) ([]byte, error) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, f := range t.fields {
		v, present, err := f.value.Value(s)
		if err != nil {
			return nil, err
		}
		if !present {
			continue
		}
		values, ok := v.([]any)
		if !ok {
			values = []any{v}
		}
		for _, v := range values {
			if v == nil { // left out, as in the other form
				continue
			}
			part, err := f.part(v)
			if err != nil {
				return nil, badInput("%s: %s", shownName(f.name), detailOf(err))
			}
			if part == nil {
				continue
			}
			if buf.Len()+len(part.content) > maxBodyBytes {
				return nil, bodyTooLarge()
			}
			if err := part.write(w, f.name); err != nil {
				return nil, badInput("%s: can't be written as a part of the form", shownName(f.name))
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, badInput("the form can't be written")
	}
	h["Content-Type"] = []string{w.FormDataContentType()}
	return buf.Bytes(), nil
}

func (f *field) part(v any) (*file, error) {
	if object, ok := v.(map[string]any); ok {
		return fileOf(object, f.literal)
	}
	text, ok := strictjson.ScalarText(v)
	if !ok {
		return nil, badInput("a form takes strings, numbers, booleans, files and arrays of these")
	}
	return &file{content: []byte(text)}, nil
}

func (f *file) write(w *multipart.Writer, name string) error {
	disposition := `form-data; name="` + quotedParameter.Replace(name) + `"`
	if f.name != "" {
		disposition += `; filename="` + quotedParameter.Replace(f.name) + `"`
	}
	h := textproto.MIMEHeader{"Content-Disposition": {disposition}}
	if f.contentType != "" {
		h["Content-Type"] = []string{f.contentType}
	}
	part, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = part.Write(f.content)
	return err
}

// quotedParameter escapes a name as the HTML standard does ("multipart/form-data
// encoding algorithm"): so browsers send it and servers read it.
var quotedParameter = strings.NewReplacer("\r", "%0D", "\n", "%0A", `"`, "%22")

// checkFileName refuses what a quoted parameter can't hold unambiguously: some
// servers take a backslash for an escape, and control characters for anything.
func checkFileName(name string) error {
	switch {
	case len(name) > maxFormName:
		return fmt.Errorf("is longer than %d bytes", maxFormName)
	case strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || r != '\r' && r != '\n' && (r < ' ' || r == 0x7f) }):
		return errors.New("must not hold a backslash or a control character")
	}
	return nil
}

func checkMediaType(s string) error {
	mediaType, _, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(mediaType, "/") || !httpguts.ValidHeaderFieldValue(s) {
		return errors.New("is no media type, as image/png is")
	}
	return nil
}

// bodyTooLarge is a body, form or query over [maxBodyBytes].
func bodyTooLarge() *errclass.Error {
	return badInput("the request is larger than %d MiB", maxBodyBytes>>20)
}
