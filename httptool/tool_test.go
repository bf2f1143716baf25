package httptool_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

type object = map[string]any

// echo answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(object{"method": r.Method, "uri": r.RequestURI, "headers": r.Header, "body": string(body)})
}

type echoed struct {
	Method, URI, Body string
	Headers           http.Header
}

var hostile = []string{
	"../../admin", "a/b", "?x=1", "#f", "&admin=1", "a=b", "%2e%2e", "..;", "a b", "\"}", "\\", "ü€", "{{env.SECRET}}", "\x00", "%00", "+", "//evil.test", "@evil.test", ";", "'", "<script>",
}

func TestInjection(t *testing.T) {
	server, rt := serve(t, echo)
	run := func(cfg httptool.Config, v any) (echoed, error) {
		cfg.URL = server.URL + cfg.URL
		resp, err := compile(t, cfg).Run(t.Context(), rt, httptool.Input{Parameters: object{"v": v}, Env: map[string]string{"SECRET": "s3cret"}})
		var e echoed
		if err == nil {
			require.NoError(t, json.Unmarshal(resp.Value, &e))
			require.NotContains(t, string(resp.Value), "s3cret")
		}
		return e, err
	}
	for _, v := range hostile {
		e, err := run(httptool.Config{URL: "/a/{{parameters.v}}/b"}, v)
		require.NoError(t, err, v)
		require.Equal(t, 3, strings.Count(e.URI, "/"), e.URI)
		require.NotContains(t, e.URI, "?")

		for _, cfg := range []httptool.Config{{URL: "/?a=1&q={{parameters.v}}"}, {URL: "/?a=1", QueryParams: object{"q": "{{parameters.v}}"}}, {URL: "/?a=1&q=x{{parameters.v}}"}} {
			e, err = run(cfg, v)
			require.NoError(t, err)
			req, err := http.NewRequest("GET", "http://h"+e.URI, nil)
			require.NoError(t, err)
			require.Len(t, req.URL.Query(), 2, e.URI)
			require.Equal(t, v, strings.TrimPrefix(req.URL.Query().Get("q"), "x"))
		}

		e, err = run(httptool.Config{Method: "POST", URL: "/", Body: []byte(`{"q":"{{parameters.v}}","t":"<{{parameters.v}}>"}`)}, v)
		require.NoError(t, err)
		var body map[string]string
		require.NoError(t, json.Unmarshal([]byte(e.Body), &body))
		require.Equal(t, map[string]string{"q": v, "t": "<" + v + ">"}, body)

		e, err = run(httptool.Config{Method: "POST", URL: "/", Body: []byte(`"{\"q\":\"{{parameters.v}}\"}"`)}, v)
		require.NoError(t, err)
		body = nil
		require.NoError(t, json.Unmarshal([]byte(e.Body), &body))
		require.Equal(t, map[string]string{"q": v}, body)

		e, err = run(httptool.Config{Method: "POST", URL: "/", BodyEncoding: "form-urlencoded", Body: []byte(`{"q":"{{parameters.v}}","z":1}`)}, v)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(e.Body, "&"), e.Body)
		require.Equal(t, 2, strings.Count(e.Body, "="), e.Body)
	}
	for _, v := range []string{"..", ".", ""} {
		_, err := run(httptool.Config{URL: "/a/{{parameters.v}}"}, v)
		require.Equal(t, errclass.BadExpression, errclass.Classify(err).Reason)
	}
	_, err := run(httptool.Config{URL: "/a/.{{parameters.v}}"}, ".")
	require.Error(t, err)
	for _, v := range []string{"a\r\nX-Evil: 1", "a\nb", "a\x00b"} {
		_, err := run(httptool.Config{URL: "/", Headers: object{"X-A": "{{parameters.v}}"}}, v)
		require.Equal(t, errclass.BadExpression, errclass.Classify(err).Reason)
	}
}

