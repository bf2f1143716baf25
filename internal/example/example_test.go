package example_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/runner"
)

// The tools of the tables below; examples are appended to them.
const (
	javascript = `
name: sum
type: javascript
parameters:
  type: object
  required: [a]
  properties: {a: {type: number}, b: {type: number, default: 1}, currency: {type: string}}
  additionalProperties: false
code: |
  if (parameters.a < 0) { console.log('negative'); throw new Error('a is negative'); }
  return {sum: parameters.a + parameters.b, list: [1, {x: 'y'}]};
examples:
`
	httpGet = `
name: get
type: http
parameters:
  type: object
  properties: {id: {type: string}, tag: {}}
executionConfig:
  url: https://api.example.com/items/{{default(parameters.id, 'all')}}
  queryParams: {tag: '{{parameters.tag}}'}
  headers: {X-Key: '{{env.API_KEY}}'}
  timeout: 20000
examples:
`
	httpPost = `
name: post
type: http
parameters: {type: object}
executionConfig:
  method: POST
  url: '{{env.SHOP_URL}}/orders'
  body: {order: {id: 7, lines: [a, b]}}
authConfig: {type: bearer, config: {token: '{{credentials.token}}'}}
examples:
`
	form = `
name: form
type: http
parameters: {type: object}
executionConfig: {method: POST, url: 'https://api.example.com/', bodyEncoding: form-urlencoded, body: {a: 1, b: x y}}
examples:
`
	upload = `
name: upload
type: http
parameters: {type: object}
executionConfig:
  method: POST
  url: https://api.example.com/
  bodyEncoding: multipart
  body: {n: 1, list: [a, b], text: {text: t, filename: t.txt}, bytes: {base64: /w==}}
examples:
`
	twice = `
name: twice
type: javascript
code: |
  return [await tools.invoke('get', {}), await tools.invoke('get', {})];
examples:
`
)

func parse(t *testing.T, source string) *runner.Definition {
	t.Helper()
	name, _, _ := strings.Cut(strings.TrimPrefix(source, "\nname: "), "\n")
	def, err := runner.Parse(name+".yaml", []byte(source))
	require.NoError(t, err)
	return def
}

func run(t *testing.T, opts example.Options, sources ...string) ([]example.Outcome, example.Summary) {
	t.Helper()
	var defs []*runner.Definition
	for _, source := range sources {
		defs = append(defs, parse(t, source))
	}
	var outcomes []example.Outcome
	summary, err := example.Run(t.Context(), defs, opts, func(o example.Outcome) { outcomes = append(outcomes, o) })
	require.NoError(t, err)
	return outcomes, summary
}

