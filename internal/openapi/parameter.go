package openapi

import (
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
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
		why := ""
		switch p.in {
		case "path":
		case "query":
			why = b.queryParameter(p)
		case "querystring":
			why = "is the whole query, which a tool can't take from one value"
		case "header":
			why = b.headerParameter(p)
		case "cookie":
			why = b.cookieParameter(p)
		default:
			why = fmt.Sprintf("stands in %q, which isn't known", p.in)
		}
		if err := b.without(p, why); err != nil {
			return "", err
		}
	}
	return path, nil
}

// without leaves out a parameter that for some reason can't be sent, where the API
// can do without it.
func (b *builder) without(p *param, why string) error {
	if why == "" {
		return nil
	}
	if p.required {
		return &leftOut{p.place, fmt.Sprintf("its %s parameter %q, which is required, %s", p.in, p.name, why)}
	}
	b.remark(p.place, fmt.Sprintf("the %s parameter %q is left out: it %s", p.in, p.name, why))
	return nil
}

// maxParameters bounds the parameters of an operation, and maxPath the bytes of its
// path.
const (
	maxParameters = 1000
	maxPath       = 4 << 10
)

// gather reads the parameters of the path's item and of the operation, which
// win, in the order in which they are added.
func (b *builder) gather() ([]*param, error) {
	var all []*param
	for _, from := range []struct {
		values []any
		place  string
	}{{list(b.item["parameters"]), b.itemPlace}, {list(b.op["parameters"]), b.place}} {
		if len(from.values) > maxParameters {
			return nil, &leftOut{from.place, fmt.Sprintf("it has more than %d parameters", maxParameters)}
		}
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
	slices.SortStableFunc(all, func(p, q *param) int { return order[p.in] - order[q.in] })
	return all, nil
}

// order is that of the places of parameters, in which they get their names.
var order = map[string]int{"path": 1, "query": 2, "querystring": 3, "header": 4, "cookie": 5}

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
	content := object(source["content"])
	if kinds := slices.Sorted(maps.Keys(content)); len(kinds) > 0 { // there is one
		media := object(content[kinds[0]])
		p.schema, p.at = media["schema"], place+"/content/"+escape(kinds[0])+"/schema"
		p.json = isJSON(kinds[0])
		p.example = d.exampleOf(media)
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
	if note := note(p.source["description"]); note != "" {
		converted["description"] = join(note, defaultNote(object(schema)))
	}
	if p.source["deprecated"] == true {
		converted["deprecated"] = true
	}
	if short(p.example, maxShown) && converted["examples"] == nil {
		converted["examples"] = []any{p.example}
	}
	name := b.property(p.name, p.in, converted, p.required && !keepDefault(converted, object(schema)["default"]))
	b.give(name, p.example, schema)
	return reach("parameters", name)
}

// bracesEscaper keeps what is left of braces from joining those of an expression.
var bracesEscaper = strings.NewReplacer("{", "%7B", "}", "%7D")

// pathParameters returns the path with an expression for each of its braces. What
// follows a # only tells operations apart.
func (b *builder) pathParameters(all []*param) (string, error) {
	if len(b.path) > maxPath {
		return "", &leftOut{b.place, fmt.Sprintf("its path has more than %d bytes", maxPath)}
	}
	var out strings.Builder
	used := map[string]string{}
	for rest := b.path; rest != ""; {
		between, name, after, ended := nextBraces(rest)
		out.WriteString(bracesEscaper.Replace(between))
		if ended {
			break
		}
		if used[name] == "" {
			value, err := b.pathParameter(all, name)
			if err != nil {
				return "", err
			}
			used[name] = value
		}
		out.WriteString(used[name])
		rest = after
	}
	for _, p := range all {
		if p.in == "path" && used[p.name] == "" {
			b.remark(p.place, fmt.Sprintf("the path parameter %q is left out: the path has no {%s}", p.name, p.name))
		}
	}
	return "/" + strings.TrimPrefix(out.String(), "/"), nil
}

// nextBraces cuts a path at its next braces; ended is true where there are none.
func nextBraces(path string) (between, name, after string, ended bool) {
	span := inBraces.FindStringIndex(path)
	if span == nil {
		span, ended = []int{len(path), len(path)}, true
	}
	between, _, cut := strings.Cut(path[:span[0]], "#")
	if ended || cut {
		return between, "", "", true
	}
	return between, path[span[0]+1 : span[1]-1], path[span[1]:], false
}

func (b *builder) pathParameter(all []*param, name string) (string, error) {
	i := slices.IndexFunc(all, func(p *param) bool { return p.in == "path" && p.name == name })
	if i < 0 {
		b.remark(b.place, fmt.Sprintf("the path's {%s} is not among the parameters: a text is taken", name))
		name := b.property(name, "path", map[string]any{"type": "string"}, true)
		return placeholder(reach("parameters", name)), nil
	}
	p := all[i]
	value, why := b.written(p)
	if why != "" {
		return "", &leftOut{p.place, fmt.Sprintf("its path parameter %q %s", p.name, why)}
	}
	return pathPrefix(p) + placeholder(value), nil
}

// pathPrefix is what a style puts before a value.
func pathPrefix(p *param) string {
	switch p.style {
	case "label":
		return "."
	case "matrix":
		return ";" + url.PathEscape(p.name) + "="
	}
	return ""
}

// written adds a parameter that is written as one text and returns its
// expression.
func (b *builder) written(p *param) (expression, why string) {
	if p.json {
		return "json(" + b.add(p, p.schema, p.at) + ")", ""
	}
	schema, at, form := b.simplest(p)
	if form.several() {
		return "", "may be of several types, each of which is written differently"
	}
	if !form.object && !form.array {
		return b.add(p, schema, at), ""
	}
	between, within, why := delimiters(p)
	switch {
	case why != "":
		return "", why
	case form.array:
		return "join(" + b.add(p, schema, at) + ", " + quote(between) + ")", ""
	}
	return b.writtenObject(p, schema, at, between, within)
}

// simplest takes of a parameter that may be this or that what is written most
// simply: no object, and no array, where something else will do.
func (b *builder) simplest(p *param) (schema any, at string, form shape) {
	schema, at, form = p.schema, p.at, b.im.doc.shapeOf(p.schema)
	if form.several() && form.object {
		schema, at, _ = b.im.doc.narrow(schema, at, func(s shape) bool { return !s.object })
		form = b.im.doc.shapeOf(schema)
	}
	if form.several() && form.array {
		schema, at, _ = b.im.doc.narrow(schema, at, func(s shape) bool { return !s.array })
		form = b.im.doc.shapeOf(schema)
	}
	return schema, at, form
}

// delimiters are what stands between the elements of an array or the properties
// of an object that is written as one text, and within a property between its
// name and its value.
func delimiters(p *param) (between, within, why string) {
	between, within = ",", ","
	if p.explode {
		within = "="
	}
	switch p.style {
	case "form", "simple":
	case "label":
		if p.explode {
			between = "."
		}
	case "matrix":
		if p.explode {
			why = "is in style matrix with explode, for which an expression would have to write syntax into the path"
		}
	case "spaceDelimited":
		between, within = " ", " "
	case "pipeDelimited":
		between, within = "|", "|"
	default:
		why = fmt.Sprintf("has style %q, which isn't known there", p.style)
	}
	return between, within, why
}

// writtenObject writes the named properties of an object; those that are absent
// drop out.
func (b *builder) writtenObject(p *param, schema any, at, between, within string) (expression, why string) {
	properties, closed := b.im.doc.members(schema, at)
	var sent []member
	for _, m := range properties {
		if form := b.im.doc.shapeOf(m.schema); !form.object && !form.array {
			sent = append(sent, m)
		}
	}
	if len(sent) == 0 {
		return "", "is an object without named properties, and a tool has to name what it sends"
	}
	if !closed || len(sent) < len(properties) {
		b.remark(p.place, fmt.Sprintf("of the %s parameter %q only the named properties are sent that are no arrays or objects", p.in, p.name))
	}
	of := b.add(p, objectOf(sent), at)
	parts := make([]string, len(sent))
	for i, m := range sent {
		parts[i] = quote(m.name+within) + " + string(" + reach(of, m.name) + ")"
	}
	return "join([" + strings.Join(parts, ", ") + "], " + quote(between) + ")", ""
}

// refusedHeaders are those that no parameter may set.
var refusedHeaders = map[string]string{
	"Authorization": "is for security schemes to set, as OpenAPI says", "Cookie": "is made of the cookie parameters",
	"Host": setByConnection, "Content-Length": setByConnection, "Transfer-Encoding": setByConnection, "Connection": setByConnection,
	"Keep-Alive": setByConnection, "Proxy-Connection": setByConnection, "Proxy-Authorization": setByConnection, "Te": setByConnection,
	"Trailer": setByConnection, "Upgrade": setByConnection, "Expect": setByConnection,
}

const setByConnection = "is set by the connection"

// headerParameter adds a header; what it returns is why it can't.
func (b *builder) headerParameter(p *param) string {
	canonical := textproto.CanonicalMIMEHeaderKey(p.name)
	if canonical == "Content-Type" || canonical == "Accept" {
		return "" // OpenAPI: shall be ignored, the content types say it
	}
	if why := refusedHeaders[canonical]; why != "" {
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
	value, why := b.written(p)
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
	if p.explode && b.im.doc.shapeOf(p.schema).object {
		return "is an object in style form with explode, which would need the syntax of a query in a cookie"
	}
	p.explode = false
	value, why := b.written(p)
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
