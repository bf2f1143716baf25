package httptool

import (
	"net/url"
	"strings"

	"github.com/almyty-inc/toolrun/internal/expression"
)

// urlTemplate is a compiled URL. Its parts are known apart at load, so that no
// value can move from one to another.
type urlTemplate struct {
	whole   *expression.Template // the URL is one placeholder
	foreign bool                 // and that is a parameter: callers choose the host
	base    []urlPart            // scheme and host, or a placeholder for a base URL
	fixed   *url.URL             // the base, where it is literal
	path    []urlPart
	query   []urlPair
}

type urlPart struct {
	literal string
	value   *expression.Template // nil: literal
	source  string
}

type urlPair struct{ name, value []urlPart }

// url compiles the URL of a definition; nil after a fault.
func (c *compiler) url(pointer, src string) *urlTemplate {
	if src == "" {
		c.fault(pointer, "is required")
		return nil
	}
	if c.text(pointer, src) == nil {
		return nil
	}
	parts, ok := splitPlaceholders(src)
	if !ok {
		c.fault(pointer, "can't be read")
		return nil
	}
	if len(parts) == 1 && parts[0].source != "" {
		return c.wholeURL(pointer, src)
	}
	for _, p := range parts {
		if p.source == "" && strings.ContainsFunc(p.literal, isControlOrBackslash) {
			c.fault(pointer, "must not hold a backslash or a control character")
			return nil
		}
		if strings.Contains(p.literal, "#") {
			c.fault(pointer, "must not have a fragment (#)")
			return nil
		}
	}
	u := &urlTemplate{}
	rest, message := u.cutBase(parts)
	if message != "" {
		c.fault(pointer, message)
		return nil
	}
	path, query := cutParts(rest, '?')
	u.path = encodeLiterals(path)
	for _, pair := range splitParts(query, '&') {
		name, value := cutParts(pair, '=')
		if len(name)+len(value) > 0 {
			u.query = append(u.query, urlPair{encodeLiterals(name), encodeLiterals(value)})
		}
	}
	if !c.compileURL(pointer, u) {
		return nil
	}
	return u
}

const wholeByParameter = "can be one placeholder only where that is a plain path, as {{parameters.url}} is, or reads no parameters; " +
	"write the literal part outside the braces, as in https://host/items/{{parameters.id}}"

// wholeURL compiles a URL that is one placeholder. A parameter may be the whole
// of it but no part of it: what an expression joins is not encoded, and a value
// could move from the path to the host.
func (c *compiler) wholeURL(pointer, src string) *urlTemplate {
	whole := c.text(pointer, src)
	if whole.ReadsParameters() && !whole.IsPath() {
		c.fault(pointer, wholeByParameter)
		return nil
	}
	return &urlTemplate{whole: whole, foreign: whole.ReadsParameters()}
}

// encodeLiterals percent-encodes what can't stand in a path or a query, so that
// net/url takes the text as it is. It would decode and encode anew a path with a
// space or an umlaut, and so undo the encoding of the values beside it.
func encodeLiterals(parts []urlPart) []urlPart {
	for i := range parts {
		parts[i].literal = encodeLiteral(parts[i].literal)
	}
	return parts
}

const upperHex = "0123456789ABCDEF"

// encodeLiteral leaves what is encoded already, and [ and ], which every client
// sends as they are.
func encodeLiteral(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if letter || strings.IndexByte("-._~!$&'()*+,;=:@/?[]", c) >= 0 || c == '%' && isEncoded(s[i:]) {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
	}
	return b.String()
}

// isEncoded reports whether s begins with a percent-encoded byte.
func isEncoded(s string) bool {
	return len(s) >= 3 && strings.Trim(s[1:3], "0123456789abcdefABCDEF") == ""
}

const baseByParameter = "only env and credentials may choose scheme and host; a parameter can fill the path and the query, or be the whole URL"

// cutBase takes scheme and host off the parts.
func (u *urlTemplate) cutBase(parts []urlPart) (rest []urlPart, message string) {
	first := parts[0]
	if first.source != "" {
		next := parts[1].literal
		if parts[1].source != "" || next[0] != '/' && next[0] != '?' || strings.HasPrefix(next, "//") {
			return nil, "a placeholder for the base URL must be followed by / or ?"
		}
		u.base = parts[:1]
		return parts[1:], ""
	}
	scheme, _, found := strings.Cut(first.literal, "://")
	if scheme = strings.ToLower(scheme); !found || scheme != "http" && scheme != "https" {
		return nil, "must begin with http:// or https://, or with a placeholder for that"
	}
	start := len(scheme) + len("://")
	for i, p := range parts {
		from := 0
		if i == 0 {
			from = start
		}
		if p.source != "" {
			continue
		}
		end := strings.IndexAny(p.literal[from:], "/?")
		if end < 0 {
			continue
		}
		end += from
		u.base = append(append(u.base, parts[:i]...), urlPart{literal: p.literal[:end]})
		return append([]urlPart{{literal: p.literal[end:]}}, parts[i+1:]...), ""
	}
	u.base = parts
	return nil, ""
}

