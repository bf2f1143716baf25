package weburl

import (
	"strconv"
	"strings"
)

// The states of the parser that read credentials, host and port, and what stands
// in their place in file URLs.

func (m *machine) authority(c rune) verdict {
	switch {
	case c == '@':
		m.credentials()
		m.atSignSeen = true
		m.buffer = nil
		return goOn
	case c == eof || c == '?' || c == '#' || m.isSlash(c):
		if m.atSignSeen && len(m.buffer) == 0 {
			return failed
		}
		m.at -= len(m.buffer) + 1
		m.buffer = nil
		m.u.username += string(m.username)
		m.u.password += string(m.password)
		return m.to(hostState)
	}
	m.buffer = append(m.buffer, c)
	return goOn
}

// credentials takes what stands before an at sign; one before it was text.
func (m *machine) credentials() {
	if m.atSignSeen {
		m.userinfo('@')
	}
	for _, c := range m.buffer {
		m.userinfo(c)
	}
}

func (m *machine) userinfo(c rune) {
	switch {
	case m.passwordTokenSeen:
		m.password = appendEncoded(m.password, c, inUserinfo)
	case c == ':':
		m.passwordTokenSeen = true
	default:
		m.username = appendEncoded(m.username, c, inUserinfo)
	}
}

func (m *machine) host(c rune) verdict {
	u := m.u
	if m.override != noState && u.scheme == "file" {
		return m.again(fileHostState)
	}
	switch {
	case c == ':' && !m.inBrackets:
		if len(m.buffer) == 0 || m.override == hostnameState {
			return failed
		}
		if !m.takeHost() {
			return failed
		}
		return m.to(portState)
	case c == eof || c == '?' || c == '#' || m.isSlash(c):
		switch {
		case u.special() && len(m.buffer) == 0:
			return failed
		case m.override != noState && len(m.buffer) == 0 && (u.username != "" || u.password != "" || u.port >= 0):
			return failed
		case !m.takeHost():
			return failed
		case m.override != noState:
			return done
		}
		return m.again(pathStartState)
	case c == '[':
		m.inBrackets = true
	case c == ']':
		m.inBrackets = false
	}
	m.buffer = append(m.buffer, c)
	return goOn
}

func (m *machine) takeHost() bool {
	host, ok := parseHost(string(m.buffer), !m.u.special())
	m.buffer = nil
	if ok {
		m.u.host = &host
	}
	return ok
}

func (m *machine) port(c rune) verdict {
	switch {
	case isDigit(c):
		m.buffer = append(m.buffer, c)
		return goOn
	case c == eof || c == '?' || c == '#' || m.isSlash(c) || m.override != noState:
		if len(m.buffer) > 0 {
			digits := strings.TrimLeft(string(m.buffer), "0")
			port, err := strconv.Atoi("0" + digits)
			if err != nil || port > 65535 {
				return failed
			}
			m.u.port = port
			if own, special := specialPorts[m.u.scheme]; special && own == port {
				m.u.port = -1
			}
			m.buffer = nil
			if m.override != noState {
				return done
			}
		}
		if m.override != noState {
			return failed
		}
		return m.again(pathStartState)
	}
	return failed
}

func (m *machine) file(c rune) verdict {
	u := m.u
	u.scheme = "file"
	u.host = new("")
	switch {
	case c == '/' || c == '\\':
		return m.to(fileSlashState)
	case m.base != nil && m.base.scheme == "file":
		m.inherit()
		u.query = clone(m.base.query)
		return m.afterBase(c, func() {
			if startsWithDriveLetter(m.input[m.at:]) {
				u.path = nil
			} else {
				u.shorten()
			}
		})
	}
	return m.again(pathState)
}

func (m *machine) fileSlash(c rune) verdict {
	if c == '/' || c == '\\' {
		return m.to(fileHostState)
	}
	if b := m.base; b != nil && b.scheme == "file" {
		m.u.host = clone(b.host)
		if !startsWithDriveLetter(m.input[min(m.at, len(m.input)):]) && len(b.path) > 0 && isNormalDriveLetter(b.path[0]) {
			m.u.path = append(m.u.path, b.path[0])
		}
	}
	return m.again(pathState)
}

func (m *machine) fileHost(c rune) verdict {
	if c != eof && c != '/' && c != '\\' && c != '?' && c != '#' {
		m.buffer = append(m.buffer, c)
		return goOn
	}
	switch {
	case m.override == noState && len(m.buffer) == 2 && isDriveLetter(m.buffer):
		return m.again(pathState) // the buffer is the path's first piece
	case len(m.buffer) == 0:
		m.u.host = new("")
		if m.override != noState {
			return done
		}
		return m.again(pathStartState)
	case !m.takeHost():
		return failed
	}
	if *m.u.host == "localhost" {
		m.u.host = new("")
	}
	if m.override != noState {
		return done
	}
	return m.again(pathStartState)
}

func isDriveLetter(text []rune) bool {
	return len(text) == 2 && isAlpha(text[0]) && (text[1] == ':' || text[1] == '|')
}

func isNormalDriveLetter(piece string) bool {
	return len(piece) == 2 && isAlpha(rune(piece[0])) && piece[1] == ':'
}

func startsWithDriveLetter(text []rune) bool {
	return len(text) >= 2 && isDriveLetter(text[:2]) &&
		(len(text) == 2 || strings.ContainsRune(`/\?#`, text[2]))
}
