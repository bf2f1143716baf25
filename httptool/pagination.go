package httptool

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Pagination says how further pages of a list are asked for. The result is the
// elements of all pages in one array; a page that fails fails the call, so that
// half a list never looks like a whole one. The bodies of all pages together are
// bounded by MaxResponseBytes.
type Pagination struct {
	// Type is cursor, offset or link-header.
	Type string `json:"type"`

	// CursorPath is where a page's body holds the next page's cursor; absent,
	// null or empty on the last page. For type cursor.
	CursorPath string `json:"cursorPath,omitempty"`
	// CursorParam is the query parameter that takes the cursor; defaults to
	// "cursor".
	CursorParam string `json:"cursorParam,omitempty"`

	// OffsetParam is the query parameter that counts the elements to skip;
	// defaults to "offset". For type offset.
	OffsetParam string `json:"offsetParam,omitempty"`
	// LimitParam is the query parameter of the page's size; defaults to "limit".
	LimitParam string `json:"limitParam,omitempty"`
	// DefaultLimit is the page's size unless the query sets it; defaults to 100.
	// A page with fewer elements is the last one. Where DefaultLimit isn't set,
	// the target may have a smaller limit of its own, and the size of the first
	// page counts in place of it. For type cursor and link-header the limit is
	// sent only where LimitParam and DefaultLimit are set.
	DefaultLimit int `json:"defaultLimit,omitempty"`

	// ResultsPath is where a page's body holds its elements; defaults to
	// responseMapping's dataPath, and that to the whole body.
	ResultsPath string `json:"resultsPath,omitempty"`

	// MaxPages ends the list after so many pages. Where it isn't set, more than
	// 10 pages are an error.
	MaxPages int `json:"maxPages,omitempty"`
}

const (
	defaultMaxPages = 10
	defaultLimit    = 100
)

// pages is a compiled [Pagination].
type pages struct {
	Pagination
	cursor, results dataPath
	cut             bool // MaxPages is the author's
}

func (c *compiler) pagination(p *Pagination, m *ResponseMapping) *pages {
	if p == nil {
		return nil
	}
	compiled := &pages{Pagination: *p, cut: p.MaxPages > 0}
	results := p.ResultsPath
	if results == "" && m != nil {
		results = m.DataPath
	}
	compiled.results = c.path("/pagination/resultsPath", results)
	compiled.cursor = c.path("/pagination/cursorPath", p.CursorPath)
	switch p.Type {
	case "cursor":
		if p.CursorPath == "" {
			c.fault("/pagination/cursorPath", "is required for type cursor")
		}
	case "offset", "link-header":
	default:
		c.fault("/pagination/type", "must be one of: cursor, offset, link-header")
	}
	c.bound("/pagination/maxPages", int64(p.MaxPages), 1000)
	c.bound("/pagination/defaultLimit", int64(p.DefaultLimit), 1_000_000)
	compiled.CursorParam = orElse(p.CursorParam, "cursor")
	compiled.OffsetParam = orElse(p.OffsetParam, "offset")
	if p.Type == "offset" {
		compiled.LimitParam = orElse(p.LimitParam, "limit")
	}
	if compiled.MaxPages == 0 {
		compiled.MaxPages = defaultMaxPages
	}
	return compiled
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// listing is the state of one run over the pages.
type listing struct {
	pages  *pages
	seen   map[string]bool // cursors and links that were followed
	items  []any
	offset int64
	size   int64 // elements of a full page
}

// collect asks for page after page.
func (t *Tool) collect(c *call, req *request) (json.RawMessage, *errclass.Error) {
	l := &listing{pages: t.pagination, seen: map[string]bool{}, items: []any{}}
	req, failure := l.first(req)
	var r *reply
	for page := 1; failure == nil && req != nil; page++ {
		if page > l.pages.MaxPages {
			if l.pages.cut {
				break
			}
			e := errclass.Newf(errclass.InvalidResponse, errclass.TooLarge, "the list has more than %d pages; set pagination.maxPages", l.pages.MaxPages)
			return nil, c.annotate(e, r)
		}
		if r, failure = c.try(req); failure != nil {
			return nil, onPage(failure, page, c)
		}
		if req, failure = t.page(l, req, r); failure != nil {
			return nil, onPage(c.annotate(failure, r), page, c)
		}
	}
	if failure != nil {
		return nil, failure
	}
	return marshal(l.items)
}

// onPage says which page failed, where it isn't the first.
func onPage(e *errclass.Error, page int, c *call) *errclass.Error {
	if page > 1 && e.Detail != "" && !c.foreign(e) {
		e.Detail = errclass.OneLine("page "+strconv.Itoa(page)+": "+e.Detail, 400)
	}
	return e
}

// first prepares the first page's request.
func (l *listing) first(req *request) (*request, *errclass.Error) {
	p := l.pages
	if p.Type != "offset" {
		if p.LimitParam != "" && p.DefaultLimit > 0 && !req.url.Query().Has(p.LimitParam) {
			return req.with(p.LimitParam, strconv.Itoa(p.DefaultLimit)), nil
		}
		return req, nil
	}
	query := req.url.Query()
	l.size = int64(p.DefaultLimit)
	if l.size == 0 {
		l.size = defaultLimit
	}
	for name, into := range map[string]*int64{p.OffsetParam: &l.offset, p.LimitParam: &l.size} {
		if !query.Has(name) {
			continue
		}
		n, err := strconv.ParseInt(query.Get(name), 10, 32)
		if err != nil || n < 0 {
			return nil, badInput("%s must be a whole number", name)
		}
		*into = n
	}
	return req.with(p.LimitParam, strconv.FormatInt(l.size, 10)).with(p.OffsetParam, strconv.FormatInt(l.offset, 10)), nil
}

// page adds a page's elements and returns the next page's request, or nil.
func (t *Tool) page(l *listing, req *request, r *reply) (*request, *errclass.Error) {
	body, failure := decoded(r)
	if failure != nil {
		return nil, failure
	}
	if failure := t.mapping.check(body, r); failure != nil {
		return nil, failure
	}
	v, found := l.pages.results.find(body)
	if !found {
		return nil, noData(l.pages.results, body)
	}
	items, ok := v.([]any)
	if !ok && v != nil {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.NoData, "the page has no list %s", orElse(at(l.pages.results), "as its body"))
	}
	l.items = append(l.items, items...)
	switch l.pages.Type {
	case "cursor":
		return l.afterCursor(req, body)
	case "offset":
		return l.afterOffset(req, int64(len(items))), nil
	}
	return l.afterLink(req, r)
}

