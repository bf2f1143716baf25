package httptool

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// value is the result that a response stands for.
func (t *Tool) value(r *reply) (json.RawMessage, *errclass.Error) {
	if t.mapping == nil && !t.graphql {
		return rawValue(r)
	}
	if value, ok := t.picked(r); ok {
		return value, nil
	}
	body, failure := decoded(r)
	if failure != nil {
		return nil, failure
	}
	if t.graphql {
		if body, failure = graphqlData(body); failure != nil {
			return nil, failure
		}
	}
	v, failure := t.mapping.apply(body, r)
	if failure != nil {
		return nil, failure
	}
	return marshal(v)
}

// picked is the result of a mapping that only names paths, read without building
// the values beside it. Where it isn't ok, value has the reason.
func (t *Tool) picked(r *reply) (value json.RawMessage, ok bool) {
	if t.graphql || t.mapping.success != nil {
		return nil, false
	}
	kind, text, failure := content(r)
	if failure != nil || kind == contentEmpty || kind == contentText {
		return nil, false
	}
	if len(t.mapping.errorPath) > 0 {
		part, found, err := strictjson.Find(text, t.mapping.errorPath)
		if err != nil {
			return nil, false
		}
		if v, err := strictjson.Decode(part); found && (err != nil || truthy(v)) {
			return nil, false
		}
	}
	part, found, err := strictjson.Find(text, t.mapping.dataPath)
	if err != nil || !found {
		return nil, false
	}
	value, err = strictjson.Compact(part)
	return value, err == nil
}

func marshal(v any) (json.RawMessage, *errclass.Error) {
	text, err := strictjson.Marshal(v)
	if err != nil {
		return nil, errclass.New(errclass.InternalError, errclass.Unclassified, "").WithCause(err)
	}
	return text, nil
}

// rawValue is the body as JSON text: JSON is passed on, text becomes a string,
// nothing becomes null.
func rawValue(r *reply) (json.RawMessage, *errclass.Error) {
	kind, text, failure := content(r)
	switch {
	case failure != nil:
		return nil, failure
	case kind == contentEmpty:
		return json.RawMessage("null"), nil
	case kind == contentText:
		return marshal(string(text))
	}
	compact, err := strictjson.Compact(text)
	if err == nil {
		return compact, nil
	}
	if kind == contentUnknown {
		return marshal(string(text))
	}
	return nil, notJSON(err, text, r)
}

// decoded is the body as a Go value.
func decoded(r *reply) (any, *errclass.Error) {
	kind, text, failure := content(r)
	switch {
	case failure != nil:
		return nil, failure
	case kind == contentEmpty:
		return nil, nil
	case kind == contentText:
		return string(text), nil
	}
	v, err := strictjson.Decode(text)
	if err == nil {
		return v, nil
	}
	if kind == contentUnknown {
		return string(text), nil
	}
	return nil, notJSON(err, text, r)
}

func notJSON(err error, text []byte, r *reply) *errclass.Error {
	what := "the body is not valid JSON"
	if looksLikeHTML(text) {
		what = "the body is HTML, not JSON"
	}
	if syntax, ok := errors.AsType[*strictjson.SyntaxError](err); ok && syntax.Offset >= 0 {
		e := errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "%s: %s at offset %d (content type %s)", what, syntax.Message, syntax.Offset, shownType(r))
		return e.WithCause(err)
	}
	return errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "%s (content type %s)", what, shownType(r)).WithCause(err)
}

func looksLikeHTML(text []byte) bool {
	start := bytes.ToLower(bytes.TrimSpace(text[:min(len(text), 256)]))
	return bytes.HasPrefix(start, []byte("<!doctype")) || bytes.HasPrefix(start, []byte("<html")) || bytes.HasPrefix(start, []byte("<head"))
}

type contentKind byte

const (
	contentEmpty contentKind = iota
	contentJSON
	contentText
	contentUnknown // no type given: JSON if it is, else text
)