// TestExpectations holds single examples to their verdict: with no problems the
// example passes, else it fails with exactly these.
func TestExpectations(t *testing.T) {
	for _, test := range []struct {
		name, tool, example string
		problems            []string
	}{
		{"nothing expected, success", javascript, `{name: e, input: {a: 1}}`, nil},
		{"nothing expected, failure", javascript, `{name: e, input: {a: -1}}`,
			[]string{"expected success, got: Tool execution failed: Sandbox error: Error: a is negative (code:1:56) (class sandbox_error, reason exception)"}},
		{"nothing expected, turned away", javascript, `{name: e}`,
			[]string{"expected success, but the request was turned away with BAD_REQUEST: Validation failed: a is required"}},

		{"output, any order and number form", javascript, `{name: e, input: {a: 1}, expectedOutput: {list: [1.0, {x: y}], sum: 2.0}}`, nil},
		{"output, wrong number", javascript, `{name: e, input: {a: 1}, expectedOutput: {list: [1, {x: y}], sum: 3}}`,
			[]string{"/sum: expected 3, got 2"}},
		{"output, wrong type", javascript, `{name: e, input: {a: 1}, expectedOutput: {list: {}, sum: '2'}}`,
			[]string{`/list: expected {}, got [1,{"x":"y"}]`, `/sum: expected "2", got 2`}},
		{"output, missing and unexpected", javascript, `{name: e, input: {a: 1}, expectedOutput: {lists: [], list: [1, {x: y}, 3]}}`,
			[]string{"/list/2: expected 3, but it is missing", "/lists: expected [], but it is missing", "/sum: not expected, got 2"}},
		{"output, whole value", javascript, `{name: e, input: {a: 1}, expectedOutput: null}`,
			[]string{`result: expected null, got {"list":[1,{"x":"y"}],"sum":2}`}},
		{"output, but failure", javascript, `{name: e, input: {a: -1}, expectedOutput: 1}`,
			[]string{"expected success, got: Tool execution failed: Sandbox error: Error: a is negative (code:1:56) (class sandbox_error, reason exception)"}},

		{"error, class alone", javascript, `{name: e, input: {a: -1}, expectedError: sandbox_error}`, nil},
		{"error, all fields", javascript, `{name: e, input: {a: -1}, expectedError: {class: sandbox_error, reason: exception, message: '/: a is negative/'}}`, nil},
		{"error, any class, success", javascript, `{name: e, input: {a: 1}, expectedError: {message: /./}}`,
			[]string{"expected a failure, but the tool succeeded"}},
		{"error, wrong class", javascript, `{name: e, input: {a: -1}, expectedError: timeout}`,
			[]string{"expected class timeout, got: Tool execution failed: Sandbox error: Error: a is negative (code:1:56) (class sandbox_error, reason exception)"}},
		{"error, wrong reason", javascript, `{name: e, input: {a: -1}, expectedError: {reason: stack_overflow}}`,
			[]string{"expected reason stack_overflow, got: Tool execution failed: Sandbox error: Error: a is negative (code:1:56) (class sandbox_error, reason exception)"}},
		{"error, wrong message", javascript, `{name: e, input: {a: -1}, expectedError: {message: a is negative}}`,
			[]string{`message: expected "a is negative", got "Tool execution failed: Sandbox error: Error: a is negative (code:1:56)"`}},
		{"error, wrong pattern", javascript, `{name: e, input: {a: -1}, expectedError: {message: /positive/}}`,
			[]string{`message: expected a match of /positive/, got "Tool execution failed: Sandbox error: Error: a is negative (code:1:56)"`}},
		{"error, but success", javascript, `{name: e, input: {a: 1}, expectedError: {class: timeout, reason: deadline}}`,
			[]string{"expected class timeout, reason deadline, but the tool succeeded"}},
		{"error, but turned away", javascript, `{name: e, expectedError: timeout}`,
			[]string{"expected class timeout, but the request was turned away with BAD_REQUEST: Validation failed: a is required"}},

		{"turned away", javascript, `{name: e, expectedError: {code: BAD_REQUEST, message: 'Validation failed: a is required'}}`, nil},
		{"turned away, any code", javascript, `{name: e, expectedError: {message: /a is required/}}`, nil},
		{"turned away, other code", javascript, `{name: e, expectedError: {code: CONFLICT}}`,
			[]string{"expected the request to be turned away with CONFLICT, got BAD_REQUEST: Validation failed: a is required"}},
		{"turned away, other message", javascript, `{name: e, expectedError: {code: BAD_REQUEST, message: /b is required/}}`,
			[]string{`message: expected a match of /b is required/, got "Validation failed: a is required"`}},
		{"turned away, but ran", javascript, `{name: e, input: {a: -1}, expectedError: {code: BAD_REQUEST}}`,
			[]string{"expected the request to be turned away with BAD_REQUEST, but the tool ran: Tool execution failed: Sandbox error: Error: a is negative (code:1:56) (class sandbox_error, reason exception)"}},
		{"turned away, but succeeded", javascript, `{name: e, input: {a: 1}, expectedError: {code: BAD_REQUEST}}`,
			[]string{"expected the request to be turned away with BAD_REQUEST, but the tool succeeded"}},

		{"request as expected", httpGet, `
    name: e
    input: {id: a/b, tag: 17}
    upstream:
      request: {method: GET, host: api.example.com, path: /items/a%2Fb, query: {tag: 17}, headers: {x-key: test-API_KEY}}
      json: [1]
    expectedOutput: [1]`, nil},
		{"request otherwise in everything", httpGet, `
    name: e
    input: {id: a/b, tag: x}
    upstream:
      request: {method: POST, host: example.com, path: /items/a, query: {tag: 17, more: 1}, headers: {X-Key: k, X-None: n}, body: {}}
      json: [1]
    expectedOutput: [1]`, []string{
			`upstream/0/request/method: expected "POST", got "GET"`,
			`upstream/0/request/host: expected "example.com", got "api.example.com"`,
			`upstream/0/request/path: expected "/items/a", got "/items/a%2Fb"`,
			`upstream/0/request/query/more: expected "1", but it is missing`,
			`upstream/0/request/query/tag: expected "17", got "x"`,
			`upstream/0/request/headers/X-Key: expected "k", got "test-API_KEY"`,
			`upstream/0/request/headers/X-None: expected "n", but there is none`,
			`upstream/0/request/body: expected {}, got ""`,
		}},
		{"query that isn't expected", httpGet, `{name: e, input: {tag: x}, upstream: {request: {query: {}}, json: 1}}`,
			[]string{`upstream/0/request/query/tag: not expected, got "x"`}},
		{"made-up host", strings.Replace(httpGet, "api.example.com", "{{env.API_HOST}}", 1), `{name: e, upstream: {request: {host: api-host.test}, json: 1}}`, nil},
		{"JSON body", httpPost, `
    name: e
    upstream:
      request: {host: shop-url.test, path: /orders, headers: {Authorization: Bearer test-token}, body: {order: {lines: [a, b], id: 7.0}}}
      json: 1`, nil},
		{"JSON body as text", httpPost, `{name: e, upstream: {request: {body: '{"order":{"id":7,"lines":["a","b"]}}'}, json: 1}}`, nil},
		{"JSON body otherwise", httpPost, `{name: e, upstream: {request: {body: {order: {id: 7, lines: [b]}}}, json: 1}}`, []string{
			`upstream/0/request/body/order/lines/0: expected "b", got "a"`,
			`upstream/0/request/body/order/lines/1: not expected, got "b"`,
		}},
		{"form body", form, `{name: e, upstream: {request: {body: {a: '1', b: x y}}, json: 1}}`, nil},
		{"form body otherwise", form, `{name: e, upstream: {request: {body: {a: '1', b: z}}, json: 1}}`,
			[]string{`upstream/0/request/body/b: expected "z", got "x y"`}},
		{"multipart body", upload, `{name: e, upstream: {request: {body: {
			n: '1', list: [a, b], text: {filename: t.txt, contentType: text/plain; charset=utf-8, text: t},
			bytes: {filename: file, contentType: application/octet-stream, base64: /w==}}}, json: 1}}`, nil},
		{"multipart body otherwise", upload, `{name: e, upstream: {request: {body: {n: '1', list: a, text: t, bytes: {base64: x}}}, json: 1}}`, []string{
			`upstream/0/request/body/bytes/base64: expected "x", got "/w=="`,
			`upstream/0/request/body/bytes/contentType: not expected, got "application/octet-stream"`,
			`upstream/0/request/body/bytes/filename: not expected, got "file"`,
			`upstream/0/request/body/list: expected "a", got ["a","b"]`,
			`upstream/0/request/body/text: expected "t", got {"contentType":"text/plain; charset=utf-8","filename":"t.txt","text":"t"}`,
		}},

		{"exchange that isn't used", javascript, `{name: e, input: {a: 1}, upstream: {json: 1}}`,
			[]string{"upstream: expected 1 request, got 0"}},
		{"second exchange that isn't used", httpGet, `{name: e, upstream: [{json: 1}, {json: 2}]}`,
			[]string{"upstream: expected 2 requests, got 1"}},
		{"more requests than exchanges", twice, `{name: e, upstream: {json: 1}, expectedError: configuration_error}`,
			[]string{"upstream: expected 1 request, got one more: GET /items/all"}},
		{"exchanges in order", twice, `{name: e, upstream: [{json: 1}, {json: 2}], expectedOutput: [1, 2]}`, nil},
		{"exchanges out of order", twice, `{name: e, upstream: [{json: 1}, {json: 2}], expectedOutput: [2, 1]}`,
			[]string{"/0: expected 2, got 1", "/1: expected 1, got 2"}},

		{"status and body", httpGet, `{name: e, upstream: {status: 404, json: {message: gone}}, expectedError: {class: http_error, reason: not_found, message: /gone/}}`, nil},
		{"headers", httpGet, `{name: e, upstream: {headers: {Content-Type: text/plain}, body: hello}, expectedOutput: hello}`, nil},
		{"an empty header is not any header", httpGet, `{name: e, upstream: {request: {headers: {X-Key: ''}}, json: 1}}`,
			[]string{`upstream/0/request/headers/X-Key: expected "", got "test-API_KEY"`}},
		{"broken compression", httpGet, `{name: e, upstream: {headers: {Content-Encoding: gzip}, body: 'this is not compressed'}, expectedError: {class: invalid_response, reason: bad_encoding}}`, nil},
		{"refused", httpGet, `{name: e, upstream: {fault: refused}, expectedError: {class: connection_refused, reason: refused, message: 'Tool execution failed: Connection refused'}}`, nil},
		{"refused, with a request", httpGet, `{name: e, upstream: {fault: refused, request: {path: /}}, expectedError: connection_refused}`,
			[]string{`upstream/0/request/path: expected "/", got "/items/all"`}},
		{"reset", httpGet, `{name: e, upstream: {fault: reset}, expectedError: {class: connection_refused, reason: reset}}`, nil},
		{"truncated", httpGet, `{name: e, upstream: {json: [1, 2], fault: truncated}, expectedError: {class: invalid_response, reason: truncated}}`, nil},
		{"truncated, empty", httpGet, `{name: e, upstream: {fault: truncated}, expectedError: {class: invalid_response, reason: truncated}}`, nil},
		{"cancel", httpGet, `{name: e, upstream: {fault: cancel}, expectedError: {class: cancelled, reason: caller}}`, nil},
		{"panic", httpGet, `{name: e, upstream: {fault: panic}, expectedError: {class: internal_error, reason: panic}}`, nil},
		{"fault that isn't expected", httpGet, `{name: e, upstream: {fault: refused}, expectedOutput: 1}`,
			[]string{"expected success, got: Tool execution failed: Connection refused (class connection_refused, reason refused)"}},

		{"no upstream, no made-up environment", httpGet, `{name: e, expectedError: {class: configuration_error, reason: missing_credential}}`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := test.tool + "  - " + strings.TrimSpace(test.example) + "\n"
			sources := []string{source}
			if test.tool == twice {
				sources = append(sources, httpGet+"  - {name: none, upstream: {json: 1}}\n")
			}
			outcomes, _ := run(t, example.Options{}, sources...)
			require.Equal(t, test.problems, outcomes[0].Problems)
			require.Equal(t, len(test.problems) == 0, outcomes[0].Passed)
		})
	}
}