func at(p dataPath) string {
	if len(p) == 0 {
		return ""
	}
	return "at " + p.String()
}

func (l *listing) afterCursor(req *request, body any) (*request, *errclass.Error) {
	v, found := l.pages.cursor.find(body)
	if !found || v == nil || v == false || v == "" {
		return nil, nil
	}
	cursor, ok := strictjson.ScalarText(v)
	if !ok {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.NoData, "the cursor at %s is no text", l.pages.cursor)
	}
	if l.seen[cursor] {
		return nil, endless()
	}
	l.seen[cursor] = true
	return req.with(l.pages.CursorParam, cursor), nil
}

func endless() *errclass.Error {
	e := errclass.New(errclass.InvalidResponse, errclass.UpstreamFailed, "the target names a page as the next one that was there before")
	e.Hint = "The list goes round in a circle: check the pagination of the tool and of the target."
	return e
}

func (l *listing) afterOffset(req *request, got int64) *request {
	full := l.size
	if l.pages.DefaultLimit == 0 && l.offsetAtStart() {
		l.size = min(l.size, got) // the target's own limit may be smaller than what was asked for
		full = l.size
	}
	if got == 0 || got < full {
		return nil
	}
	l.seen["first"] = true
	l.offset += got
	return req.with(l.pages.OffsetParam, strconv.FormatInt(l.offset, 10))
}

func (l *listing) offsetAtStart() bool { return !l.seen["first"] }

func (l *listing) afterLink(req *request, r *reply) (*request, *errclass.Error) {
	link := nextLink(r.header.Values("Link"))
	if link == "" {
		return nil, nil
	}
	target, err := resolve(r.request.url, link)
	if err != nil {
		return nil, errclass.New(errclass.InvalidResponse, errclass.Malformed, "the link to the next page is no URL")
	}
	if _, _, err := inspectURL(target); err != nil {
		return nil, errclass.Newf(errclass.RequestBlocked, errclass.Blocked, "next page refused: %s", detailOf(err))
	}
	if r.request.url.Scheme == "https" && target.Scheme == "http" {
		return nil, errclass.New(errclass.InvalidResponse, errclass.Redirect, "the link to the next page leaves https and is not followed")
	}
	l.seen[req.url.String()] = true
	if l.seen[target.String()] {
		return nil, endless()
	}
	next := req.moved(target)
	if len(next.body) > 0 && next.origin() != req.origin() {
		return nil, bodyElsewhere("the link to the next page at", target)
	}
	return next, nil
}

// with is the request with a query parameter set to a value.
func (r *request) with(name, value string) *request {
	next := *r
	address := *r.url
	var kept []string
	for pair := range strings.SplitSeq(address.RawQuery, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(key); pair != "" && (err != nil || decoded != name) {
			kept = append(kept, pair)
		}
	}
	encodedName, _ := expression.QueryComponent(name)
	encoded, _ := expression.QueryComponent(value)
	address.RawQuery = strings.Join(append(kept, encodedName+"="+encoded), "&")
	next.url = &address
	return &next
}

// nextLink finds the link with the relation next (RFC 8288).
func nextLink(headers []string) string {
	for _, header := range headers {
		for header != "" {
			open := strings.IndexByte(header, '<')
			if open < 0 {
				break
			}
			end := strings.IndexByte(header[open:], '>')
			if end < 0 {
				break
			}
			target := header[open+1 : open+end]
			var isNext bool
			isNext, header = linkParameters(header[open+end+1:])
			if isNext {
				return strings.TrimSpace(target)
			}
		}
	}
	return ""
}

// linkParameters reads the parameters up to the comma that ends a link. Only the
// first rel counts.
func linkParameters(s string) (isNext bool, rest string) {
	seen := false
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return isNext, ""
		}
		if s[0] == ',' {
			return isNext, s[1:]
		}
		s = strings.TrimLeft(s, "; \t")
		end := strings.IndexAny(s, "=;,")
		if end < 0 {
			return isNext, ""
		}
		name := strings.TrimSpace(s[:end])
		if s[end] != '=' {
			s = s[end:]
			continue
		}
		value, after := parameterValue(strings.TrimLeft(s[end+1:], " \t"))
		s = after
		if !seen && strings.EqualFold(name, "rel") {
			seen = true
			for relation := range strings.FieldsSeq(value) {
				isNext = isNext || strings.EqualFold(relation, "next")
			}
		}
	}
}

func parameterValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