var bom = []byte("\xef\xbb\xbf")

// content returns the body as UTF-8 and how to read it.
func content(r *reply) (contentKind, []byte, *errclass.Error) {
	if coding := r.header.Get("Content-Encoding"); len(r.body) > 0 && coding != "" && !strings.EqualFold(coding, "identity") {
		return 0, nil, errclass.Newf(errclass.InvalidResponse, errclass.BadEncoding, "the body is compressed as %s, which wasn't asked for", errclass.OneLine(coding, 40))
	}
	if len(r.body) == 0 {
		return contentEmpty, nil, nil
	}
	mediaType, charset := contentType(r)
	kind, ok := kindOf(mediaType)
	if !ok {
		e := errclass.Newf(errclass.InvalidResponse, errclass.BadEncoding, "the body is %s, and a result is JSON or text", errclass.OneLine(mediaType, 80))
		return 0, nil, e
	}
	text, failure := toUTF8(r.body, charset)
	if failure != nil {
		return 0, nil, failure
	}
	text = bytes.TrimPrefix(text, bom)
	if len(bytes.TrimSpace(text)) == 0 && kind != contentText {
		return contentEmpty, nil, nil
	}
	if kind != contentJSON && !utf8.Valid(text) {
		return 0, nil, errclass.Newf(errclass.InvalidResponse, errclass.BadEncoding, "the body is not valid UTF-8 (content type %s)", shownType(r))
	}
	return kind, text, nil
}

func contentType(r *reply) (mediaType, charset string) {
	header := r.header.Get("Content-Type")
	switch header {
	case "application/json", "application/json; charset=utf-8", "application/json;charset=utf-8":
		return "application/json", ""
	}
	mediaType, parameters, err := mime.ParseMediaType(header)
	if err != nil {
		mediaType, _, _ = strings.Cut(header, ";")
		mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	}
	return mediaType, strings.ToLower(parameters["charset"])
}

func shownType(r *reply) string {
	if header := r.header.Get("Content-Type"); header != "" {
		return errclass.OneLine(header, 80)
	}
	return "not given"
}

func isJSONType(mediaType string) bool {
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

var textTypes = map[string]bool{
	"application/xml": true, "application/javascript": true, "application/ecmascript": true,
	"application/x-ndjson": true, "application/ndjson": true, "application/jsonl": true, "application/jsonlines": true,
	"application/x-www-form-urlencoded": true, "application/yaml": true, "application/x-yaml": true, "application/toml": true,
	"application/graphql": true, "application/sql": true, "application/x-sh": true, "application/csv": true,
	"application/rtf": true, "application/pem-certificate-chain": true,
}

func kindOf(mediaType string) (contentKind, bool) {
	switch {
	case mediaType == "":
		return contentUnknown, true
	case isJSONType(mediaType):
		return contentJSON, true
	case strings.HasPrefix(mediaType, "text/"), strings.HasSuffix(mediaType, "+xml"), strings.HasSuffix(mediaType, "+yaml"), textTypes[mediaType]:
		return contentText, true
	}
	return 0, false
}

// toUTF8 decodes as the encoding standard has it: a byte order mark overrides the
// charset of the header, and charsets go by their many names. Unlike there, bytes
// that the charset doesn't have are a failure and not U+FFFD.
func toUTF8(body []byte, charset string) ([]byte, *errclass.Error) {
	switch {
	case bytes.HasPrefix(body, bom):
		charset = "utf-8"
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		charset = "utf-16le"
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		charset = "utf-16be"
	}
	switch charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return body, nil
	}
	enc, err := htmlindex.Get(charset)
	if err != nil || enc == encoding.Replacement {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.BadEncoding, "the body is in charset %s, which is not supported", errclass.OneLine(charset, 40))
	}
	text, err := enc.NewDecoder().Bytes(body)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.BadEncoding, "the body is not valid %s", charset).WithCause(err)
	}
	return text, nil
}