func TestDelayOutlastsTimeout(t *testing.T) {
	slow := strings.Replace(httpGet, "timeout: 20000", "timeout: 300", 1)
	outcomes, _ := run(t, example.Options{}, slow+"  - {name: e, upstream: {delay: 60000, json: 1}, expectedError: {class: timeout, reason: headers}}\n")
	require.Empty(t, outcomes[0].Problems)
	outcomes, _ = run(t, example.Options{}, httpGet+"  - {name: e, upstream: {delay: 5, json: 1}, expectedOutput: 1}\n")
	require.Empty(t, outcomes[0].Problems)
}

// TestRequestsAtOnce has one example send several requests at the same time, of
// which one is refused.
func TestRequestsAtOnce(t *testing.T) {
	const several = `
name: several
type: javascript
code: |
  const all = await Promise.allSettled([1, 2, 3, 4].map((id) => tools.invoke('get', {id: String(id)})));
  return all.filter((one) => one.status === 'fulfilled').length;
examples:
  - name: e
    upstream: [{json: 1}, {fault: refused}, {json: 1}, {json: 1}]
    expectedOutput: 3
`
	outcomes, _ := run(t, example.Options{}, several, strings.TrimSuffix(httpGet, "examples:\n"))
	require.Empty(t, outcomes[0].Problems)
}

