package openapi

import (
	"fmt"
	"maps"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// param is a parameter of the operation, with what OpenAPI fills in.
type param struct {
	name, in string
	place    string
	source   map[string]any
	schema   any
	at       string // place of schema
	required bool
	style    string
	explode  bool
	json     bool // it is JSON text
	example  any
}

var inBraces = regexp.MustCompile(`\{[^{}]*\}`)

// parameters adds all parameters of the operation and returns its path.
func (b *builder) parameters() (string, error) {
	all, err := b.gather()
	if err != nil {
		return "", err
	}
	path, err := b.pathParameters(all)
	if err != nil {
		return "", err
	}
	for _, p := range all {
		err := ""
		switch p.in {
		case "path":
		case "query", "querystring":
			err = b.queryParameter(p)
		case "header":
			err = b.headerParameter(p)
		case "cookie":
			err = b.cookieParameter(p)
		default:
			err = fmt.Sprintf("stands in %q, which isn't known", p.in)
		}
		if err != "" {
			if err := b.without(p, err); err != nil {
				return "", err
			}
		}
	}
	return path, nil
}

// without leaves out what can't be sent where the API can do without it.
func (b *builder) without(p *param, why string) error {
	if p.required {
		return &leftOut{p.place, fmt.Sprintf("its %s parameter %q, which is required, %s", p.in, p.name, why)}
	}
	b.remark(p.place, fmt.Sprintf("the %s parameter %q is left out: it %s", p.in, p.name, why))
	return nil
}

// gather reads the parameters of the path's item and of the operation, which
// win, in the order in which they are added.
func (b *builder) gather() ([]*param, error) {
	var all []*param
	for _, from := range []struct {
		values []any
		place  string
	}{{list(b.item["parameters"]), b.itemPlace}, {list(b.op["parameters"]), b.place}} {
		for i, v := range from.values {
			place := from.place + "/parameters/" + strconv.Itoa(i)
			value, at, err := b.im.doc.resolve(v, place)
			if err != nil {
				return nil, &leftOut{place, "one of its parameters " + err.Error()}
			}
			p := b.im.doc.parameter(object(value), at)
			if p.name == "" {
				return nil, &leftOut{at, "one of its parameters has no name"}
			}
			if same := slices.IndexFunc(all, func(q *param) bool { return q.name == p.name && q.in == p.in }); same >= 0 {
				all[same] = p
				continue
			}
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(p, q *param) int { return places[p.in] - places[q.in] })
	return all, nil
}

// places are where parameters stand, in the order in which they get their names.
var places = map[string]int{"path": 1, "query": 2, "querystring": 3, "header": 4, "cookie": 5}

// parameter reads one parameter.
func (d *document) parameter(source map[string]any, place string) *param {
	p := &param{
		name: text(source["name"]), in: text(source["in"]), place: place, source: source,
		schema: source["schema"], at: place + "/schema", style: text(source["style"]),
	}
	p.required = source["required"] == true || p.in == "path"
	if p.style == "" {
		p.style = map[string]string{"query": "form", "cookie": "form"}[p.in]
	}
	if p.style == "" {
		p.style = "simple"
	}
	p.explode = p.style == "form"
	if explode, ok := source["explode"].(bool); ok {
		p.explode = explode
	}
	for _, kind := range slices.Sorted(maps.Keys(object(source["content"]))) {
		media := object(object(source["content"])[kind])
		p.schema, p.at = media["schema"], place+"/content/"+escape(kind)+"/schema"
		p.json = isJSON(kind)
		p.example = d.exampleOf(media)
		break
	}
	if p.example == nil {
		p.example = d.exampleOf(source)
	}
	return p
}

// add makes a property of the parameter and returns the expression for it. schema
// is the parameter's, or the part of it that can be sent.
func (b *builder) add(p *param, schema any, at string) string {
	converted := b.schema(schema, at)
	if note := strings.TrimSpace(text(p.source["description"])); note != "" {
		converted["description"] = cut(join(note, defaultNote(object(schema))), maxNote)
	}
	if p.source["deprecated"] == true {
		converted["deprecated"] = true
	}
	if short := shown(p.example); short && converted["examples"] == nil {
		converted["examples"] = []any{p.example}
	}
	name := b.property(p.name, p.in, converted, p.required && !keepDefault(converted, object(schema)["default"]))
	b.give(name, p.example, schema)
	return reach("parameters", name)
}

// pathParameters returns the path with an expression for each of its braces.
func (b *builder) pathParameters(all []*param) (string, error) {
	var out strings.Builder
	rest := b.path
	used := map[string]string{}
	for {
		span := inBraces.FindStringIndex(rest)
		if span == nil {
			break
		}
		name := rest[span[0]+1 : span[1]-1]
		out.WriteString(literal(rest[:span[0]]))
		rest = rest[span[1]:]
		if used[name] == "" {
			value, err := b.pathParameter(all, name)
			if err != nil {
				return "", err
			}
			used[name] = value
		}
		out.WriteString(used[name])
	}
	for _, p := range all {
		if p.in == "path" && used[p.name] == "" {
			b.remark(p.place, fmt.Sprintf("the path parameter %q is left out: the path has no {%s}", p.name, p.name))
		}
	}
	out.WriteString(literal(rest))
	path, _, _ := strings.Cut(out.String(), "#") // what follows only tells operations apart
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path, nil
}

func (b *builder) pathParameter(all []*param, name string) (string, error) {
	i := slices.IndexFunc(all, func(p *param) bool { return p.in == "path" && p.name == name })
	if i < 0 {
		b.remark(b.place, fmt.Sprintf("the path's {%s} is not among the parameters: a text is taken", name))
		name := b.property(name, "path", map[string]any{"type": "string"}, true)
		return placeholder(reach("parameters", name)), nil
	}
	p := all[i]
	refuse := func(why string) (string, error) {
		return "", &leftOut{p.place, fmt.Sprintf("its path parameter %q %s", p.name, why)}
	}
	form := b.im.doc.shapeOf(p.schema)
	schema, at := p.schema, p.at
	prefix := map[string]string{"label": ".", "matrix": ";" + literal(p.name) + "="}[p.style]
	switch {
	case p.json:
		return placeholder("json(" + b.add(p, schema, at) + ")"), nil
	case form.object && !form.array && !form.scalar:
		return refuse("is an object, which expressions can't write into a path")
	case form.object:
		schema, at, _ = b.im.doc.narrow(schema, at, func(s shape) bool { return !s.object })
		form.object = false
	}
	if form.array && form.scalar { // one value is an array of one
		schema, at, _ = b.im.doc.narrow(schema, at, func(s shape) bool { return !s.array })
		form.array = false
	}
	if !form.array {
		return prefix + placeholder(b.add(p, schema, at)), nil
	}
	separator := ","
	switch {
	case p.style == "label" && p.explode:
		separator = "."
	case p.style == "matrix" && p.explode:
		return refuse("is an array in style matrix, which expressions can't write into a path")
	}
	return prefix + placeholder("join("+b.add(p, schema, at)+", "+quote(separator)+")"), nil
}

// ignoredHeaders are parameters that OpenAPI says shall be ignored; the others are
// set by the connection.
var ignoredHeaders = map[string]string{
	"Accept": "is decided by toolrun", "Content-Type": "is decided by the body", "Authorization": "is for security schemes to set",
	"Host": setByConnection, "Content-Length": setByConnection, "Transfer-Encoding": setByConnection, "Connection": setByConnection,
	"Keep-Alive": setByConnection, "Proxy-Connection": setByConnection, "Proxy-Authorization": setByConnection, "Te": setByConnection,
	"Trailer": setByConnection, "Upgrade": setByConnection, "Expect": setByConnection, "Cookie": "is made of the cookie parameters",
}

const setByConnection = "is set by the connection"

// headerParameter adds a header; what it returns is why it can't.
func (b *builder) headerParameter(p *param) string {
	canonical := textproto.CanonicalMIMEHeaderKey(p.name)
	if why := ignoredHeaders[canonical]; why != "" {
		p.required = false
		return why
	}
	if !httpguts.ValidHeaderFieldName(p.name) {
		return "has a name that a header can't have"
	}
	if b.setsHeader(canonical) {
		p.required = false
		return "is set by the security scheme or another parameter"
	}
	value, why := b.joined(p)
	if why != "" {
		return why
	}
	b.headers[p.name] = placeholder(value)
	return ""
}

// setsHeader reports whether the request sets a header already.
func (b *builder) setsHeader(canonical string) bool {
	if b.auth != nil && b.auth.Type == "apiKey" && b.auth.Config["in"] != "query" &&
		textproto.CanonicalMIMEHeaderKey(text(b.auth.Config["name"])) == canonical {
		return true
	}
	for name := range b.headers {
		if textproto.CanonicalMIMEHeaderKey(name) == canonical {
			return true
		}
	}
	return false
}

// joined adds a parameter whose arrays are written with commas and returns its
// expression.
func (b *builder) joined(p *param) (expression, why string) {
	form := b.im.doc.shapeOf(p.schema)
	schema, at := p.schema, p.at
	switch {
	case p.json:
		return "json(" + b.add(p, schema, at) + ")", ""
	case form.object && !form.array && !form.scalar:
		return "", "is an object, which expressions can't write in style " + p.style
	case form.object:
		schema, at, _ = b.im.doc.narrow(schema, at, func(s shape) bool { return !s.object })
	}
	if form.array && form.scalar {
		schema, at, _ = b.im.doc.narrow(schema, at, func(s shape) bool { return s.array })
	}
	if form.array {
		return "join(" + b.add(p, schema, at) + ", " + quote(",") + ")", ""
	}
	return b.add(p, schema, at), ""
}

// cookie is a part of the one Cookie header.
type cookie struct {
	name, expression string
	required         bool
}

func (b *builder) cookieParameter(p *param) string {
	if !httpguts.ValidHeaderFieldName(p.name) {
		return "has a name that a cookie can't have"
	}
	if slices.ContainsFunc(b.cookies, func(c cookie) bool { return c.name == p.name }) {
		p.required = false
		return "is set by the security scheme"
	}
	value, why := b.joined(p)
	if why == "" {
		b.cookies = append(b.cookies, cookie{p.name, "urlEncode(" + value + ")", p.required})
	}
	return why
}

// cookieHeader puts the cookies into one header: what is absent drops out of an
// array, and without any cookie there is no header.
func (b *builder) cookieHeader() {
	if len(b.cookies) == 0 {
		return
	}
	parts := make([]string, len(b.cookies))
	certain := false
	for i, c := range b.cookies {
		parts[i] = quote(c.name+"=") + " + " + c.expression
		certain = certain || c.required
	}
	all := "join([" + strings.Join(parts, ", ") + "], " + quote("; ") + ")"
	if !certain {
		all = "len(" + all + ") > 0 ? " + all + " : nil"
	}
	b.headers["Cookie"] = placeholder(all)
}