// A character that net/url encodes anew must not undo the encoding of the value
// beside it, in the path or in the query.
func TestOddLiterals(t *testing.T) {
	server, rt := serve(t, echo)
	for _, tc := range []struct{ url, want string }{
		{"/my files/{{parameters.v}}", "/my%20files/a%2F..%2Fb%3Fc"},
		{"/größe/{{parameters.v}}", "/gr%C3%B6%C3%9Fe/a%2F..%2Fb%3Fc"},
		{"/a|b/{{parameters.v}}", "/a%7Cb/a%2F..%2Fb%3Fc"},
		{`/a"b/{{parameters.v}}`, "/a%22b/a%2F..%2Fb%3Fc"},
		{"/a^`b<>/{{parameters.v}}", "/a%5E%60b%3C%3E/a%2F..%2Fb%3Fc"},
		{"/100%/{{parameters.v}}", "/100%25/a%2F..%2Fb%3Fc"},
		{"/a%2Fb/{{parameters.v}}", "/a%2Fb/a%2F..%2Fb%3Fc"},
		{"/a[1];v=(x)/{{parameters.v}}", "/a[1];v=(x)/a%2F..%2Fb%3Fc"},
		{"/q?x=hello world&y={{parameters.v}}", "/q?x=hello%20world&y=a%2F..%2Fb%3Fc"},
		{"/q?größe={{parameters.v}}|", "/q?gr%C3%B6%C3%9Fe=a%2F..%2Fb%3Fc%7C"},
		{"/q?f[a]=1+2&z=%7C&p=5%", "/q?f[a]=1+2&z=%7C&p=5%25"},
		{"{{env.BASE}}/x y/{{parameters.v}}", "/my%20%22files/a%2Fb/x%20y/a%2F..%2Fb%3Fc"},
		{"{{parameters.url}}", "/p%20q%2Fr?s=t%20u"},
	} {
		if !strings.HasPrefix(tc.url, "{{") {
			tc.url = server.URL + tc.url
		}
		resp, err := compile(t, httptool.Config{URL: tc.url}).Run(t.Context(), rt, httptool.Input{
			Parameters: object{"v": "a/../b?c", "url": server.URL + "/p q%2Fr?s=t u"},
			Env:        map[string]string{"BASE": server.URL + `/my "files/a%2Fb`},
		})
		require.NoError(t, err, tc.url)
		var e echoed
		require.NoError(t, json.Unmarshal(resp.Value, &e))
		require.Equal(t, tc.want, e.URI, tc.url)
	}
}