func (c *compiler) compileURL(pointer string, u *urlTemplate) bool {
	before := len(c.faults)
	for i := range u.base {
		p := &u.base[i]
		if p.source == "" {
			continue
		}
		var err error
		if p.value, err = expression.Compile(p.source, expression.Declared{}); err != nil || p.value.ReadsParameters() {
			c.fault(pointer, baseByParameter)
			return false
		}
	}
	groups := [][]urlPart{u.path}
	for _, pair := range u.query {
		groups = append(groups, pair.name, pair.value)
	}
	for _, group := range groups {
		for i := range group {
			if group[i].source != "" {
				group[i].value = c.text(pointer, group[i].source)
			}
		}
	}
	if len(c.faults) > before || !c.checkSample(pointer, u) {
		return false
	}
	if len(u.base) == 1 && u.base[0].source == "" {
		fixed, query, err := parseAbsolute(u.base[0].literal)
		if err != nil || query != "" {
			c.fault(pointer, "is not a valid URL")
			return false
		}
		u.fixed = fixed
	}
	return true
}

// checkSample checks the literal parts by putting a harmless value in each
// placeholder.
func (c *compiler) checkSample(pointer string, u *urlTemplate) bool {
	sample := ""
	for i, p := range u.base {
		switch {
		case p.source == "":
			sample += p.literal
		case i == 0:
			sample += "http://host"
		case strings.HasSuffix(sample, ":"):
			sample += "80"
		default:
			sample += "host"
		}
	}
	path := ""
	for _, p := range u.path {
		if p.source == "" {
			path += p.literal
		} else {
			path += "x"
		}
	}
	if expression.PathSteps(path) {
		c.fault(pointer, `must not have "." or ".." as a path segment`)
		return false
	}
	parsed, err := url.Parse(sample + path)
	if err != nil {
		c.fault(pointer, "is not a valid URL")
		return false
	}
	if _, _, err := inspectURL(parsed); err != nil {
		c.fault(pointer, detailOf(err))
		return false
	}
	return true
}

// render makes the URL and, apart from it, the query it brings along.
func (u *urlTemplate) render(s *expression.Scope) (*url.URL, string, error) {
	if u.whole != nil {
		text, present, err := u.whole.Text(s, nil)
		if err != nil {
			return nil, "", err
		}
		if !present {
			return nil, "", badInput("the URL has no value")
		}
		return parseAbsolute(text)
	}
	address, baseQuery, err := u.renderBase(s)
	if err != nil {
		return nil, "", err
	}
	if baseQuery != "" {
		return nil, "", badInput("the base URL must not have a query")
	}
	if err := u.renderPath(s, address); err != nil {
		return nil, "", err
	}
	query, err := u.renderQuery(s)
	return address, query, err
}

// renderBase evaluates scheme and host in a scope without parameters.
func (u *urlTemplate) renderBase(s *expression.Scope) (*url.URL, string, error) {
	if u.fixed != nil {
		address := *u.fixed
		return &address, "", nil
	}
	hidden := &expression.Scope{Env: s.Env, Credentials: s.Credentials}
	base := ""
	for i, p := range u.base {
		if p.source == "" {
			base += p.literal
			continue
		}
		text, present, err := p.value.Text(hidden, nil)
		if err != nil {
			return nil, "", err
		}
		if !present || text == "" {
			return nil, "", badInput("%s has no value, and the URL needs one", p.source)
		}
		if i > 0 && strings.ContainsAny(text, "/?#@\\ \t\r\n") {
			return nil, "", badInput("%s is no host", p.source)
		}
		base += text
	}
	return parseAbsolute(base)
}

func parseAbsolute(text string) (*url.URL, string, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, "", badInput("the URL is not valid")
	}
	if parsed.Scheme == "" {
		return nil, "", badInput("the URL must begin with http:// or https:// and a host")
	}
	encodeOdd(parsed)
	query := parsed.RawQuery
	parsed.RawQuery, parsed.ForceQuery, parsed.Fragment, parsed.RawFragment = "", false, "", ""
	return parsed, query, nil
}

// encodeOdd encodes what a foreign URL should have encoded, in place of net/url,
// which leaves a query as it is and would undo the encoding of the path beside it.
func encodeOdd(u *url.URL) {
	u.RawPath, u.RawQuery = encodeLiteral(u.RawPath), encodeLiteral(u.RawQuery)
}

