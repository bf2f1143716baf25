package httptool_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// fetchServer answers by path. /headers and /method tell what came.
func fetchServer(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; path {
	case "/headers":
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			fmt.Fprintf(w, "%s=%s;", name, strings.Join(r.Header[name], "|"))
		}
	case "/404":
		http.Error(w, "nope", http.StatusNotFound)
	case "/no-location":
		w.WriteHeader(http.StatusFound)
	case "/loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
	case "/file":
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	case "/301", "/302", "/303", "/307", "/308":
		var status int
		fmt.Sscan(path[1:], &status)
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(status)
	case "/truncated":
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "short")
	default:
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), body)
	}
}

func TestFetch(t *testing.T) {
	server, transport := serve(t, fetchServer)
	other, _ := serve(t, fetchServer)
	transport = allow(t, strings.TrimPrefix(server.URL, "http://"), strings.TrimPrefix(other.URL, "http://"))
	secrets := http.Header{"authorization": {"Bearer x"}, "Cookie": {"a=b"}, "X-Api-Key": {"k"}, "Accept": {"text/plain"}}
	get := func(address string) httptool.FetchRequest {
		return httptool.FetchRequest{Method: "GET", URL: server.URL + address}
	}
	cases := []struct {
		title  string
		change func(*httptool.FetchRequest)
		path   string
		want   string // "status text body", or the failure's "class/reason: detail"
	}{
		{"plain", nil, "/a?b=%20c#d", "200 OK GET /a?b=%20c "},
		{"any status is an answer", nil, "/404", "404 Not Found nope\n"},
		{"a body", func(r *httptool.FetchRequest) { r.Method, r.Body = "POST", []byte("x") }, "/a", "200 OK POST /a x"},
		{"headers", func(r *httptool.FetchRequest) { r.Header = http.Header{"x-a": {"1", "2"}} }, "/headers", "200 OK Accept=*/*;Accept-Encoding=gzip;User-Agent=toolrun;X-A=1|2;"},
		{"what the connection decides", func(r *httptool.FetchRequest) {
			r.Header = http.Header{"content-length": {"99"}, "connection": {"x"}, "transfer-encoding": {"chunked"}, "accept-encoding": {"br"}}
		}, "/headers", "200 OK Accept=*/*;Accept-Encoding=gzip;User-Agent=toolrun;"},
		{"another host", func(r *httptool.FetchRequest) { r.Header = http.Header{"host": {"evil"}} }, "/a", "sandbox_error/exception: the header Host is set from the URL"},
		{"upgrade", func(r *httptool.FetchRequest) { r.Header = http.Header{"Upgrade": {"h2c"}} }, "/a", "sandbox_error/exception: the header Upgrade is not supported"},
		{"header name", func(r *httptool.FetchRequest) { r.Header = http.Header{"a b": {"x"}} }, "/a", `sandbox_error/exception: "a b" is not a valid header name`},
		{"header value", func(r *httptool.FetchRequest) { r.Header = http.Header{"a": {"x\r\ny"}} }, "/a", "sandbox_error/exception: the value of header A holds what a header can't"},
		{"method", func(r *httptool.FetchRequest) { r.Method = "CONNECT" }, "/a", `sandbox_error/exception: the method "CONNECT" can't be sent`},
		{"empty method", func(r *httptool.FetchRequest) { r.Method = "" }, "/a", `sandbox_error/exception: the method "" can't be sent`},
		{"scheme", func(r *httptool.FetchRequest) { r.URL = "ftp://x.example/" }, "", "request_blocked/egress_policy: only http and https URLs can be called"},
		{"not allowed", func(r *httptool.FetchRequest) { r.URL = "http://127.0.0.1:1/" }, "", "request_blocked/egress_policy: the egress policy does not allow 127.0.0.1:1"},
		{"no URL", func(r *httptool.FetchRequest) { r.URL = "http://x.example/%zz" }, "", "sandbox_error/exception: the URL can't be sent: it has a % that escapes nothing, or a host that is none"},

		{"302 turns POST into GET", func(r *httptool.FetchRequest) { r.Method, r.Body = "POST", []byte("x") }, "/302?to=/b", "200 OK GET /b "},
		{"307 keeps the body", func(r *httptool.FetchRequest) { r.Method, r.Body = "POST", []byte("x") }, "/307?to=/b", "200 OK POST /b x"},
		{"303 turns PUT into GET", func(r *httptool.FetchRequest) { r.Method, r.Body = "PUT", []byte("x") }, "/303?to=/b", "200 OK GET /b "},
		{"the same origin keeps credentials", func(r *httptool.FetchRequest) { r.Header = secrets }, "/302?to=/headers",
			"200 OK Accept=text/plain;Accept-Encoding=gzip;Authorization=Bearer x;Cookie=a=b;User-Agent=toolrun;X-Api-Key=k;"},
		{"another origin gets none", func(r *httptool.FetchRequest) { r.Header = secrets }, "/302?to=" + url.QueryEscape(other.URL+"/headers"),
			"200 OK Accept=text/plain;Accept-Encoding=gzip;User-Agent=toolrun;"},
		{"five hops", nil, hops(5), "200 OK GET /end "},
		{"six hops", nil, hops(6), "invalid_response/redirect_loop: more than 5 redirects, the last to " + server.URL},
		{"a loop", nil, "/loop", "invalid_response/redirect_loop: more than 5 redirects, the last to " + server.URL},
		{"to a file", nil, "/file", "request_blocked/egress_policy: redirect refused: only http and https URLs can be called"},
		{"to a forbidden host", nil, "/302?to=http://127.0.0.1:1/", "request_blocked/egress_policy: the egress policy does not allow 127.0.0.1:1"},
		{"without a location", nil, "/no-location", "302 Found "},
		{"manual", func(r *httptool.FetchRequest) { r.Redirect = "manual" }, "/302?to=/b", "302 Found "},
		{"error", func(r *httptool.FetchRequest) { r.Redirect = "error" }, "/302?to=/b", "invalid_response/redirect: the target answered 302 Found to " + server.URL + ", and the tool doesn't follow redirects"},

		{"a body at its limit", func(r *httptool.FetchRequest) { r.MaxResponseBytes = int64(len("GET /a ")) }, "/a", "200 OK GET /a "},
		{"a body beyond it", func(r *httptool.FetchRequest) { r.MaxResponseBytes = int64(len("GET /a ")) - 1 }, "/a", "invalid_response/too_large: the answer is larger than 6 bytes"},
		{"a body cut short", nil, "/truncated", "invalid_response/truncated: "},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			req := get(c.path)
			if c.change != nil {
				c.change(&req)
			}
			resp, err := httptool.Fetch(t.Context(), transport, req)
			got := ""
			if err != nil {
				e := errclass.Classify(err)
				got = fmt.Sprintf("%s/%s: %s", e.Class, e.Reason, e.Detail)
			} else {
				got = fmt.Sprintf("%d %s %s", resp.Status, resp.StatusText, resp.Body)
			}
			if strings.HasSuffix(c.want, ": ") {
				require.Contains(t, got, c.want)
				return
			}
			require.Equal(t, c.want, got)
		})
	}
	resp, err := httptool.Fetch(t.Context(), transport, get("/302?to=/b%23c"))
	require.NoError(t, err)
	require.Equal(t, server.URL+"/b", resp.URL)
	require.True(t, resp.Redirected)
}

// hops is a path that redirects n times before its end.
func hops(n int) string {
	path := "/end"
	for range n {
		path = "/302?to=" + url.QueryEscape(path)
	}
	return path
}

func TestFetchEndsWithItsContext(t *testing.T) {
	address := raw(t, stalls("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))
	transport := allow(t, address)
	for _, c := range []struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want errclass.Class
	}{
		{func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, errclass.Timeout},
		{func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}, errclass.Cancelled},
	} {
		ctx, cancel := c.end(t.Context())
		_, err := httptool.Fetch(ctx, transport, httptool.FetchRequest{Method: "GET", URL: "http://" + address + "/"})
		cancel()
		require.Equal(t, c.want, errclass.Classify(err).Class)
	}
}
