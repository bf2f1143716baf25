package weburl

import (
	"slices"
	"strings"
)

// state is one of the basic URL parser's.
type state int

const (
	noState state = iota
	schemeStartState
	schemeState
	noSchemeState
	specialRelativeOrAuthorityState
	pathOrAuthorityState
	relativeState
	relativeSlashState
	specialAuthoritySlashesState
	specialAuthorityIgnoreSlashesState
	authorityState
	hostState
	hostnameState
	portState
	fileState
	fileSlashState
	fileHostState
	pathStartState
	pathState
	opaquePathState
	queryState
	fragmentState
)

const eof rune = -1

// machine is the basic URL parser. Its steps are named and ordered as in the
// standard: https://url.spec.whatwg.org/#concept-basic-url-parser.
type machine struct {
	u        *URL
	base     *URL
	input    []rune
	at       int
	state    state
	override state
	buffer   []rune

	username, password []rune // encoded so far

	atSignSeen, inBrackets, passwordTokenSeen bool
}

// verdict is how a step ends.
type verdict int

const (
	goOn verdict = iota
	done
	failed
)

// run parses input into u, from a state of its own with an override. It reports
// whether u is good.
func run(u *URL, input string, base *URL, override state) bool {
	input = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, input)
	m := &machine{u: u, base: base, input: []rune(input), state: override, override: override}
	if override == noState {
		m.state = schemeStartState
	}
	for ; ; m.at++ {
		c := eof
		if m.at < len(m.input) {
			c = m.input[m.at]
		}
		switch m.step(c) {
		case done:
			return true
		case failed:
			return false
		}
		if m.at >= len(m.input) {
			return true
		}
	}
}

// next is the character that many places on.
func (m *machine) next(n int) rune {
	if m.at+n < len(m.input) {
		return m.input[m.at+n]
	}
	return eof
}

// again has the same character handled in another state.
func (m *machine) again(s state) verdict {
	m.state = s
	m.at--
	return goOn
}

func (m *machine) to(s state) verdict {
	m.state = s
	return goOn
}

// isSlash is a slash, or what counts as one in special URLs.
func (m *machine) isSlash(c rune) bool { return c == '/' || c == '\\' && m.u.special() }

func (m *machine) step(c rune) verdict {
	switch m.state {
	case schemeStartState:
		return m.schemeStart(c)
	case schemeState:
		return m.scheme(c)
	case noSchemeState:
		return m.noScheme(c)
	case specialRelativeOrAuthorityState:
		if c == '/' && m.next(1) == '/' {
			m.at++
			return m.to(specialAuthorityIgnoreSlashesState)
		}
		return m.again(relativeState)
	case pathOrAuthorityState:
		if c == '/' {
			return m.to(authorityState)
		}
		return m.again(pathState)
	case relativeState:
		return m.relative(c)
	case relativeSlashState:
		return m.relativeSlash(c)
	case specialAuthoritySlashesState:
		if c == '/' && m.next(1) == '/' {
			m.at++
			return m.to(specialAuthorityIgnoreSlashesState)
		}
		return m.again(specialAuthorityIgnoreSlashesState)
	case specialAuthorityIgnoreSlashesState:
		if c == '/' || c == '\\' {
			return goOn
		}
		return m.again(authorityState)
	case authorityState:
		return m.authority(c)
	case hostState, hostnameState:
		return m.host(c)
	case portState:
		return m.port(c)
	case fileState:
		return m.file(c)
	case fileSlashState:
		return m.fileSlash(c)
	case fileHostState:
		return m.fileHost(c)
	case pathStartState:
		return m.pathStart(c)
	case pathState:
		return m.path(c)
	case opaquePathState:
		return m.opaquePath(c)
	case queryState:
		return m.query(c)
	}
	return m.fragment(c)
}

func (m *machine) schemeStart(c rune) verdict {
	if isAlpha(c) {
		m.buffer = append(m.buffer, lower(c))
		return m.to(schemeState)
	}
	if m.override != noState {
		return failed
	}
	return m.again(noSchemeState)
}

func (m *machine) scheme(c rune) verdict {
	switch {
	case isAlpha(c), isDigit(c), c == '+', c == '-', c == '.':
		m.buffer = append(m.buffer, lower(c))
		return goOn
	case c == ':':
		return m.schemeEnd()
	case m.override != noState:
		return failed
	}
	m.buffer = nil
	m.at = -1
	return m.to(noSchemeState)
}

func (m *machine) schemeEnd() verdict {
	u, name := m.u, string(m.buffer)
	m.buffer = nil
	port, special := specialPorts[name]
	if m.override != noState {
		if special != u.special() || name == "file" && (u.username != "" || u.password != "" || u.port >= 0) ||
			u.scheme == "file" && (u.host == nil || *u.host == "") {
			return failed
		}
		u.scheme = name
		if u.port == port {
			u.port = -1
		}
		return done
	}
	u.scheme = name
	switch {
	case name == "file":
		return m.to(fileState)
	case special && m.base != nil && m.base.scheme == name:
		return m.to(specialRelativeOrAuthorityState)
	case special:
		return m.to(specialAuthoritySlashesState)
	case m.next(1) == '/':
		m.at++
		return m.to(pathOrAuthorityState)
	}
	u.opaque = new("")
	return m.to(opaquePathState)
}