func TestRequests(t *testing.T) {
	server, rt := serve(t, echo)
	in := httptool.Input{
		Parameters: object{"id": int64(7), "list": []any{"a", int64(1), true}, "nothing": nil, "obj": object{"k": "v"}, "text": "t", "holed": []any{nil, int64(1)}, "site": object{"url": server.URL + "/p"}},
		Env:        map[string]string{"BASE": server.URL + "/v1/", "HOST": server.Listener.Addr().String(), "KEY": "k&y"},
	}
	basic := &httptool.Auth{Type: "basic", Config: object{"username": "u", "password": "{{env.KEY}}"}}
	for _, tc := range []struct {
		name string
		cfg  httptool.Config
		auth *httptool.Auth
		want string // what the echo must contain
	}{
		{"defaults", httptool.Config{}, nil, `"method":"GET","uri":"/"`},
		{"agent", httptool.Config{}, nil, `"User-Agent":["toolrun"]`},
		{"own agent", httptool.Config{Headers: object{"user-agent": "x"}}, nil, `"User-Agent":["x"]`},
		{"method", httptool.Config{Method: "delete"}, nil, `"method":"DELETE"`},
		{"base URL", httptool.Config{URL: "{{env.BASE}}/items/{{parameters.id}}"}, nil, `"uri":"/v1/items/7"`},
		{"base URL, query", httptool.Config{URL: "{{env.BASE}}?a={{parameters.id}}"}, nil, `"uri":"/v1/?a=7"`},
		{"host", httptool.Config{URL: "http://{{env.HOST}}/x"}, nil, `"uri":"/x"`},
		{"whole URL by a parameter", httptool.Config{URL: "{{ parameters.site.url }}"}, nil, `"uri":"/p"`},
		{"whole URL without parameters", httptool.Config{URL: "{{env.BASE + 'x'}}"}, basic, `"uri":"/v1/x"`},
		{"null in multipart", httptool.Config{Method: "POST", BodyEncoding: "multipart", Body: []byte(`{"a":"{{parameters.holed}}","b":"{{parameters.nothing}}"}`)}, nil, `name=\"a\"\r\n\r\n1\r\n`},
		{"raw, JSON without values", httptool.Config{Method: "POST", BodyEncoding: "raw", Body: []byte(`"{\"a\": {{'1'}}}"`)}, nil, `"body":"{\"a\": 1}"`},
		{"raw, INI", httptool.Config{Method: "POST", BodyEncoding: "raw", Body: []byte(`"[section]\na={{parameters.text}}"`)}, nil, `"body":"[section]\na=t"`},
		{"raw, a note", httptool.Config{Method: "POST", BodyEncoding: "raw", Body: []byte(`"[1] {{parameters.text}}"`)}, nil, `"body":"[1] t"`},
		{"raw, a value", httptool.Config{Method: "POST", BodyEncoding: "raw", Body: []byte(`"{{parameters.text}}"`)}, nil, `"body":"t"`},
		{"raw, CSV", httptool.Config{Method: "POST", BodyEncoding: "raw", Body: []byte(`"\"a\",\"{{parameters.text}}\"\n"`)}, nil, `"body":"\"a\",\"t\"\n"`},
		{"raw, lines of JSON", httptool.Config{Method: "POST", BodyEncoding: "raw", Headers: object{"Content-Type": "application/x-ndjson"}, Body: []byte(`"{{json({a: parameters.text})}}\n"`)}, nil, `"body":"{\"a\":\"t\"}\n"`},
		{"whole URL", httptool.Config{URL: "{{env.BASE}}"}, nil, `"uri":"/v1/"`},
		{"array in query", httptool.Config{QueryParams: object{"l": "{{parameters.list}}"}}, nil, `"uri":"/?l=a&l=1&l=true"`},
		{"literal array", httptool.Config{QueryParams: object{"l": []any{"x", "{{parameters.id}}", "{{parameters.absent}}"}}}, nil, `"uri":"/?l=x&l=7"`},
		{"object in query", httptool.Config{QueryParams: object{"o": "{{parameters.obj}}", "f": object{"k": []any{"{{parameters.text}}"}}}}, nil, `"uri":"/?f%5Bk%5D%5B0%5D=t&o%5Bk%5D=v"`},
		{"object in URL", httptool.Config{URL: "/?o={{parameters.obj}}"}, nil, `"uri":"/?o%5Bk%5D=v"`},
		{"absent dropped", httptool.Config{QueryParams: object{"a": "{{parameters.absent}}", "b": "{{parameters.nothing}}", "c": "x{{parameters.absent}}", "d": nil}}, nil, `"uri":"/"`},
		{"absent in URL", httptool.Config{URL: "/?a={{parameters.absent}}&b=1&c"}, nil, `"uri":"/?b=1&c"`},
		{"array in URL", httptool.Config{URL: "/?l={{parameters.list}}"}, nil, `"uri":"/?l=a&l=1&l=true"`},
		{"typed body", httptool.Config{Method: "POST", Body: []byte(`{"id":"{{parameters.id}}","l":"{{parameters.list}}","x":"{{parameters.absent}}"}`)}, nil, `"body":"{\"id\":7,\"l\":[\"a\",1,true]}"`},
		{"body content type", httptool.Config{Method: "POST", Body: []byte(`[]`)}, nil, `"Content-Type":["application/json"]`},
		{"own content type", httptool.Config{Method: "POST", Body: []byte(`[]`), Headers: object{"Content-Type": "application/x+json"}}, nil, `"Content-Type":["application/x+json"]`},
		{"form", httptool.Config{Method: "POST", BodyEncoding: "form-urlencoded", Body: []byte(`{"a":"x y","l":"{{parameters.list}}"}`)}, nil, `"body":"a=x%20y&l=a&l=1&l=true"`},
		{"raw", httptool.Config{Method: "POST", BodyEncoding: "raw", Body: []byte(`"<x>{{parameters.text}}</x>"`)}, nil, `"body":"\u003cx\u003et\u003c/x\u003e"`},
		{"multipart", httptool.Config{Method: "POST", BodyEncoding: "multipart", Body: []byte(`{"a":"{{parameters.text}}"}`)}, nil, `name=\"a\"\r\n\r\nt\r\n`},
		{"basic", httptool.Config{}, basic, `"Authorization":["Basic dTprJnk="]`},
		{"bearer", httptool.Config{}, &httptool.Auth{Type: "bearer", Config: object{"token": "{{env.KEY}}"}}, `"Authorization":["Bearer k\u0026y"]`},
		{"api key header", httptool.Config{}, &httptool.Auth{Type: "apiKey", Config: object{"name": "x-key", "value": "v"}}, `"X-Key":["v"]`},
		{"api key query", httptool.Config{URL: "/?a=1"}, &httptool.Auth{Type: "apiKey", Config: object{"name": "key", "value": "{{env.KEY}}", "in": "query"}}, `"uri":"/?a=1&key=k%26y"`},
		{"header wins over auth", httptool.Config{Headers: object{"Authorization": "mine"}}, basic, `"Authorization":["mine"]`},
		{"number header", httptool.Config{Headers: object{"X-V": float64(2)}}, nil, `"X-V":["2"]`},
		{"absent header", httptool.Config{Headers: object{"X-V": "{{parameters.absent}}"}}, nil, `"uri":"/"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(tc.cfg.URL, "{{env") && !strings.HasPrefix(tc.cfg.URL, "{{") {
				tc.cfg.URL = server.URL + tc.cfg.URL
			}
			resp, err := compile(t, tc.cfg, tc.auth).Run(t.Context(), rt, in)
			require.NoError(t, err)
			require.Contains(t, strings.ReplaceAll(string(resp.Value), `\u0026`, "&"), strings.ReplaceAll(tc.want, `\u0026`, "&"))
		})
	}
	for name, cfg := range map[string]httptool.Config{
		"absent in path":     {URL: server.URL + "/{{parameters.absent}}"},
		"absent URL":         {URL: "{{parameters.absent}}"},
		"relative URL":       {URL: "{{parameters.text}}"},
		"host with a slash":  {URL: "http://{{env.BASE}}/x"},
		"parameter as a map": {URL: "http://{{json(parameters)}}/x"},
	} {
		tool, faults := httptool.Compile(cfg, nil, nil)
		if faults != nil {
			continue
		}
		_, err := tool.Run(t.Context(), rt, in)
		require.Equal(t, errclass.BadExpression, errclass.Classify(err).Reason, "%s: %v", name, err)
	}
	_, err := compile(t, httptool.Config{URL: "{{parameters.u}}"}).Run(t.Context(), rt, httptool.Input{Parameters: object{"u": "file:///etc/passwd"}})
	require.Equal(t, errclass.Blocked, errclass.Classify(err).Reason)
	_, err = compile(t, httptool.Config{URL: server.URL, Headers: object{"X": "{{env.ABSENT}}"}}).Run(t.Context(), rt, in)
	require.Equal(t, errclass.MissingCredential, errclass.Classify(err).Reason)
}

func TestFaultsOfDefinitions(t *testing.T) {
	const ok = "http://h.test/"
	for _, tc := range []struct {
		cfg         httptool.Config
		auth        *httptool.Auth
		field, want string
	}{
		{httptool.Config{}, nil, "/url", "required"},
		{httptool.Config{URL: "h.test"}, nil, "/url", "http://"},
		{httptool.Config{URL: "ftp://h.test"}, nil, "/url", "http://"},
		{httptool.Config{URL: "http://"}, nil, "/url", "host"},
		{httptool.Config{URL: "http://u:p@h.test"}, nil, "/url", "user name"},
		{httptool.Config{URL: "http://127.256.1/"}, nil, "/url", "ends in a number"},
		{httptool.Config{URL: "http://h.test/#x"}, nil, "/url", "fragment"},
		{httptool.Config{URL: "http://h.test/../x"}, nil, "/url", "segment"},
		{httptool.Config{URL: "http://{{parameters.h}}/"}, nil, "/url", "only env and credentials"},
		{httptool.Config{URL: "http://h.test{{parameters.h}}/"}, nil, "/url", "only env and credentials"},
		{httptool.Config{URL: "{{parameters[env.A]}}/x"}, nil, "/url", "only env and credentials"},
		{httptool.Config{URL: "{{parameters.u}}/x"}, nil, "/url", "only env and credentials"},
		{httptool.Config{URL: "{{env.A}}{{parameters.u}}"}, nil, "/url", "followed by /"},
		{httptool.Config{URL: "{{env.A}}.test/"}, nil, "/url", "followed by /"},
		{httptool.Config{URL: "{{env.A}}//x"}, nil, "/url", "followed by /"},
		{httptool.Config{URL: "{{'http://h.test/' + parameters.x}}"}, nil, "/url", "outside the braces"},
		{httptool.Config{URL: "{{env.A + parameters.x}}"}, nil, "/url", "outside the braces"},
		{httptool.Config{URL: "{{parameters.x ?? env.A}}"}, nil, "/url", "outside the braces"},
		{httptool.Config{URL: "{{parameters[env.A]}}"}, nil, "/url", "outside the braces"},
		{httptool.Config{URL: "{{parameters.url}}"}, &httptool.Auth{Type: "bearer", Config: object{"token": "t"}}, "/authConfig", "caller"},
		{httptool.Config{URL: "http://h.test/{{nope}}"}, nil, "/url", "unknown name"},
		{httptool.Config{URL: ok, Method: "CONNECT"}, nil, "/method", "CONNECT"},
		{httptool.Config{URL: ok, Method: "A B"}, nil, "/method", "valid"},
		{httptool.Config{URL: ok, Headers: object{"Host": "x"}}, nil, "/headers/Host", "URL"},
		{httptool.Config{URL: ok, Headers: object{"content-length": "1"}}, nil, "/headers/content-length", "body"},
		{httptool.Config{URL: ok, Headers: object{"A": "1", "a": "2"}}, nil, "/headers/a", "same header"},
		{httptool.Config{URL: ok, Headers: object{"A b": "1"}}, nil, "/headers/A b", "name"},
		{httptool.Config{URL: ok, Headers: object{"A": "x\ny"}}, nil, "/headers/A", "line break"},
		{httptool.Config{URL: ok, Headers: object{"A": object{}}}, nil, "/headers/A", "must be"},
		{httptool.Config{URL: ok, QueryParams: object{"a/b": object{"c]": 1}}}, nil, "/queryParams/a~1b/c]", "must not"},
		{httptool.Config{URL: ok, Body: []byte(`"{\"a\": {{parameters.a}}}"`)}, nil, "/body", "keeps its type"},
		{httptool.Config{URL: ok, Body: []byte(`{`)}, nil, "/body", "JSON"},
		{httptool.Config{URL: ok, BodyEncoding: "xml"}, nil, "/bodyEncoding", "one of"},
		{httptool.Config{URL: ok, BodyEncoding: "raw", Body: []byte(`{}`)}, nil, "/body", "string"},
		{httptool.Config{URL: ok, BodyEncoding: "raw", Body: []byte(`"{\"a\":\"{{parameters.a}}\"}"`)}, nil, "/body", "bodyEncoding json"},
		{httptool.Config{URL: ok, BodyEncoding: "raw", Body: []byte(`" [{{parameters.a}}]"`)}, nil, "/body", "bodyEncoding json"},
		{httptool.Config{URL: ok, BodyEncoding: "raw", Body: []byte(`"{\"index\":1}\n{\"a\":\"{{parameters.a}}\"}\n"`)}, nil, "/body", "lines of JSON"},
		{httptool.Config{URL: ok, BodyEncoding: "raw", Body: []byte(`"\"{{parameters.a}}\""`)}, nil, "/body", "bodyEncoding json"},
		{httptool.Config{URL: ok, BodyEncoding: "raw", Body: []byte(`"{{parameters.a}}"`), Headers: object{"content-type": "application/vnd.x+JSON; a=b"}}, nil, "/body", "bodyEncoding json"},
		{httptool.Config{URL: ok, BodyEncoding: "form-urlencoded", Body: []byte(`[]`)}, nil, "/body", "object"},
		{httptool.Config{URL: ok, Timeout: -1}, nil, "/timeout", "from 0"},
		{httptool.Config{URL: ok, Retries: 11}, nil, "/retries", "from 0"},
		{httptool.Config{URL: ok, ResponseMapping: &httptool.ResponseMapping{DataPath: "a..b"}}, nil, "/responseMapping/dataPath", "names"},
		{httptool.Config{URL: ok, ResponseMapping: &httptool.ResponseMapping{SuccessCondition: "parameters.x"}}, nil, "/responseMapping/successCondition", "reads only response"},
		{httptool.Config{URL: ok, ResponseMapping: &httptool.ResponseMapping{SuccessCondition: "response."}}, nil, "/responseMapping/successCondition", ""},
		{httptool.Config{URL: ok, Pagination: &httptool.Pagination{Type: "pages"}}, nil, "/pagination/type", "one of"},
		{httptool.Config{URL: ok, Pagination: &httptool.Pagination{Type: "cursor"}}, nil, "/pagination/cursorPath", "required"},
		{httptool.Config{URL: ok}, &httptool.Auth{Type: "digest"}, "/authConfig/type", "one of"},
		{httptool.Config{URL: ok}, &httptool.Auth{Type: "bearer"}, "/authConfig/config/token", "required"},
		{httptool.Config{URL: ok}, &httptool.Auth{Type: "bearer", Config: object{"token": "t", "tokn": "x"}}, "/authConfig/config/tokn", "not allowed"},
		{httptool.Config{URL: ok}, &httptool.Auth{Type: "apiKey", Config: object{"name": "a", "value": "b", "in": "body"}}, "/authConfig/config/in", "one of"},
	} {
		tool, faults := httptool.Compile(tc.cfg, tc.auth, nil)
		require.Nil(t, tool, tc.cfg.URL)
		require.Len(t, faults, 1, "%v", faults)
		require.Equal(t, tc.field, faults[0].Field)
		require.Contains(t, faults[0].Message, tc.want)
	}
	_, faults := httptool.Compile(httptool.Config{URL: "x", Method: "TRACE", Headers: object{"Host": "h"}}, &httptool.Auth{Type: "oauth2"}, nil)
	require.Len(t, faults, 6, "all at once")
	_, faults = httptool.Compile(httptool.Config{URL: ok + "{{parameters.nmae}}"}, nil, []byte(`{"properties":{"name":{}}}`))
	require.Contains(t, faults[0].Message, "did you mean")
}

func TestNamesOfATool(t *testing.T) {
	tool := compile(t, httptool.Config{URL: "{{env.B}}/x", Headers: object{"X": "{{env.A}}"}}, &httptool.Auth{Type: "bearer", Config: object{"token": "{{credentials.t}}"}})
	env, credentials := tool.Names()
	require.Equal(t, []string{"A", "B"}, env)
	require.Equal(t, []string{"t"}, credentials)
}

// answers serves a JSON body for each query.
func answers(t *testing.T, body func(r *http.Request) string) (string, *httptool.Transport) {
	server, rt := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body(r))
	})
	return server.URL, rt
}

func TestMapping(t *testing.T) {
	m := func(data, failure, success string) *httptool.ResponseMapping {
		return &httptool.ResponseMapping{DataPath: data, ErrorPath: failure, SuccessCondition: success}
	}
	for _, tc := range []struct {
		body    string
		mapping *httptool.ResponseMapping
		want    string // value, or the failure's text
	}{
		{`{"a":{"b":[1,{"c":2}]}}`, m("a.b[1].c", "", ""), "2"},
		{`{"a":{"b":[1,{"c":2}]}}`, m("$.a.b.1", "", ""), `{"c":2}`},
		{`{"a.b":1}`, m(`["a.b"]`, "", ""), "1"},
		{`[[5]]`, m("[0][0]", "", ""), "5"},
		{`{"a":null}`, m("a", "", ""), "null"},
		{`{"a":1}`, m("a.b", "", ""), "Invalid response: the answer has nothing at a.b"},
		{`{"a":[1]}`, m("a[1]", "", ""), "Invalid response: the answer has nothing at a[1]"},
		{`{"error":"boom","a":1}`, m("a", "error", ""), "Invalid response: boom"},
		{`{"error":{"message":"boom"}}`, m("", "error", ""), "Invalid response: boom"},
		{`{"error":null,"a":1}`, m("a", "error", ""), "1"},
		{`{"errors":[],"a":1}`, m("a", "errors", ""), "1"},
		{`{"error":false,"a":1}`, m("a", "error", ""), "1"},
		{`{"error":0,"a":1}`, m("a", "error", ""), "1"},
		{`{"error":true}`, m("", "error", ""), "Invalid response: the answer reports an error"},
		{`{"ok":true,"a":1}`, m("a", "", "response.body.ok"), "1"},
		{`{"ok":true}`, m("ok", "", "{{response.status == 200 && response.headers['content-type'] contains 'json'}}"), "true"},
		{`{"response":1}`, m("", "", "response.body.response == 1 && 'response.body' != ''"), `{"response":1}`},
		{`{"ok":false,"message":"quota"}`, m("", "", "response.body.ok"), "Invalid response: the answer doesn't fulfil the tool's successCondition: quota"},
	} {
		url, rt := answers(t, func(*http.Request) string { return tc.body })
		resp, err := compile(t, httptool.Config{URL: url, ResponseMapping: tc.mapping}).Run(t.Context(), rt, httptool.Input{})
		if err != nil {
			require.Equal(t, tc.want, err.Error(), tc.body)
			continue
		}
		require.Equal(t, tc.want, string(resp.Value), tc.body)
	}
}

func TestPagination(t *testing.T) {
	numbers := func(from, to int) string {
		var all []string
		for i := from; i < to; i++ {
			all = append(all, fmt.Sprint(i))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	offset := func(total, most int) func(*http.Request) string {
		return func(r *http.Request) string {
			var from, limit int
			fmt.Sscan(r.URL.Query().Get("offset"), &from)
			fmt.Sscan(r.URL.Query().Get("limit"), &limit)
			return numbers(from, min(from+min(limit, most), total))
		}
	}
	cursor := func(next map[string]string) func(*http.Request) string {
		return func(r *http.Request) string {
			c := r.URL.Query().Get("cursor")
			return fmt.Sprintf(`{"items":["%s"],"next":%s}`, c, next[c])
		}
	}
	byCursor := httptool.Pagination{Type: "cursor", CursorPath: "next", ResultsPath: "items"}
	for _, tc := range []struct {
		name  string
		serve func(*http.Request) string
		p     httptool.Pagination
		want  string
		sent  int
	}{
		{"cursor", cursor(map[string]string{"": `"b"`, "b": `"c&d"`, "c&d": "null"}), byCursor, `["","b","c&d"]`, 3},
		{"cursor, empty at the end", cursor(map[string]string{"": `"b"`, "b": `""`}), byCursor, `["","b"]`, 2},
		{"cursor, a number", cursor(map[string]string{"": "2", "2": "false"}), byCursor, `["","2"]`, 2},
		{"offset", offset(5, 99), httptool.Pagination{Type: "offset", DefaultLimit: 2}, "[0,1,2,3,4]", 3},
		{"offset, full last page", offset(4, 99), httptool.Pagination{Type: "offset", DefaultLimit: 2}, "[0,1,2,3]", 3},
		{"offset, empty", offset(0, 99), httptool.Pagination{Type: "offset"}, "[]", 1},
		{"offset, smaller limit of the target", offset(5, 2), httptool.Pagination{Type: "offset"}, "[0,1,2,3,4]", 3},
		{"offset, cut", offset(500, 99), httptool.Pagination{Type: "offset", DefaultLimit: 2, MaxPages: 2}, "[0,1,2,3]", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, rt := answers(t, tc.serve)
			resp, err := compile(t, httptool.Config{URL: url + "/?x=1", Pagination: &tc.p}).Run(t.Context(), rt, httptool.Input{})
			require.NoError(t, err)
			require.Equal(t, tc.want, string(resp.Value))
			require.Equal(t, tc.sent, resp.Attempts)
		})
	}
}

func TestLinkPagination(t *testing.T) {
	links := map[string]string{"1": `</?p=2>; rel="prev next", </?p=1>; rel=first`, "2": `<?p=3>; title="a, b"; rel=next`}
	server, rt := serve(t, func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Query().Get("p")
		if link, ok := links[p]; ok {
			w.Header().Set("Link", link)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "[%s]", p)
	})
	tool := compile(t, httptool.Config{URL: server.URL + "/?p=1", Pagination: &httptool.Pagination{Type: "link-header"}})
	resp, err := tool.Run(t.Context(), rt, httptool.Input{})
	require.NoError(t, err)
	require.Equal(t, "[1,2,3]", string(resp.Value))

	elsewhere, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "[%d]", len(body)+90)
	})
	links["2"] = "<" + elsewhere.URL + ">; rel=next"
	rt = allow(t, server.Listener.Addr().String(), elsewhere.Listener.Addr().String())
	resp, err = tool.Run(t.Context(), rt, httptool.Input{})
	require.NoError(t, err)
	require.Equal(t, "[1,2,90]", string(resp.Value))
}

func TestGraphQL(t *testing.T) {
	var got string
	for _, tc := range []struct {
		body    string
		mapping *httptool.ResponseMapping
		value   string
	}{
		{`{"data":{"a":1}}`, nil, `{"a":1}`},
		{`{"data":{"a":{"b":2}}}`, &httptool.ResponseMapping{DataPath: "a.b"}, `2`},
	} {
		server, rt := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = string(body)
			w.Header().Set("Content-Type", "application/graphql-response+json")
			io.WriteString(w, tc.body)
		})
		tool, faults := httptool.CompileGraphQL(httptool.GraphQLConfig{
			Endpoint: server.URL + "/graphql", Query: "query Q($a: Int) { a(x: $a) {b{c}} }", OperationName: "Q",
			Variables: object{"a": "{{parameters.a}}", "b": "{{parameters.absent}}"}, ResponseMapping: tc.mapping,
		}, nil, nil)
		require.Empty(t, faults)
		resp, err := tool.Run(t.Context(), rt, httptool.Input{Parameters: object{"a": int64(1)}})
		require.Equal(t, `{"query":"query Q($a: Int) { a(x: $a) {b{c}} }","variables":{"a":1},"operationName":"Q"}`, got)
		require.NoError(t, err)
		require.Equal(t, tc.value, string(resp.Value))
	}
	_, faults := httptool.CompileGraphQL(httptool.GraphQLConfig{Endpoint: "x", Query: "{ a(id: {{parameters.id}}) }"}, nil, nil)
	require.Len(t, faults, 2)
	_, faults = httptool.CompileGraphQL(httptool.GraphQLConfig{Endpoint: "{{parameters.url}}", Query: "{a}"}, &httptool.Auth{Type: "bearer", Config: object{"token": "t"}}, nil)
	require.Len(t, faults, 1)
	require.Equal(t, "/authConfig", faults[0].Field)
}