func TestExampleHasTimeBound(t *testing.T) {
	outcomes, _ := run(t, example.Options{Timeout: 50 * time.Millisecond}, httpGet+"  - {name: e, upstream: {delay: 60000}}\n")
	require.Len(t, outcomes[0].Problems, 1)
	require.Contains(t, outcomes[0].Problems[0], "class timeout")
}

func TestOutcomeHoldsWhatTheCallerGets(t *testing.T) {
	outcomes, summary := run(t, example.Options{}, javascript+`
  - {name: fails, input: {a: -1}, expectedError: sandbox_error}
  - {name: turned away, expectedError: {code: BAD_REQUEST}}
  - {name: works, input: {a: 1}}
`, strings.Replace(strings.TrimSuffix(form, "examples:\n"), "name: form", "name: bare", 1))
	require.Equal(t, 3, summary.Passed)
	require.Zero(t, summary.Failed)
	require.Equal(t, []string{"bare"}, summary.Untested)
	require.Positive(t, summary.Duration)

	require.Equal(t, "sum", outcomes[0].Tool)
	require.Equal(t, runner.JavaScript, outcomes[0].Type)
	require.Equal(t, "fails", outcomes[0].Example)
	require.JSONEq(t, `{"a":-1}`, string(outcomes[0].Input))
	require.Regexp(t, `^\{"success":false,"error":"Tool execution failed: Sandbox error: .*","duration":\d+,"status":"error"\}$`, string(outcomes[0].Document))
	require.Equal(t, []errclass.LogLine{{Level: "info", Message: "negative"}}, outcomes[0].Logs)

	require.JSONEq(t, `{}`, string(outcomes[1].Input))
	require.Contains(t, string(outcomes[1].Document), `"error":"BAD_REQUEST"`)
	require.Contains(t, string(outcomes[2].Document), `"result":{"sum":2,"list":[1,{"x":"y"}]}`)
}

