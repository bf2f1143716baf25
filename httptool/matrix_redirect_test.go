package httptool_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// following is a tool that follows redirects, by the given method.
func following(method string) httptool.Config {
	cfg := httptool.Config{Method: method, FollowRedirects: true}
	if method != http.MethodGet {
		cfg.Body = []byte(`{"a":1}`)
	}
	return cfg
}

// redirects answers with a status and a Location, with a secret in its query.
func redirects(status, location string) func(*testing.T) upstream {
	return text(status, "Location: "+location+"?key="+secret+"\r\n", "")
}

// elsewhere redirects to another server, which answers with the names of the
// headers and the body that came. Both are allowed.
func elsewhere(status int) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var came []string
			for _, name := range []string{"Authorization", "X-Key", "Cookie", "Accept", "Accept-Language"} {
				if r.Header.Get(name) != "" {
					came = append(came, name)
				}
			}
			fmt.Fprintf(w, "%s %s %d", r.Method, strings.Join(came, " "), max(r.ContentLength, 0))
		}))
		t.Cleanup(there.Close)
		up := handled(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, there.URL, status) })(t)
		up.policy.Allow = append(up.policy.Allow, there.Listener.Addr().String())
		return up
	}
}

// called is an upstream of which nothing but the address counts.
func called(address string) func(*testing.T) upstream {
	return func(*testing.T) upstream { return upstream{url: address, policy: httptool.Policy{Public: true}} }
}

var redirectFaults = []fault{
	{name: "A redirect, and the tool doesn't follow any", serve: redirects("302 Found", "https://login.example.com/x"), want: permanent(invalid, errclass.Redirect, "302 Found to https://login.example.com, and the tool doesn't follow redirects")},
	{name: "Redirects without an end", serve: redirects("302 Found", "/again"), config: following("GET"), want: permanent(invalid, errclass.RedirectLoop, "more than 5 redirects")},
	{name: "A redirect to a refused address", serve: redirects("302 Found", "http://127.0.0.2:1/"), config: following("GET"), want: permanent(blockedClass, errclass.Blocked, "does not allow 127.0.0.2:1")},
	{name: "A redirect to a cloud's metadata service", serve: redirects("302 Found", "http://169.254.169.254/"), config: following("GET"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "A redirect to another scheme", serve: redirects("302 Found", "file:///etc/passwd"), config: following("GET"), want: permanent(blockedClass, errclass.Blocked, "only http and https")},
	{name: "A redirect to an address with a password", serve: redirects("302 Found", "http://u:"+secret+"@127.0.0.1/"), config: following("GET"), want: permanent(blockedClass, errclass.Blocked, "user name or password")},
	{name: "A redirect from https to http", serve: func(t *testing.T) upstream {
		s := httptest.NewTLSServer(http.RedirectHandler("http://127.0.0.1:1/?key="+secret, http.StatusFound))
		t.Cleanup(s.Close)
		up := at("https", s.Listener.Addr().String())
		up.tls = s.Client().Transport.(*http.Transport).TLSClientConfig
		return up
	}, config: following("GET"), want: permanent(invalid, errclass.Redirect, "leaves https")},
	{name: "A redirect to no URL", serve: redirects("302 Found", "http://[::1"), config: following("GET"), want: permanent(invalid, errclass.Redirect, "no URL")},
	{name: "A redirect to a port that doesn't exist", serve: redirects("302 Found", "http://127.0.0.1:99999/"), config: following("GET"), want: permanent(blockedClass, errclass.Blocked, "port")},
	{name: "A redirect without a Location", serve: text("302 Found", "", ""), config: following("GET"), want: permanent(invalid, errclass.Redirect, "holds no data")},
	{name: "300 Multiple Choices", serve: redirects("300 Multiple Choices", "/x"), config: following("GET"), want: permanent(invalid, errclass.Redirect, "300 Multiple Choices")},
	{name: "304 Not Modified", serve: plain(says("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")), want: permanent(invalid, errclass.Redirect, "304")},
	{name: "305 Use Proxy", serve: redirects("305 Use Proxy", "http://127.0.0.2/"), config: following("GET"), want: permanent(invalid, errclass.Redirect, "305")},
	{name: "A redirect (307) that would take a POST's body elsewhere", serve: redirects("307 Temporary Redirect", "http://127.0.0.2:1/"), config: following("POST"), want: permanent(invalid, errclass.Redirect, "would take the request's body to another origin")},
	{name: "A redirect (308) that would take a POST's body elsewhere", serve: redirects("308 Permanent Redirect", "http://127.0.0.2:1/"), config: following("POST"), want: permanent(invalid, errclass.Redirect, "would take the request's body")},
	{name: "A redirect (302) that would take a PUT's body elsewhere", serve: redirects("302 Found", "http://127.0.0.2:1/"), config: following("PUT"), want: permanent(invalid, errclass.Redirect, "would take the request's body")},
	{name: "A redirect to another server: no credentials follow", serve: elsewhere(302), config: following("GET"), want: gives(`"GET Accept 0"`)},
	{name: "A redirect (303) of a POST to another server: no body follows either", serve: elsewhere(303), config: following("POST"), want: gives(`"GET Accept 0"`)},

	{name: "A redirect that sets a cookie: it isn't sent back", serve: handled(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x" {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, "/y", http.StatusFound)
			return
		}
		fmt.Fprintf(w, "%d cookies", len(r.Cookies()))
	}), config: following("GET"), want: gives(`"0 cookies"`)},

	{name: "The policy allows nothing", serve: func(*testing.T) upstream { return upstream{url: "http://127.0.0.1:1"} }, want: permanent(blockedClass, errclass.Blocked, "does not allow 127.0.0.1:1")},
	{name: "Loopback", serve: called("http://127.0.0.1:8080"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback by name", serve: called("http://localhost:8080"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback, IPv6", serve: called("http://[::1]:8080"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback, IPv4 in IPv6", serve: called("http://[::ffff:127.0.0.1]"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback through NAT64", serve: called("http://[64:ff9b::7f00:1]"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback as one decimal number", serve: called("http://2130706433"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback in hexadecimal", serve: called("http://0x7f000001"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback in octal", serve: called("http://0177.0.0.1"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback in short", serve: called("http://127.1"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "Loopback in full-width digits", serve: called("http://１２７.０.０.１"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "A private network", serve: called("http://10.0.0.5"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "A cloud's metadata service", serve: called("http://169.254.169.254"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "The unspecified address", serve: called("http://0.0.0.0:8080"), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "A port that browsers refuse", serve: called("http://8.8.8.8:25"), want: permanent(blockedClass, errclass.Blocked, "")},
}
