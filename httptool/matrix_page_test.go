package httptool_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// pageSet serves JSON pages by number, from 1.
func pageSet(page func(n int) (link, body string)) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		var count atomic.Int32
		return handled(func(w http.ResponseWriter, _ *http.Request) {
			link, body := page(int(count.Add(1)))
			if link != "" {
				w.Header().Set("Link", "<"+link+">; rel=next")
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})(t)
	}
}

// cursors serves pages with these successive cursors, as JSON; the last repeats.
func cursors(next ...string) func(*testing.T) upstream {
	return pageSet(func(n int) (_, body string) {
		return "", fmt.Sprintf(`{"items":[%d],"next":%s}`, n, next[min(n, len(next))-1])
	})
}

// links serves pages with a link to the next.
func links(next string) func(*testing.T) upstream {
	return pageSet(func(n int) (link, _ string) { return next, fmt.Sprint("[", n, "]") })
}

func paged(p httptool.Pagination) httptool.Config { return httptool.Config{Pagination: &p} }

var (
	byCursor = paged(httptool.Pagination{Type: "cursor", CursorPath: "next", ResultsPath: "items"})
	byOffset = paged(httptool.Pagination{Type: "offset", DefaultLimit: 1})
	byLink   = paged(httptool.Pagination{Type: "link-header"})
)

var pageFaults = []fault{
	{name: "Pages without an end, by offset", serve: pageSet(func(n int) (_, body string) { return "", fmt.Sprint("[", n, "]") }), config: byOffset,
		want: permanent(invalid, errclass.TooLarge, "more than 10 pages").sent(10)},
	{name: "Pages without an end, by cursor", serve: pageSet(func(n int) (_, body string) { return "", fmt.Sprintf(`{"items":[%d],"next":%d}`, n, n) }), config: byCursor,
		want: permanent(invalid, errclass.TooLarge, "more than 10 pages").sent(10)},
	{name: "Pages without an end, by link", serve: pageSet(func(n int) (link, body string) { return fmt.Sprint("/x?p=", n), "[1]" }), config: byLink,
		want: permanent(invalid, errclass.TooLarge, "more than 10 pages").sent(10)},
	{name: "The same page whatever the offset, by maxPages", serve: pageSet(func(int) (_, body string) { return "", "[1]" }), config: paged(httptool.Pagination{Type: "offset", DefaultLimit: 1, MaxPages: 3}),
		want: gives("[1,1,1]").sent(3)},
	{name: "The same cursor twice in a row", serve: cursors(`"b"`), config: byCursor, want: permanent(invalid, errclass.UpstreamFailed, "page 2: the target names a page as the next one that was there before").sent(2)},
	{name: "Cursors in a circle", serve: cursors(`"b"`, `"c"`, `"b"`), config: byCursor, want: permanent(invalid, errclass.UpstreamFailed, "page 3: ").sent(3)},
	{name: "A page links to itself", serve: links(""), config: byLink, want: gives("[1]")},
	{name: "Links in a circle", serve: links("?p=2"), config: byLink, want: permanent(invalid, errclass.UpstreamFailed, "page 2: ").sent(2)},
	{name: "A cursor that is an object", serve: cursors(`{}`), config: byCursor, want: permanent(invalid, errclass.NoData, "the cursor at next is no text")},
	{name: "A page without its list", serve: jsonBody(`{}`), config: byCursor, want: permanent(invalid, errclass.NoData, "nothing at items")},
	{name: "A page whose list is a number", serve: jsonBody(`{"items":5}`), config: byCursor, want: permanent(invalid, errclass.NoData, "no list at items")},
	{name: "The second page isn't JSON", serve: pageSet(func(n int) (_, body string) {
		return "", []string{`{"items":[1],"next":"b"}`, "<html>"}[n-1]
	}), config: byCursor, want: permanent(invalid, errclass.NotJSON, "page 2: the body is HTML").sent(2)},
	{name: "The second page is a 500", serve: func(t *testing.T) upstream {
		s := &script{steps: []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"items":[1],"next":"b"}`)
		}, status(500)}}
		return handled(s.ServeHTTP)(t)
	}, config: byCursor, want: temporary(httpError, errclass.ServerError, "page 2: 500").sent(2)},
	{name: "The pages are too large together", serve: pageSet(func(int) (_, body string) { return "", `["` + strings.Repeat("a", mostBytes*6/10) + `"]` }), config: byOffset,
		want: permanent(invalid, errclass.TooLarge, "page 2: the answer is larger than 65536 bytes").sent(2)},
	{name: "The next page is at a refused address", serve: links("http://127.0.0.3:1/?key=" + secret), config: byLink, want: permanent(blockedClass, errclass.Blocked, "page 2: the egress policy does not allow 127.0.0.3:1").sent(2)},
	{name: "The next page is under another scheme", serve: links("file:///etc/passwd"), config: byLink, want: permanent(blockedClass, errclass.Blocked, "next page refused")},
	{name: "The next page's address has a password", serve: links("http://u:" + secret + "@127.0.0.1/"), config: byLink, want: permanent(blockedClass, errclass.Blocked, "next page refused")},
	{name: "The next page's address is no URL", serve: links("http://[::1"), config: byLink, want: permanent(invalid, errclass.Malformed, "no URL")},
	{name: "The next page would take a POST's body elsewhere", serve: links("http://127.0.0.3:1/"), config: func() httptool.Config {
		cfg := posting("{}")
		cfg.Pagination = byLink.Pagination
		return cfg
	}(), want: permanent(invalid, errclass.Redirect, "would take the request's body to another origin")},
}
