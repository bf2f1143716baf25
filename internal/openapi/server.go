package openapi

import (
	"fmt"
	"net/url"
	"strings"
)

// server is the base URL of the operation: without a slash at its end, its
// variables replaced by their defaults.
func (b *builder) server() (string, error) {
	if b.im.opts.Server != "" {
		base := strings.TrimSuffix(b.im.opts.Server, "/")
		b.servers[base] = true
		return base, nil
	}
	servers, place := list(b.im.doc.root["servers"]), "#/servers"
	if own := list(b.item["servers"]); len(own) > 0 {
		servers, place = own, b.itemPlace+"/servers"
	}
	if own := list(b.op["servers"]); len(own) > 0 {
		servers, place = own, b.place+"/servers"
	}
	if len(servers) == 0 {
		return "", &leftOut{b.place, "the description names no server: give one with --server https://…"}
	}
	why := ""
	for i, server := range servers[:min(len(servers), maxAlternatives)] {
		address := expand(text(object(server)["url"]), object(object(server)["variables"]))
		u, err := url.Parse(address)
		switch {
		case err == nil && absolute(u) && !inBraces.MatchString(address) && u.RawQuery == "" && u.Fragment == "" && u.User == nil:
			base := literal(strings.TrimSuffix(address, "/"))
			b.servers[base] = true
			return base, nil
		case why != "":
		case err == nil && u.Scheme == "" && u.Host == "":
			why = fmt.Sprintf("its server %q is relative to where the description was found: give --server https://HOST%s", address, address)
		default:
			why = fmt.Sprintf("its server %q is not a URL that can be used: give one with --server https://…", cut(address, 200))
		}
		if i == 0 {
			place += "/0"
		}
	}
	return "", &leftOut{place, why}
}

// absolute reports whether u names a host over HTTP.
func absolute(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// expand replaces a server's variables by their defaults.
func expand(address string, variables map[string]any) string {
	return inBraces.ReplaceAllStringFunc(address, func(braced string) string {
		v, ok := variables[braced[1:len(braced)-1]]
		if !ok || object(v)["default"] == nil {
			return braced
		}
		return text(object(v)["default"])
	})
}
