// Package weburl reads and writes URLs as web browsers do, by the URL standard
// (https://url.spec.whatwg.org), which net/url doesn't: it repairs much, and
// scripts rely on how.
//
// Start with [Parse]; [URL.Set] is a setter of the standard's URL class.
package weburl

import (
	"strconv"
	"strings"
)

// URL is a URL record. The zero value is none: make one with [Parse].
type URL struct {
	scheme             string
	username, password string
	host               *string
	port               int // -1: none, or the scheme's own
	path               []string
	opaque             *string // the path of a URL such as mailto:x
	query, fragment    *string
}

var specialPorts = map[string]int{"ftp": 21, "file": -1, "http": 80, "https": 443, "ws": 80, "wss": 443}

func (u *URL) special() bool { _, ok := specialPorts[u.scheme]; return ok }

// Parse parses an absolute URL, or one relative to base where base is not nil.
func Parse(input string, base *URL) (*URL, bool) {
	input = strings.TrimFunc(input, func(r rune) bool { return r <= ' ' })
	u := &URL{port: -1}
	if !run(u, input, base, noState) {
		return nil, false
	}
	return u, true
}

// Href is the whole URL.
func (u *URL) Href() string {
	var b strings.Builder
	b.WriteString(u.scheme)
	b.WriteByte(':')
	if u.host != nil {
		b.WriteString("//")
		if u.username != "" || u.password != "" {
			b.WriteString(u.username)
			if u.password != "" {
				b.WriteByte(':')
				b.WriteString(u.password)
			}
			b.WriteByte('@')
		}
		b.WriteString(u.Host())
	} else if u.opaque == nil && len(u.path) > 1 && u.path[0] == "" {
		b.WriteString("/.") // or the path would read as a host
	}
	b.WriteString(u.Pathname())
	if u.query != nil {
		b.WriteByte('?')
		b.WriteString(*u.query)
	}
	if u.fragment != nil {
		b.WriteByte('#')
		b.WriteString(*u.fragment)
	}
	return b.String()
}

// Protocol is the scheme with its colon.
func (u *URL) Protocol() string { return u.scheme + ":" }

// Username is percent-encoded, as is Password.
func (u *URL) Username() string { return u.username }

// Password is empty where there is none.
func (u *URL) Password() string { return u.password }

// Host is the host with the port, unless that is the scheme's own.
func (u *URL) Host() string {
	if u.port < 0 {
		return u.Hostname()
	}
	return u.Hostname() + ":" + strconv.Itoa(u.port)
}

// Hostname is empty where there is none; an IPv6 address is in brackets.
func (u *URL) Hostname() string {
	if u.host == nil {
		return ""
	}
	return *u.host
}

// Port is empty for the scheme's own.
func (u *URL) Port() string {
	if u.port < 0 {
		return ""
	}
	return strconv.Itoa(u.port)
}

// Pathname is the path.
func (u *URL) Pathname() string {
	if u.opaque != nil {
		return *u.opaque
	}
	if len(u.path) == 0 {
		return ""
	}
	return "/" + strings.Join(u.path, "/")
}

// Search is the query with its question mark, unless it is empty.
func (u *URL) Search() string {
	if u.query == nil || *u.query == "" {
		return ""
	}
	return "?" + *u.query
}

// Hash is the fragment with its number sign, unless it is empty.
func (u *URL) Hash() string {
	if u.fragment == nil || *u.fragment == "" {
		return ""
	}
	return "#" + *u.fragment
}

// Origin is "null" for a URL whose scheme has none.
func (u *URL) Origin() string {
	switch u.scheme {
	case "blob":
		inner, ok := Parse(u.Pathname(), nil)
		if ok && (inner.scheme == "http" || inner.scheme == "https") {
			return inner.Origin()
		}
	case "ftp", "http", "https", "ws", "wss":
		return u.scheme + "://" + u.Host()
	}
	return "null"
}

// Set changes one part, named as the URL class names it (protocol, username,
// password, host, hostname, port, pathname, search, hash). A value that can't
// stand there changes nothing, or only as far as it can be read.
func (u *URL) Set(part, value string) {
	noCredentials := u.host == nil || *u.host == "" || u.scheme == "file"
	switch part {
	case "protocol":
		run(u, value+":", nil, schemeStartState)
	case "username":
		if !noCredentials {
			u.username = encode(value, inUserinfo)
		}
	case "password":
		if !noCredentials {
			u.password = encode(value, inUserinfo)
		}
	case "host":
		if u.opaque == nil {
			run(u, value, nil, hostState)
		}
	case "hostname":
		if u.opaque == nil {
			run(u, value, nil, hostnameState)
		}
	case "port":
		switch {
		case noCredentials:
		case value == "":
			u.port = -1
		default:
			run(u, value, nil, portState)
		}
	case "pathname":
		if u.opaque == nil {
			u.path = nil
			run(u, value, nil, pathStartState)
		}
	case "search":
		u.query = nil
		if value != "" {
			u.query = new("")
			run(u, strings.TrimPrefix(value, "?"), nil, queryState)
		}
	case "hash":
		u.fragment = nil
		if value != "" {
			u.fragment = new("")
			run(u, strings.TrimPrefix(value, "#"), nil, fragmentState)
		}
	}
}
