package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// echo is an upstream: it answers with what it was asked, or as the path says.
func echo(ctx context.Context, req *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
	target, err := url.Parse(req.URL)
	if err != nil {
		return nil, err
	}
	switch first, rest, _ := strings.Cut(strings.TrimPrefix(target.Path, "/"), "/"); first {
	case "status":
		status, _ := strconv.Atoi(rest)
		return &sandbox.FetchResponse{
			Status: status, StatusText: "Text", Body: []byte(`{"message":"because"}`),
			Header: [][2]string{{"Content-Type", "application/json"}, {"Retry-After", "7"}, {"Location", "/elsewhere"}},
		}, nil
	case "raw":
		return &sandbox.FetchResponse{
			Status: 200, Body: []byte(target.Query().Get("b")),
			Header: [][2]string{{"Content-Type", "text/plain"}, {"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}, {"X-Two", "1"}},
		}, nil
	case "fault":
		return nil, errclass.New(errclass.ConnectionRefused, errclass.Reason(rest), "no luck")
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	headers := map[string]string{}
	for _, field := range req.Header {
		if field[0] != "user-agent" {
			headers[field[0]] = field[1]
		}
	}
	body, err := json.Marshal(map[string]any{"method": req.Method, "url": target.RequestURI(), "headers": headers, "body": string(req.Body)})
	if err != nil {
		return nil, err
	}
	return &sandbox.FetchResponse{Status: 200, StatusText: "OK", Body: body, Header: [][2]string{{"Content-Type", "application/json"}}}, nil
}

func axiosJob(text string) sandbox.Job {
	job := code(text)
	job.Axios, job.Fetch = true, echo
	return job
}

// axiosHead brings the names that the cases use; u is the upstream's origin.
const axiosHead = `const u = "http://up.example", say = async (p) => { try { return await p } catch (e) { return [e.name, e.code, e.message, e.response?.status ?? null] } };
	const sent = async (p) => { const { method, url, headers, body } = (await p).data; return [method, url, headers["content-type"] ?? null, body, headers.authorization ?? null] };
	return await (`

func TestAxios(t *testing.T) {
	cases := []struct{ expression, want string }{
		{`sent(axios(u + "/a"))`, `["GET","/a",null,"",null]`},
		{`sent(axios({url: "/a", baseURL: u}))`, `["GET","/a",null,"",null]`},
		{`sent(axios(u + "/a", {method: "DELETE"}))`, `["DELETE","/a",null,"",null]`},
		{`sent(axios.get(u + "/a", {params: {q: "a b&é", n: 1, t: true, none: null, u: undefined, d: new Date(0)}}))`,
			`["GET","/a?q=a+b%26%C3%A9&n=1&t=true&d=1970-01-01T00:00:00.000Z",null,"",null]`},
		{`sent(axios.get(u + "/a?x=1#frag", {params: {l: [1, "b,c"], o: {p: {q: 2}, r: [3]}}}))`,
			`["GET","/a?x=1&l%5B%5D=1&l%5B%5D=b,c&o%5Bp%5D%5Bq%5D=2&o%5Br%5D%5B0%5D=3",null,"",null]`},
		{`sent(axios.get(u + "/a", {params: {l: [1, 2]}, paramsSerializer: {indexes: null}}))`, `["GET","/a?l=1&l=2",null,"",null]`},
		{`sent(axios.get(u + "/a", {params: {l: [{a: 1}, {a: 2}]}}))`, `["GET","/a?l%5B0%5D%5Ba%5D=1&l%5B1%5D%5Ba%5D=2",null,"",null]`},
		{`sent(axios.get(u + "/a", {params: new URLSearchParams("a=1&a=2")}))`, `["GET","/a?a=1&a=2",null,"",null]`},
		{`sent(axios.get(u + "/a", {params: {a: 1}, paramsSerializer: (p) => "p=" + p.a}))`, `["GET","/a?p=1",null,"",null]`},
		{`sent(axios.post(u + "/a", {a: [1, {b: "é"}]}))`, `["POST","/a","application/json","{\"a\":[1,{\"b\":\"é\"}]}",null]`},
		{`sent(axios.post(u + "/a", new URLSearchParams({a: "1 2"})))`, `["POST","/a","application/x-www-form-urlencoded;charset=utf-8","a=1+2",null]`},
		{`sent(axios.post(u + "/a", "text"))`, `["POST","/a","application/x-www-form-urlencoded","text",null]`},
		{`sent(axios.post(u + "/a", "text", {headers: {"content-type": "text/plain"}}))`, `["POST","/a","text/plain","text",null]`},
		{`sent(axios.post(u + "/a", "text", {headers: {"Content-Type": "application/json"}}))`, `["POST","/a","application/json","\"text\"",null]`},
		{`sent(axios.post(u + "/a", '{"a": 1}', {headers: {"Content-Type": "application/json"}}))`, `["POST","/a","application/json","{\"a\": 1}",null]`},
		{`sent(axios.put(u + "/a", Buffer.from("bytes"), {headers: {"Content-Type": "application/octet-stream"}}))`, `["PUT","/a","application/octet-stream","bytes",null]`},
		{`sent(axios.patch(u + "/a", {a: {b: [1, 2]}, c: [3, 4]}, {headers: {"Content-Type": "application/x-www-form-urlencoded"}}))`,
			`["PATCH","/a","application/x-www-form-urlencoded","a%5Bb%5D%5B0%5D=1&a%5Bb%5D%5B1%5D=2&c%5B%5D=3&c%5B%5D=4",null]`},
		{`axios.postForm(u + "/a", {k: "v"}).then(({data}) => [data.headers["content-type"].startsWith("multipart/form-data; boundary="), data.body.includes('name="k"')])`, `[true,true]`},
		{`sent(axios.delete(u + "/a", {data: {id: 1}}))`, `["DELETE","/a","application/json","{\"id\":1}",null]`},
		{`sent(axios.post(u + "/a"))`, `["POST","/a","application/x-www-form-urlencoded","",null]`},
		{`sent(axios.get(u + "/a", {auth: {username: "é", password: "p:w"}}))`, `["GET","/a",null,"","Basic w6k6cDp3"]`},
		{`sent(axios.get("http://us%40er:pw@up.example/a"))`, `["GET","/a",null,"","Basic dXNAZXI6cHc="]`},
		{`sent(axios.get(u + "/a", {headers: {Authorization: "Bearer t"}}))`, `["GET","/a",null,"","Bearer t"]`},
		{`axios.get(u + "/a").then(({data}) => data.headers.accept)`, `"application/json, text/plain, */*"`},
		{`axios.get(u + "/a", {headers: {accept: "x/y", "X-None": undefined, "X-False": false}}).then(({data}) => Object.entries(data.headers))`, `[["accept","x/y"]]`},
		{`axios.get(u + "/a").then((r) => [r.status, r.statusText, r.headers["content-type"], r.headers.get("Content-Type"), r.config.method, r.config.url, Object.keys(r)])`,
			`[200,"OK","application/json","application/json","get","http://up.example/a",["status","statusText","headers","config","request","data"]]`},
		{`axios.get(u + "/raw?b=%7B%22a%22:1%7D").then((r) => r.data)`, `{"a":1}`},
		{`axios.get(u + "/raw?b=5").then((r) => r.data)`, `5`},
		{`axios.get(u + "/raw?b=not+json").then((r) => r.data)`, `"not json"`},
		{`axios.get(u + "/raw").then((r) => r.data)`, `""`},
		{`axios.get(u + "/raw?b=%EF%BB%BF5").then((r) => r.data)`, `5`},
		{`axios.get(u + "/raw?b=5", {responseType: "text"}).then((r) => r.data)`, `"5"`},
		{`axios.get(u + "/raw?b=hi", {responseType: "arraybuffer"}).then((r) => [Buffer.isBuffer(r.data), r.data.toString("hex")])`, `[true,"6869"]`},
		{`axios.get(u + "/raw?b=hi", {responseType: "blob"}).then((r) => r.data.text())`, `"hi"`},
		{`axios.get(u + "/raw").then((r) => [r.headers["set-cookie"], r.headers["x-two"]])`, `[["a=1","b=2"],"1"]`},
		{`say(axios.get(u + "/raw?b=x", {responseType: "json", transitional: {silentJSONParsing: false}})).then((e) => e.slice(0, 2))`, `["SyntaxError","ERR_BAD_RESPONSE"]`},
		{`axios.get(u + "/raw?b=x", {transformResponse: [(d) => d + "y", (d, h, s) => d + s + h.get("x-two")]}).then((r) => r.data)`, `"xy2001"`},
		{`sent(axios.post(u + "/a", {a: 1}, {transformRequest: (d, h) => { h["X-T"] = "1"; h.setContentType("x/y"); return "t" + d.a }}))`, `["POST","/a","x/y","t1",null]`},

		{`say(axios.get(u + "/status/404"))`, `["AxiosError","ERR_BAD_REQUEST","Request failed with status code 404",404]`},
		{`say(axios.get(u + "/status/503"))`, `["AxiosError","ERR_BAD_RESPONSE","Request failed with status code 503",503]`},
		{`axios.get(u + "/status/404").catch((e) => [e.response.data, e.response.headers["retry-after"], e.status, e.isAxiosError, axios.isAxiosError(e), e instanceof axios.AxiosError, e instanceof Error, e.config.url, Object.keys(e.toJSON())])`,
			`[{"message":"because"},"7",404,true,true,true,true,"http://up.example/status/404",["message","name","stack","config","code","status"]]`},
		{`axios.get(u + "/status/404", {validateStatus: (s) => s < 500}).then((r) => r.status)`, `404`},
		{`axios.get(u + "/status/500", {validateStatus: null}).then((r) => r.status)`, `500`},
		{`say(axios.get(u + "/status/302", {maxRedirects: 0}))`, `["AxiosError","ERR_BAD_RESPONSE","Request failed with status code 302",302]`},
		{`say(axios.get(u + "/fault/refused"))`, `["AxiosError","ECONNREFUSED","Connection refused: no luck",null]`},
		{`say(axios.get(u + "/fault/dns_not_found")).then((e) => e[1])`, `"ENOTFOUND"`},
		{`axios.get(u + "/fault/reset").catch((e) => [e.code, e.isAxiosError, e.request.path, e.cause.name])`, `["ECONNRESET",true,"/fault/reset","TypeError"]`},
		{`say(axios.get(u + "/slow", {timeout: 5}))`, `["AxiosError","ECONNABORTED","timeout of 5ms exceeded",null]`},
		{`say(axios.get(u + "/slow", {timeout: 5, timeoutErrorMessage: "late", transitional: {clarifyTimeoutError: true}}))`, `["AxiosError","ETIMEDOUT","late",null]`},
		{`say((() => { const c = new AbortController(); setTimeout(() => c.abort(), 2); return axios.get(u + "/slow", {signal: c.signal}) })())`, `["CanceledError","ERR_CANCELED","canceled",null]`},
		{`(() => { const s = axios.CancelToken.source(); setTimeout(() => s.cancel("enough"), 2); return axios.get(u + "/slow", {cancelToken: s.token}).catch((e) => [axios.isCancel(e), e.message, axios.isCancel(new Error())]) })()`, `[true,"enough",false]`},
		{`say((() => { const c = new AbortController(); c.abort(); return axios.get(u + "/a", {signal: c.signal}) })())`, `["CanceledError","ERR_CANCELED","canceled",null]`},
		{`say(axios.get("nonsense"))`, `["AxiosError","ERR_INVALID_URL","Invalid URL: nonsense",null]`},
		{`say(axios.get("ftp://x/"))`, `["AxiosError","ERR_BAD_REQUEST","Unsupported protocol ftp:",null]`},
		{`say(axios.get(u + "/a", {responseType: "stream"})).then((e) => e[1])`, `"ERR_NOT_SUPPORT"`},
		{`say(axios.get(u + "/raw?b=abc", {maxContentLength: 2}))`, `["AxiosError","ERR_BAD_RESPONSE","maxContentLength size of 2 exceeded",null]`},
		{`say(axios.post(u + "/a", "abc", {maxBodyLength: 2})).then((e) => e[1])`, `"ERR_BAD_REQUEST"`},
		{`say(axios.get(u + "/a", {data: {a: 1}})).then((e) => e[1])`, `"ERR_BAD_REQUEST"`},

		{`sent((() => { const c = axios.create({baseURL: u + "/v1/", headers: {Authorization: "A"}, params: {k: 1}}); return c.get("/x", {params: {l: 2}}) })())`, `["GET","/v1/x?k=1&l=2",null,"","A"]`},
		{`(async () => { const c = axios.create({baseURL: u}); c.defaults.headers.common["X-A"] = "1"; c.defaults.headers.post["X-B"] = "2"; const g = (await c.get("/")).data.headers, p = (await c.post("/", {})).data.headers, o = (await axios.get(u)).data.headers; return [g["x-a"], g["x-b"] ?? null, p["x-a"], p["x-b"], o["x-a"] ?? null] })()`, `["1",null,"1","2",null]`},
		{`(async () => { const c = axios.create(), log = []; c.interceptors.request.use((r) => { log.push("r1"); r.headers["X-I"] = "i"; return r }); c.interceptors.request.use(async (r) => { log.push("r2"); return r }); c.interceptors.response.use((r) => { log.push("s1"); return r.data }); const id = c.interceptors.response.use(() => log.push("never")); c.interceptors.response.eject(id); const d = await c.get(u + "/a"); return [log, d.headers["x-i"]] })()`, `[["r2","r1","s1"],"i"]`},
		{`(async () => { const c = axios.create(); c.interceptors.response.use(null, (e) => ({recovered: e.response.status})); return c.get(u + "/status/500") })()`, `{"recovered":500}`},
		{`(async () => { const c = axios.create(); c.interceptors.request.use(() => { throw new Error("no") }); return say(c.get(u)) })()`, `["Error",null,"no",null]`},
		{`(async () => { const c = axios.create({timeout: 100}); return [c.defaults.timeout, axios.defaults.timeout, typeof c.request, typeof c.create, c.getUri({url: "/a", params: {b: [1]}})] })()`, `[100,0,"function","function","/a?b%5B%5D=1"]`},
		{`axios.request({url: u + "/a", method: "post", data: {x: 1}, adapter: async (config) => ({status: 200, data: config.data, headers: {}, config})}).then((r) => r.data)`, `{"x":1}`},
		{`Promise.all([axios.get(u + "/1"), axios.get(u + "/2")]).then(axios.spread((a, b) => [a.data.url, b.data.url]))`, `["/1","/2"]`},
		{`[require("axios") === axios, axios.default === axios, typeof axios.VERSION, axios.AxiosHeaders.from({"A-b": 1}).get("a-B"), axios.mergeConfig({a: 1}, {b: 2}).b]`, `[true,true,"string","1",2]`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			t.Run(c.expression, func(t *testing.T) {
				require.Equal(t, c.want, value(t, pool, axiosJob(axiosHead+c.expression+"\n)")))
			})
		}
	})
}

// TestAxiosFailures: what a program doesn't catch keeps its class.
func TestAxiosFailures(t *testing.T) {
	cases := []struct {
		code   string
		class  errclass.Class
		reason errclass.Reason
		detail string
	}{
		{`await axios.get("http://up.example/status/404")`, errclass.HTTPError, errclass.NotFound, "404 Not Found: because"},
		{`await axios.post("http://up.example/status/429", {})`, errclass.HTTPError, errclass.RateLimit, "429 Too Many Requests: because"},
		{`await axios.get("http://up.example/status/503")`, errclass.HTTPError, errclass.Overloaded, "503 Service Unavailable: because"},
		{`await axios.get("http://up.example/fault/refused")`, errclass.ConnectionRefused, errclass.Refused, "no luck"},
		{`await axios.get("http://up.example/fault/tls_expired")`, errclass.ConnectionRefused, errclass.TLSExpired, "no luck"},
		{`await axios.get("http://up.example/slow", {timeout: 3})`, errclass.Timeout, errclass.UpstreamTimeout, "no answer from up.example within the request's timeout of 3ms"},
		{`try { await axios.get("http://up.example/status/404") } catch (e) { throw new Error("mine: " + e.message) }`,
			errclass.SandboxError, errclass.Exception, "Error: mine: Request failed with status code 404 (code:1:75)"},
		{`throw Object.assign(new axios.AxiosError("forged", "X"), {response: {status: 404}})`, errclass.SandboxError, errclass.Exception, "AxiosError: forged (code:1:21)"},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			failure := failure(t, pool, axiosJob(c.code))
			require.Equal(t, c.class, failure.Class, c.code)
			require.Equal(t, c.reason, failure.Reason, c.code)
			require.Equal(t, c.detail, failure.Detail, c.code)
		}
		failure := failure(t, pool, axiosJob("const x = 1;\nfunction load() { return axios.get('http://up.example/status/429') }\nawait load()"))
		require.Equal(t, 7*time.Second, failure.RetryAfter)
		require.True(t, failure.Retryable)
		require.Equal(t, "up.example", failure.Upstream.Host)
		require.Equal(t, []string{"load (code:2:35)", "code:3:11"}, failure.Stack)
	})
}

func TestAxiosIsForHTTPTools(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		require.Equal(t, `["undefined",false]`, value(t, pool, code(`return [typeof axios, "axios" in globalThis]`)))
		require.Equal(t, fmt.Sprintf("%q", `module "axios" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, `+
			`querystring, string_decoder, timers/promises, url, util; axios is there for tools of type http with code`),
			value(t, pool, code(`try { require("axios") } catch (e) { return e.message }`)))
		require.Equal(t, `true`, value(t, pool, axiosJob(`try { require("http") } catch (e) { return e.message.endsWith(", util, axios") }`)))
		require.Equal(t, `"/a"`, value(t, pool, axiosJob("import axios, { isAxiosError } from 'axios'\nexport default async () => (await axios.get('http://h/a')).data.url")))
	})
}
