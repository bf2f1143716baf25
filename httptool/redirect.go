package httptool

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

// redirected is the request that a redirect asks for.
func (c *call) redirected(req *request, resp *http.Response, hop int) (*request, *errclass.Error) {
	status := strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	location := resp.Header.Get("Location")
	if !isRedirect(resp.StatusCode) || location == "" {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.Redirect, "the target answered %s, which holds no data", strings.TrimSpace(status))
	}
	target, err := resolve(req.url, location)
	if err != nil {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.Redirect, "the target answered %s to an address that is no URL", status)
	}
	if !c.tool.follow {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.Redirect, "the target answered %s to %s, and the tool doesn't follow redirects", status, safeOrigin(target))
	}
	if hop >= maxRedirects {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.RedirectLoop, "more than %d redirects, the last to %s", maxRedirects, safeOrigin(target))
	}
	if _, _, err := inspectURL(target); err != nil {
		return nil, errclass.Newf(errclass.RequestBlocked, errclass.Blocked, "redirect refused: %s", detailOf(err))
	}
	if req.url.Scheme == "https" && target.Scheme == "http" {
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.Redirect, "the redirect to %s leaves https and is not followed", safeOrigin(target))
	}
	next := req.redirect(target, resp.StatusCode)
	if len(next.body) > 0 && next.origin() != req.origin() {
		return nil, bodyElsewhere("the redirect to", target)
	}
	return next, nil
}

// bodyElsewhere refuses to hand a body, which may hold credentials, to another
// origin.
func bodyElsewhere(what string, target *url.URL) *errclass.Error {
	e := errclass.Newf(errclass.InvalidResponse, errclass.Redirect, "%s %s would take the request's body to another origin and is not followed", what, safeOrigin(target))
	e.Hint = "If the body is meant for that origin, set the tool's URL to it."
	return e
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect makes the next request by the rules of RFC 9110, section 15.4, and the
// fetch standard: 303 turns everything into GET, 301 and 302 do so with POST.
func (r *request) redirect(target *url.URL, status int) *request {
	next := r.moved(target)
	toGet := status == http.StatusSeeOther && r.method != http.MethodGet && r.method != http.MethodHead ||
		(status == http.StatusMovedPermanently || status == http.StatusFound) && r.method == http.MethodPost
	if !toGet {
		return next
	}
	next.method, next.body = http.MethodGet, nil
	for name := range next.header {
		if strings.HasPrefix(name, "Content-") {
			delete(next.header, name)
		}
	}
	return next
}

// moved is the same request to another address. To another origin goes nothing
// that could be a credential; what was dropped doesn't come back later.
func (r *request) moved(target *url.URL) *request {
	next := &request{method: r.method, url: target, header: r.header.Clone(), body: r.body, grant: r.grant}
	if next.origin() == r.origin() {
		return next
	}
	next.grant = nil
	for name := range next.header {
		switch name {
		case "Accept", "Accept-Language", "Content-Type", "User-Agent":
		default:
			delete(next.header, name)
		}
	}
	return next
}

// safeOrigin names the target of a redirect without its path and query, which
// may hold secrets.
func safeOrigin(u *url.URL) string {
	if u.Scheme != "http" && u.Scheme != "https" {
		return "another scheme than http and https"
	}
	return originOf(u)
}

func displayOrigin(host string, port uint16, scheme string) string {
	if scheme == "https" && port == 443 || scheme == "http" && port == 80 {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
