package expression_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

func TestPathSegment(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "a b": "a%20b", "a/b": "a%2Fb", `a\b`: "a%5Cb", "../x": "..%2Fx", "...": "...", "a?b#c": "a%3Fb%23c", "%2e%2e": "%252e%252e",
		"é": "%C3%A9", "\xff\x00": "%FF%00", "a;b=c,d:e@f": "a%3Bb%3Dc%2Cd%3Ae%40f", "AZaz09-._~": "AZaz09-._~", ".a": ".a", "{{x}}": "%7B%7Bx%7D%7D",
	} {
		got, err := expression.PathSegment(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"", ".", ".."} {
		_, err := expression.PathSegment(in)
		require.Error(t, err, "%q", in)
	}
}

func TestPathSteps(t *testing.T) {
	for path, want := range map[string]bool{
		"": false, "/": false, "/a/b": false, "/a/../b": true, "/..": true, "/.": true, "/a/%2e%2E/b": true, "/a/.%2e": true, "/...": false,
		"/a..b": false, `/a\..\b`: true, "/..a": false, "/%252e": false,
	} {
		require.Equal(t, want, expression.PathSteps(path), path)
	}
}

func TestHeaderValue(t *testing.T) {
	for _, ok := range []string{"", "a b", "a\tb", "é", "\x80"} {
		got, err := expression.HeaderValue(ok)
		require.NoError(t, err)
		require.Equal(t, ok, got)
	}
	for _, bad := range []string{"a\r\nb", "\n", "\r", "\x00", "\x1f", "\x7f", "a\x0bb"} {
		_, err := expression.HeaderValue(bad)
		require.Error(t, err, "%q", bad)
	}
}

// random is a JSON value made of what injections are made of.
func random(r *rand.Rand, depth int) any {
	switch n := r.IntN(8); {
	case n == 0 && depth > 0:
		array := make([]any, r.IntN(4))
		for i := range array {
			array[i] = random(r, depth-1)
		}
		return array
	case n == 1 && depth > 0:
		object := map[string]any{}
		for range r.IntN(4) {
			object[randomText(r)] = random(r, depth-1)
		}
		return object
	case n == 2:
		return r.Int64() - r.Int64()
	case n == 3:
		return r.NormFloat64()
	case n == 4:
		return r.IntN(2) == 0
	}
	return randomText(r)
}

func randomText(r *rand.Rand) string {
	pieces := []string{
		"a", "..", "/", `\`, "?", "&", "=", "#", "%", "%2e", "%00", "\r\n", "\x00", `"`, "'", "{{", "}}", "{{env.X}}", "é", "😀", " ", "+", ";", "@", ":",
		"<", "${x}", "null", "1", ",", "]", "}", "\u2028", "\t",
	}
	var b strings.Builder
	for range 1 + r.IntN(6) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// Whatever a parameter holds, whoever reads the request finds that value in its
// place and nothing else changed.
func TestNoInjection(t *testing.T) {
	open := expression.Declared{Open: true}
	compile := func(src string) *expression.Template {
		tm, err := expression.Compile(src, open)
		require.NoError(t, err)
		return tm
	}
	path := compile("/v1/{{parameters.v}}/end")
	query := compile("a=1&v={{parameters.v}}&z=2")
	header := compile("pre {{parameters.v}} post")
	plain := compile("{{parameters.v}}")
	tree, faults := expression.CompileTree(map[string]any{"v": "{{parameters.v}}", "t": "<{{parameters.v}}>", "k": "kept"}, open)
	require.Empty(t, faults)

	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		v := random(r, 3)
		s := &expression.Scope{Parameters: map[string]any{"v": v}, Env: map[string]string{"X": "leaked"}}
		want, _, err := plain.Text(s, nil)
		require.NoError(t, err)

		if p, _, err := path.Text(s, expression.PathSegment); err == nil {
			u, err := url.Parse("https://host" + p)
			require.NoError(t, err)
			require.Equal(t, "/v1/"+want+"/end", u.Path)
			require.Equal(t, 3, strings.Count(u.EscapedPath(), "/"))
			require.Equal(t, "host", u.Host)
			require.Empty(t, u.RawQuery+u.Fragment)
			require.False(t, expression.PathSteps(u.EscapedPath()))
		} else {
			require.Contains(t, []string{".", ".."}, want)
		}

		q, _, err := query.Text(s, expression.QueryComponent)
		require.NoError(t, err)
		values, err := url.ParseQuery(q)
		require.NoError(t, err)
		require.Equal(t, url.Values{"a": {"1"}, "v": {want}, "z": {"2"}}, values)

		if h, _, err := header.Text(s, expression.HeaderValue); err == nil {
			require.Equal(t, "pre "+want+" post", h)
			var wire strings.Builder
			require.NoError(t, http.Header{"X-V": {h}}.Write(&wire))
			require.Equal(t, "X-V: "+h+"\r\n", wire.String())
		} else {
			require.True(t, strings.ContainsAny(want, "\r\n\x00"))
		}

		body, _, err := tree.Value(s)
		require.NoError(t, err)
		text, err := strictjson.Marshal(body)
		require.NoError(t, err)
		back, err := strictjson.Decode(text)
		require.NoError(t, err)
		require.Equal(t, map[string]any{"v": canonical(t, v), "t": "<" + want + ">", "k": "kept"}, back)

		// What a value reads as in a text is the JSON that the one writer writes.
		if _, ok := v.(string); !ok {
			var reread any
			require.NoError(t, json.Unmarshal([]byte(want), &reread))
			again, err := strictjson.Decode([]byte(want))
			require.NoError(t, err)
			require.Equal(t, canonical(t, v), again)
		}
	}
}

func canonical(t *testing.T, v any) any {
	t.Helper()
	text, err := strictjson.Marshal(v)
	require.NoError(t, err)
	back, err := strictjson.Decode(text)
	require.NoError(t, err)
	return back
}
