package httptool_test

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Whatever the URL, only addresses that Go's own view takes for public ones are
// dialled.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{"http://127.0.0.1/", "http://[::ffff:127.0.0.1]:80", "http://0x7f.1", "http://①27.0.0.1", "https://8.8.8.8:8443/x", "http://[64:ff9b::7f00:1]", "http://a@b", "http://[fe80::1%25x]"} {
		f.Add(seed)
	}
	var dialled []string
	rt, err := httptool.RecordingTransport(httptool.Policy{Public: true}, fakeDNS(f, names{}), func(a string) { dialled = append(dialled, a) })
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil || httptool.CheckURL(rt, u) != nil {
			return
		}
		dialled = nil
		resp, err := rt.RoundTrip((&http.Request{Method: "GET", URL: u, Header: http.Header{}}).WithContext(t.Context()))
		require.Error(t, err)
		require.Nil(t, resp)
		for _, a := range dialled {
			addr := netip.MustParseAddrPort(a).Addr()
			require.True(t, addr.IsGlobalUnicast() && !addr.IsPrivate(), "%q dialled %s", raw, a)
		}
	})
}

func FuzzPolicyEntry(f *testing.F) {
	for _, seed := range []string{"a.test", "a.test:80", "10.0.0.0/8:80", "[::1]:80", "[fd00::/8]:1", "::1", "*", "127.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		_, err := httptool.NewTransport(httptool.Policy{Allow: []string{entry}})
		if err == nil {
			require.NotEmpty(t, entry)
			require.False(t, strings.ContainsAny(entry, "@ \t\r\n*"))
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for seed, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "1.5": 0, "x": 0, "86400": 24 * time.Hour, "99999999999999999999": 24 * time.Hour,
		"1763900000": 24 * time.Hour, "Mon, 23 Nov 2026 12:00:30 GMT": 30 * time.Second, "Mon, 23 Nov 2020 12:00:30 GMT": 0, "Mon, 23 Nov 2036 12:00:30 GMT": 24 * time.Hour,
	} {
		require.Equal(f, want, httptool.RetryAfter(seed, now), seed)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait := httptool.RetryAfter(value, now)
		require.True(t, wait >= 0 && wait <= 24*time.Hour)
	})
}

func FuzzNextLink(f *testing.F) {
	for seed, want := range map[string]string{
		`<a>; rel=next`: "a", `<a>; rel="next"`: "a", `<a>; rel=prev, <b>; rel=next`: "b", `<a,b>; title="x, <c>; rel=next"; rel="last next"`: "a,b",
		`<a>; rel=last; rel=next`: "", `<a>`: "", `a; rel=next`: "", `<a`: "", `<a>; rel`: "", `<a>;rel = "NEXT"`: "a", `<a>; rel=nextish`: "", `<a>; title="\""; rel=next`: "a",
	} {
		require.Equal(f, want, httptool.NextLink([]string{seed}), seed)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		require.Contains(t, header, httptool.NextLink([]string{header}))
	})
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"a.b[0]", "$.a", "$", `["a.b"].c`, "a..b", "[", "a[x]", "0.1"} {
		f.Add(seed)
	}
	v, err := strictjson.Decode([]byte(`{"a":{"b":[1,[2,{"c":null}]]},"a.b":{"c":1},"0":[[1]]}`))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		find, shown, message := httptool.ParsePath(text)
		if message == "" {
			find(v)
			require.LessOrEqual(t, len(shown), len(text)+20)
		}
	})
}

// A mapping that only names paths is read in a quicker way, which takes nothing that
// the thorough one refuses, and finds the same.
func FuzzMapping(f *testing.F) {
	for _, path := range []string{"", "a", "a.b[1]", "0", `["a.b"]`, "a.0.c"} {
		for _, body := range []string{`{"a":{"b":[1,2]},"0":null,"a.b":"x"}`, `[[1,{"c":"\u00e9"}]]`, `{"a":1,"a":2}`, `{"a":0,"e":[]}`, `{"a":[{"c":1.50}],"e":{"m":"no"}}`, `"s"`, `x`} {
			f.Add(path, "e", body)
		}
	}
	f.Fuzz(func(t *testing.T, dataPath, errorPath, body string) {
		quick, thorough, faults := httptool.Mapped(httptool.ResponseMapping{DataPath: dataPath, ErrorPath: errorPath}, "application/json", []byte(body))
		if len(faults) > 0 || quick == nil {
			return
		}
		require.NotNil(t, thorough)
		decoded, err := strictjson.Decode(quick)
		require.NoError(t, err)
		plain, err := strictjson.Marshal(decoded) // sorted, and 1.0 written as 1
		require.NoError(t, err)
		require.Equal(t, string(thorough), string(plain))
	})
}