// TestReportsComeInOrder runs many examples at once, of which the first takes
// longest.
func TestReportsComeInOrder(t *testing.T) {
	var source strings.Builder
	source.WriteString(httpGet)
	source.WriteString("  - {name: '0', upstream: {delay: 100, json: 1}}\n")
	want := []string{"0"}
	for range 30 {
		name := strings.Repeat("x", len(want))
		want = append(want, name)
		source.WriteString("  - {name: " + name + ", upstream: {json: {id: " + name + "}}, expectedOutput: {id: " + name + "}}\n")
	}
	for _, parallel := range []int{0, 1, 8, 100} {
		outcomes, summary := run(t, example.Options{Parallel: parallel}, source.String())
		var got []string
		for _, o := range outcomes {
			require.Empty(t, o.Problems)
			got = append(got, o.Example)
		}
		require.Equal(t, want, got)
		require.Equal(t, len(want), summary.Passed)
	}
}

func TestExamplesShareNoLimitsOrCache(t *testing.T) {
	limited := strings.Replace(httpGet, "examples:", "configuration: {rateLimit: {requestsPerHour: 1}, cache: {enabled: true}}\nexamples:", 1)
	outcomes, _ := run(t, example.Options{}, limited+`
  - {name: first, upstream: {json: 1}, expectedOutput: 1}
  - {name: second, upstream: {json: 2}, expectedOutput: 2}
`)
	require.Empty(t, outcomes[0].Problems)
	require.Empty(t, outcomes[1].Problems)
}

// TestGivenSecretsStaySecret gives real values in place of made-up ones: they
// reach the upstream, but no report.
func TestGivenSecretsStaySecret(t *testing.T) {
	opts := example.Options{
		Env:         map[string]string{"SHOP_URL": "https://real.example.com"},
		Credentials: map[string]any{"token": "s3cr3t-value"},
	}
	outcomes, _ := run(t, opts, httpPost+`
  - name: used
    upstream: {request: {host: real.example.com, headers: {Authorization: Bearer s3cr3t-value}}, json: 1}
  - name: not shown
    upstream: {request: {headers: {Authorization: Bearer test-token}}, status: 400, json: {message: s3cr3t-value is wrong}}
`)
	require.Empty(t, outcomes[0].Problems)
	require.Len(t, outcomes[1].Problems, 2)
	require.NotContains(t, strings.Join(outcomes[1].Problems, "\n")+string(outcomes[1].Document), "s3cr3t")
}