func (m *machine) noScheme(c rune) verdict {
	b := m.base
	switch {
	case b == nil || b.opaque != nil && c != '#':
		return failed
	case b.opaque != nil:
		m.u.scheme, m.u.opaque, m.u.query, m.u.fragment = b.scheme, new(*b.opaque), clone(b.query), new("")
		return m.to(fragmentState)
	case b.scheme != "file":
		return m.again(relativeState)
	}
	return m.again(fileState)
}

// inherit takes everything but query and fragment from the base.
func (m *machine) inherit() {
	b := m.base
	m.u.username, m.u.password, m.u.host, m.u.port = b.username, b.password, clone(b.host), b.port
	m.u.path = slices.Clone(b.path)
}

func (m *machine) relative(c rune) verdict {
	m.u.scheme = m.base.scheme
	if m.isSlash(c) {
		return m.to(relativeSlashState)
	}
	m.inherit()
	m.u.query = clone(m.base.query)
	return m.afterBase(c, func() { m.u.shorten() })
}

// afterBase goes on after what was taken from the base.
func (m *machine) afterBase(c rune, shorten func()) verdict {
	switch c {
	case '?':
		m.u.query = new("")
		return m.to(queryState)
	case '#':
		m.u.fragment = new("")
		return m.to(fragmentState)
	case eof:
		return goOn
	}
	m.u.query = nil
	shorten()
	return m.again(pathState)
}

func (m *machine) relativeSlash(c rune) verdict {
	switch {
	case m.u.special() && (c == '/' || c == '\\'):
		return m.to(specialAuthorityIgnoreSlashesState)
	case c == '/':
		return m.to(authorityState)
	}
	b := m.base
	m.u.username, m.u.password, m.u.host, m.u.port = b.username, b.password, clone(b.host), b.port
	return m.again(pathState)
}

func (m *machine) pathStart(c rune) verdict {
	switch {
	case m.u.special():
		if c == '/' || c == '\\' {
			return m.to(pathState)
		}
		return m.again(pathState)
	case m.override == noState && c == '?':
		m.u.query = new("")
		return m.to(queryState)
	case m.override == noState && c == '#':
		m.u.fragment = new("")
		return m.to(fragmentState)
	case c != eof:
		if c == '/' {
			return m.to(pathState)
		}
		return m.again(pathState)
	case m.override != noState && m.u.host == nil:
		m.u.path = append(m.u.path, "")
	}
	return goOn
}

func (m *machine) path(c rune) verdict {
	u := m.u
	if c != eof && !m.isSlash(c) && (m.override != noState || c != '?' && c != '#') {
		m.buffer = appendEncoded(m.buffer, c, inPath)
		return goOn
	}
	piece := string(m.buffer)
	m.buffer = nil
	switch {
	case isDoubleDot(piece):
		u.shorten()
		if !m.isSlash(c) {
			u.path = append(u.path, "")
		}
	case isSingleDot(piece):
		if !m.isSlash(c) {
			u.path = append(u.path, "")
		}
	default:
		if u.scheme == "file" && len(u.path) == 0 && len(piece) == 2 && isDriveLetter([]rune(piece)) {
			piece = piece[:1] + ":"
		}
		u.path = append(u.path, piece)
	}
	switch c {
	case '?':
		u.query = new("")
		return m.to(queryState)
	case '#':
		u.fragment = new("")
		return m.to(fragmentState)
	}
	return goOn
}

func (m *machine) opaquePath(c rune) verdict {
	switch {
	case c == '?' || c == '#':
		path := string(m.buffer)
		m.buffer = nil
		*m.u.opaque = path
		if c == '?' {
			m.u.query = new("")
			return m.to(queryState)
		}
		m.u.fragment = new("")
		return m.to(fragmentState)
	case c == eof:
		*m.u.opaque = string(m.buffer)
	case c == ' ' && (m.next(1) == '?' || m.next(1) == '#'):
		m.buffer = append(m.buffer, '%', '2', '0')
	default:
		m.buffer = appendEncoded(m.buffer, c, inControl)
	}
	return goOn
}

func (m *machine) query(c rune) verdict {
	if c != eof && (c != '#' || m.override != noState) {
		set := inQuery
		if m.u.special() {
			set = inSpecialQuery
		}
		m.buffer = appendEncoded(m.buffer, c, set)
		return goOn
	}
	*m.u.query += string(m.buffer)
	m.buffer = nil
	if c == '#' {
		m.u.fragment = new("")
		return m.to(fragmentState)
	}
	return goOn
}

func (m *machine) fragment(c rune) verdict {
	if c != eof {
		m.buffer = appendEncoded(m.buffer, c, inFragment)
		return goOn
	}
	*m.u.fragment += string(m.buffer)
	return goOn
}

// shorten drops the last piece of the path, but no drive letter.
func (u *URL) shorten() {
	if u.scheme == "file" && len(u.path) == 1 && isNormalDriveLetter(u.path[0]) {
		return
	}
	if n := len(u.path); n > 0 {
		u.path = u.path[:n-1]
	}
}

func isSingleDot(piece string) bool { return piece == "." || strings.EqualFold(piece, "%2e") }

func isDoubleDot(piece string) bool {
	switch strings.ToLower(piece) {
	case "..", ".%2e", "%2e.", "%2e%2e":
		return true
	}
	return false
}

func isAlpha(c rune) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c rune) bool { return '0' <= c && c <= '9' }

func lower(c rune) rune {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func clone(s *string) *string {
	if s == nil {
		return nil
	}
	return new(*s)
}