// Whatever a caller sends stays in the place of the URL that the template has for it.
func FuzzURLTemplate(f *testing.F) {
	for _, seed := range []string{"a", "..", ".", "/", "%2f", "%2e%2e", "?x", "#x", "a b", "é", "\\", "//evil.test", "@evil.test", "", "a&b=c", "\x00", "\xff", ";", "+"} {
		f.Add(seed, seed)
	}
	tool, faults := httptool.Compile(httptool.Config{URL: "https://api.test/v1/{{parameters.x}}/é x/{{parameters.y}}?q={{parameters.y}}&z=1", QueryParams: map[string]any{"p": "{{parameters.x}}"}}, nil, nil)
	require.Empty(f, faults)
	f.Fuzz(func(t *testing.T, x, y string) {
		u := httptool.Address(tool, map[string]any{"x": x, "y": y})
		if u == nil {
			return
		}
		again, err := url.Parse(u.String())
		require.NoError(t, err)
		require.Equal(t, "api.test", again.Host)
		require.Equal(t, "https", again.Scheme)
		require.Empty(t, again.Fragment)
		segments := strings.Split(again.EscapedPath(), "/")
		require.Len(t, segments, 5)
		for i, want := range map[int]string{1: "v1", 2: x, 3: "é x", 4: y} {
			got, err := url.PathUnescape(segments[i])
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NotContains(t, []string{".", ".."}, got)
		}
		query, err := url.ParseQuery(again.RawQuery)
		require.NoError(t, err)
		require.Equal(t, url.Values{"q": {y}, "z": {"1"}, "p": {x}}, query)
	})
}

func FuzzErrorMessage(f *testing.F) {
	for _, seed := range []string{`{"message":"m"}`, `{"error":{"message":"m","code":5}}`, `{"errors":[{"detail":"d"}]}`, "<html><title>t</title>", "text\nmore", `[{"a":1}]`, "\xff", `"s"`, "<title"} {
		f.Add("application/json", []byte(seed))
		f.Add("text/html; charset=latin1", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		message, code := httptool.ErrorMessage(contentType, body)
		require.Equal(t, errclass.OneLine(message, 300), message)
		require.Equal(t, errclass.OneLine(code, 64), code)
	})
}

func FuzzDataURL(f *testing.F) {
	for seed, want := range map[string][2]string{
		"data:,a%20b":                       {"text/plain; charset=US-ASCII", "a b"},
		"DATA:;charset=utf-8;base64,YQ":     {"text/plain; charset=utf-8", "a"},
		"data:image/PNG; BASE64,YQ%3D%3D":   {"image/png", "a"},
		" data:a/b;base64,_-8=#x":           {"a/b", "\xff\xef"},
		"data:image/svg+xml;utf8,<svg>,</>": {"image/svg+xml", "<svg>,</>"},
		"data:a/b;c=\"d\";base64,Y\nQ = =":  {"a/b; c=d", "a"},
	} {
		mediaType, content, err := httptool.DecodeDataURL(seed)
		require.NoError(f, err, seed)
		require.Equal(f, want, [2]string{mediaType, string(content)}, seed)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mediaType, content, err := httptool.DecodeDataURL(s)
		if err != nil {
			return
		}
		require.True(t, httpguts.ValidHeaderFieldValue(mediaType), "%q", mediaType)
		again, same, err := httptool.DecodeDataURL("data:" + mediaType + ";base64," + base64.URLEncoding.EncodeToString(content))
		require.NoError(t, err)
		require.Equal(t, mediaType, again)
		require.Equal(t, string(content), string(same))
	})
}

func FuzzBase64(f *testing.F) {
	for _, seed := range []string{"", "YQ", "YQ==", "YQ=", "_-8", "/+8=", "Y Q\r\n==", "=", "====", "Y", "\u00e9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		decoded, err := httptool.DecodeBase64(s)
		if standard, standardErr := base64.StdEncoding.DecodeString(s); standardErr == nil {
			require.NoError(t, err)
			require.Equal(t, string(standard), string(decoded))
		}
		if err == nil {
			require.LessOrEqual(t, len(decoded), len(s))
			again, err := httptool.DecodeBase64(base64.RawURLEncoding.EncodeToString(decoded))
			require.NoError(t, err)
			require.Equal(t, string(decoded), string(again))
		}
	})
}

// A value stays under its name, whatever is in it, and nothing of it is lost.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{`"a&b"`, `[1,null,true]`, `{"a":{"b":[{"c":"&x=1"}]}}`, `{"a]":1}`, `[[],{},[[2]]]`, `{"\u0000":"="}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := strictjson.Decode([]byte(text))
		if err != nil {
			return
		}
		pairs, err := httptool.AppendPair(nil, "f", v)
		if err != nil {
			return
		}
		form, err := url.ParseQuery(string(pairs))
		require.NoError(t, err)
		sent := 0
		for name, values := range form {
			require.True(t, name == "f" || strings.HasPrefix(name, "f[") && strings.HasSuffix(name, "]"), name)
			require.Equal(t, strings.Count(name, "["), strings.Count(name, "]"), name)
			sent += len(values)
		}
		require.Equal(t, scalars(v), sent)
	})
}

// scalars counts what isn't null, an array or an object.
func scalars(v any) int {
	n := 0
	switch v := v.(type) {
	case nil:
	case []any:
		for _, element := range v {
			n += scalars(element)
		}
	case map[string]any:
		for _, member := range v {
			n += scalars(member)
		}
	default:
		n = 1
	}
	return n
}