// TestAnswersWithSecretsAreCompared but not shown: not what the tool was given,
// not what it returned.
func TestAnswersWithSecretsAreCompared(t *testing.T) {
	opts := example.Options{Env: map[string]string{"KEY": "s3cr3t-key"}, Credentials: map[string]any{"token": "s3cr3t-value"}}
	outcomes, _ := run(t, opts, `
name: echo
type: javascript
code: 'console.log(credentials.token); return {t: credentials.token, p: parameters.key}'
examples:
  - {name: right, input: {key: s3cr3t-key}, expectedOutput: {t: s3cr3t-value, p: s3cr3t-key}}
  - {name: wrong, input: {key: s3cr3t-key}, expectedOutput: {t: nothing, p: nothing}}
`)
	require.True(t, outcomes[0].Passed)
	require.False(t, outcomes[1].Passed)
	for _, o := range outcomes {
		require.JSONEq(t, `{"key":"[redacted]"}`, string(o.Input))
		require.Contains(t, string(o.Document), `"result":{"t":"[redacted]","p":"[redacted]"}`)
		require.NotContains(t, fmt.Sprint(o.Problems, o.Logs), "s3cr3t")
	}
}

func TestWithoutUpstreamTheGuardDecides(t *testing.T) {
	const local = "\nname: local\ntype: http\nexecutionConfig: {url: 'http://127.0.0.1:1/'}\nexamples:\n  - {name: e, expectedError: "
	outcomes, _ := run(t, example.Options{}, local+"request_blocked}\n")
	require.Empty(t, outcomes[0].Problems)
	outcomes, _ = run(t, example.Options{Egress: httptool.Policy{Allow: []string{"127.0.0.1:1"}}}, local+"connection_refused}\n")
	require.Empty(t, outcomes[0].Problems)
}

func TestFaultsOfExamples(t *testing.T) {
	for _, test := range []struct{ name, example, field, message string }{
		{"bad pattern", `{name: e, expectedError: {message: '/(/'}}`, "/examples/0", "sum: expectedError: message is not a valid regular expression"},
		{"anything", `{name: e, expectedError: {}}`, "/examples/0", "sum: expectedError: any failure would pass: give at least one of class,"},
		{"empty pattern", `{name: e, expectedError: {class: timeout, message: //}}`, "/examples/0", "sum: expectedError: message is an empty regular expression"},
		{"code and class", `{name: e, expectedError: {code: CONFLICT, class: timeout}}`, "/examples/0", "sum: expectedError: code stands for a request that is turned away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			def := parse(t, javascript+"  - "+test.example+"\n")
			_, err := example.Run(t.Context(), []*runner.Definition{def}, example.Options{}, func(example.Outcome) { t.Error("reported") })
			var invalid *errclass.APIError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, errclass.CodeValidation, invalid.Code)
			require.Equal(t, test.field, invalid.Fields[0].Field)
			require.Contains(t, invalid.Fields[0].Message, test.message)
			require.Equal(t, err, example.Check([]*runner.Definition{def}))
		})
	}
}

func TestDefinitionsThatCannotRun(t *testing.T) {
	def := parse(t, strings.Replace(javascript, "return {", "return {{", 1)+"  - {name: e}\n")
	_, err := example.Run(t.Context(), []*runner.Definition{def}, example.Options{}, func(example.Outcome) { t.Error("reported") })
	var invalid *errclass.APIError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, errclass.CodeValidation, invalid.Code)
}

func TestStopsWithItsContext(t *testing.T) {
	def := parse(t, httpGet+`
  - {name: first, upstream: {json: 1}}
  - {name: second, upstream: {delay: 60000}}
  - {name: third, upstream: {json: 1}}
`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var names []string
	summary, err := example.Run(ctx, []*runner.Definition{def}, example.Options{Parallel: 1}, func(o example.Outcome) {
		names = append(names, o.Example)
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"first"}, names)
	require.Equal(t, 1, summary.Passed)
}