// resolve reads a reference that a target gave, without its fragment.
func resolve(base *url.URL, reference string) (*url.URL, error) {
	parsed, err := url.Parse(reference)
	if err != nil {
		return nil, err
	}
	encodeOdd(parsed)
	parsed.Fragment, parsed.RawFragment = "", ""
	return base.ResolveReference(parsed), nil
}

func (u *urlTemplate) renderPath(s *expression.Scope, address *url.URL) error {
	if len(u.path) == 0 {
		return nil
	}
	path := ""
	for _, p := range u.path {
		if p.source == "" {
			path += p.literal
			continue
		}
		text, present, err := p.value.Text(s, expression.PathSegment)
		if err != nil {
			return err
		}
		if !present {
			return badInput("%s has no value, and the URL's path needs one", p.source)
		}
		path += text
	}
	if expression.PathSteps(path) {
		return badInput(`the parameters make a path segment "." or "..", which would change the path`)
	}
	encoded := strings.TrimSuffix(address.EscapedPath(), "/") + path
	if !strings.HasPrefix(path, "/") {
		encoded = address.EscapedPath() + path
	}
	decoded, err := url.PathUnescape(encoded)
	if err != nil {
		return badInput("the URL's path is not valid")
	}
	address.Path, address.RawPath = decoded, encoded
	if address.EscapedPath() != encoded { // net/url would encode it anew, and an encoded / be a real one
		return badInput("the URL's path is not valid")
	}
	return nil
}

func (u *urlTemplate) renderQuery(s *expression.Scope) (string, error) {
	var b []byte
	for _, pair := range u.query {
		name, present, err := queryText(pair.name, s)
		if err != nil {
			return "", err
		}
		if !present {
			continue
		}
		if len(pair.value) == 1 && pair.value[0].source != "" {
			v, present, err := pair.value[0].value.Value(s)
			if err != nil {
				return "", err
			}
			if present {
				if b, err = appendPair(b, name, v); err != nil {
					return "", err
				}
			}
			continue
		}
		value, present, err := queryText(pair.value, s)
		if err != nil {
			return "", err
		}
		if !present {
			continue
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(b, name...)
		if len(pair.value) > 0 {
			b = append(append(b, '='), value...)
		}
	}
	return string(b), nil
}

func queryText(parts []urlPart, s *expression.Scope) (string, bool, error) {
	text := ""
	for _, p := range parts {
		if p.source == "" {
			text += p.literal
			continue
		}
		value, present, err := p.value.Text(s, expression.QueryComponent)
		if !present || err != nil {
			return "", false, err
		}
		text += value
	}
	return text, true, nil
}

// splitPlaceholders cuts a text that expression.Compile took. Each placeholder
// is compiled again by itself, so a disagreement between the two readings can
// only end in a fault.
func splitPlaceholders(src string) ([]urlPart, bool) {
	var parts []urlPart
	for src != "" {
		literal, rest, found := strings.Cut(src, "{{")
		if literal != "" {
			parts = append(parts, urlPart{literal: literal})
		}
		if !found {
			break
		}
		end := placeholderEnd(rest)
		if end < 0 {
			return nil, false
		}
		parts = append(parts, urlPart{source: "{{" + rest[:end] + "}}"})
		src = rest[end+2:]
	}
	return parts, len(parts) > 0
}

// placeholderEnd finds the }} that ends a placeholder, past quoted strings and
// map literals.
func placeholderEnd(s string) int {
	depth := 0
	var quote byte
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case quote != 0:
			if b == '\\' && quote != '`' {
				i++
			} else if b == quote {
				quote = 0
			}
		case b == '\'' || b == '"' || b == '`':
			quote = b
		case b == '{':
			depth++
		case b == '}' && depth > 0:
			depth--
		case strings.HasPrefix(s[i:], "}}"):
			return i
		}
	}
	return -1
}

// cutParts cuts at the first separator in a literal.
func cutParts(parts []urlPart, separator byte) (before, after []urlPart) {
	for i, p := range parts {
		if p.source != "" {
			continue
		}
		at := strings.IndexByte(p.literal, separator)
		if at < 0 {
			continue
		}
		before = append(before, parts[:i]...)
		if at > 0 {
			before = append(before, urlPart{literal: p.literal[:at]})
		}
		if rest := p.literal[at+1:]; rest != "" {
			after = append(after, urlPart{literal: rest})
		}
		return before, append(after, parts[i+1:]...)
	}
	return append(before, parts...), nil
}

func splitParts(parts []urlPart, separator byte) [][]urlPart {
	var groups [][]urlPart
	for len(parts) > 0 {
		var group []urlPart
		group, parts = cutParts(parts, separator)
		groups = append(groups, group)
	}
	return groups
}
