package expression_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
)

var declared = expression.Declared{Parameters: []string{
	"user", "qty", "price", "big", "huge", "list", "none", "s", "empty", "ok", "odd key", "absent", "channel", "kind", "x", "q",
}}

var scope = &expression.Scope{
	Parameters: map[string]any{
		"user": map[string]any{"id": int64(7), "name": "Ann Bee", "tags": []any{"a", "b"}, "null": nil},
		"qty":  int64(4), "price": 2.5, "big": int64(9007199254740993), "huge": json.Number("123456789012345678901234567890"),
		"list": []any{"x", int64(2), nil, map[string]any{"k": "v"}}, "none": nil, "s": "a<b>&\"c\"", "empty": "", "ok": true, "odd key": "odd",
		"channel": make(chan int),
		"kind":    12,
	},
	Env:         map[string]string{"USER": "ann", "PASS": "p:w", "EMPTY": ""},
	Credentials: map[string]any{"token": "tok", "nested": map[string]any{"key": "deep"}, "null": nil, "id": int64(5)},
}

type absent struct{}

// values holds each kind of expression once; want absent{} means present=false.
var values = []struct {
	src  string
	want any
}{
	{"plain", "plain"},
	{"", ""},
	{"a } b }} c { d", "a } b }} c { d"},
	{"{{'{{'}} and {{'}}'}}", "{{ and }}"},
	{`{{ {"a": 1}["a"] }}`, int64(1)},
	{`{{{"a": {"b": 1}}}}`, map[string]any{"a": map[string]any{"b": int64(1)}}},
	{"{{ 'a }} b' }}", "a }} b"},
	{"{{ \"\\\"}}\" }}", `"}}`},
	{"{{ `a``}}` }}", "a`}}"},
	{"é{{ 'ü' }}ö", "éüö"},

	{"{{parameters.user.id}}", int64(7)},
	{" {{parameters.user.id}}", " 7"},
	{"{{ parameters . user . id }}", int64(7)},
	{"{{parameters['odd key']}}", "odd"},
	{"{{parameters?.user?.id}}", int64(7)},
	{"{{parameters.user.tags}}", []any{"a", "b"}},
	{"{{parameters.user.tags[1]}}", "b"},
	{"{{parameters.user.tags[-1]}}", "b"},
	{"{{parameters.user.tags[2]}}", absent{}},
	{"{{parameters.user.tags[-3]}}", absent{}},
	{"{{parameters.user.tags[parameters.qty / 4]}}", "b"},
	{"{{parameters.user.tags['a']}}", absent{}},
	{"{{parameters.user.tags.length}}", absent{}},
	{"{{parameters.user['na' + 'me']}}", "Ann Bee"},
	{"{{parameters['us' + 'er'].id}}", int64(7)},
	{"{{parameters.user[1]}}", absent{}},
	{"{{parameters.none}}", absent{}},
	{"{{parameters.absent}}", absent{}},
	{"{{parameters.absent.a.b[3].c}}", absent{}},
	{"{{parameters.qty.a}}", absent{}},
	{"{{parameters.none.a}}", absent{}},
	{"{{parameters.user.null}}", absent{}},
	{"{{parameters.empty}}", ""},
	{"{{parameters.kind}}", int64(12)},
	{"{{parameters.list[3].k}}", "v"},
	{"a {{parameters.absent}} b", absent{}},
	{"a {{parameters.none}}", absent{}},
	{"{{env.USER}}", "ann"},
	{"{{env['USER']}}", "ann"},
	{"{{env.EMPTY}}", ""},
	{"{{credentials.token}}", "tok"},
	{"{{credentials.nested.key}}", "deep"},
	{"{{credentials.id}}", int64(5)},
	{"{{parameters.huge}}", json.Number("123456789012345678901234567890")},
	{"{{parameters.big}}", int64(9007199254740993)},
	{"={{parameters.huge}}", "=123456789012345678901234567890"},
	{"={{parameters.ok}}", "=true"},
	{"={{parameters.price}}", "=2.5"},
	{"={{parameters.user.tags}}", `=["a","b"]`},
	{"={{parameters.list}}", `=["x",2,null,{"k":"v"}]`},
	{"={{parameters.s}}", `=a<b>&"c"`},
	{"={{[parameters.s]}}", `=["a<b>&\"c\""]`},

	{"{{nil}}", absent{}},
	{"{{true}}", true},
	{"{{1e3}}", 1000.0},
	{"={{1e3}}", "=1000"},
	{"={{1e21}}", "=1e+21"},
	{"={{1e-7}}", "=1e-7"},
	{"={{0.000001}}", "=0.000001"},
	{"={{-0.0}}", "=0"},
	{"{{[1, nil, parameters.absent, 'x']}}", []any{int64(1), "x"}},
	{"{{ {a: 1, 'b c': nil, (upper('d')): 2} }}", map[string]any{"a": int64(1), "D": int64(2)}},

	{"{{parameters.qty * 2}}", int64(8)},
	{"{{parameters.qty + 0.5}}", 4.5},
	{"{{parameters.qty / 2}}", int64(2)},
	{"{{parameters.qty / 8}}", 0.5},
	{"={{parameters.price * 4}}", "=10"},
	{"{{7 % 3}}", int64(1)},
	{"{{7.5 % 2}}", 1.5},
	{"{{-7 % 3}}", int64(-1)},
	{"{{2 ** 10}}", int64(1024)},
	{"{{2 ^ -1}}", 0.5},
	{"{{-parameters.qty}}", int64(-4)},
	{"{{+parameters.qty}}", int64(4)},
	{"{{parameters.big - 1}}", int64(9007199254740992)},
	{"{{9223372036854775807 - 1 + 1}}", int64(9223372036854775807)},
	{"{{parameters.absent * 2}}", absent{}},
	{"{{-parameters.absent}}", absent{}},
	{"{{'a' + 'b'}}", "ab"},
	{"{{'n' + 1 + true}}", "n1true"},
	{"{{1 + 'n'}}", "1n"},
	{"{{'Bearer ' + parameters.absent}}", absent{}},
	{"{{'n' + parameters.huge}}", "n123456789012345678901234567890"},

	{"{{1 == 1.0}}", true},
	{"{{parameters.big == 9007199254740992.0}}", false},
	{"{{parameters.big > 9007199254740992.0}}", true},
	{"{{9007199254740992.0 < parameters.big}}", true},
	{"{{parameters.huge == parameters.huge}}", true},
	{"{{'1' == 1}}", false},
	{"{{parameters.absent == nil}}", true},
	{"{{parameters.qty != nil}}", true},
	{"{{[1, {a: 2}] == [1, {a: 2.0}]}}", true},
	{"{{[1] == [1, 2]}}", false},
	{"{{ {a: 1} == {b: 1} }}", false},
	{"{{'a' < 'b'}}", true},
	{"{{2 >= 2}}", true},
	{"{{parameters.absent > 1}}", false},
	{"{{parameters.absent <= 1}}", false},
	{"{{'b' in parameters.user.tags}}", true},
	{"{{'z' not in parameters.user.tags}}", true},
	{"{{2.0 in parameters.list}}", true},
	{"{{'id' in parameters.user}}", true},
	{"{{1 in parameters.user}}", false},
	{"{{1 in parameters.absent}}", false},
	{"{{'abc' contains 'b'}}", true},
	{"{{'abc' startsWith 'b'}}", false},
	{"{{'abc' endsWith 'c'}}", true},
	{"{{parameters.absent contains 'c'}}", false},
	{"{{'abc' not contains 'z'}}", true},
	{"{{true && false || true}}", true},
	{"{{true and not false}}", true},
	{"{{false && 1 == parameters.qty}}", false},
	{"{{!parameters.absent}}", true},
	{"{{parameters.absent || true}}", true},
	{"{{parameters.qty > 3 ? 'many' : 'few'}}", "many"},
	{"{{parameters.absent ? 'yes' : 'no'}}", "no"},
	{"{{true ? parameters.absent : 1}}", absent{}},
	{"{{if parameters.ok {1} else {2}}}", int64(1)},

	{"{{parameters.absent ?? 'f'}}", "f"},
	{"{{parameters.empty ?? 'f'}}", ""},
	{"{{parameters.absent ?? parameters.none ?? 3}}", int64(3)},
	{"{{env.NOPE ?? 'f'}}", "f"},
	{"{{env.NOPE ?? credentials.nope ?? 'f'}}", "f"},
	{"{{default(env.NOPE, 'f')}}", "f"},
	{"{{default(base64(env.NOPE), 'f')}}", "f"},
	{"{{default(credentials.null, 'f')}}", "f"},
	{"{{default(parameters.qty, env.NOPE)}}", int64(4)},
	{"{{(parameters.absent ?? 1) + 1}}", int64(2)},

	{"{{base64(env.USER + ':' + env.PASS)}}", "YW5uOnA6dw=="},
	{"{{base64Decode('YW5uOnA6dw==')}}", "ann:p:w"},
	{"{{base64Decode('YW5uOnA6dw')}}", "ann:p:w"},
	{"{{base64Decode('8J-YgA')}}", "😀"},
	{"{{base64(12)}}", "MTI="},
	{"{{urlEncode('a b/ü&+~')}}", "a%20b%2F%C3%BC%26%2B~"},
	{"{{json(parameters.user.tags)}}", `["a","b"]`},
	{"{{json(parameters.s)}}", `"a<b>&\"c\""`},
	{"{{json(parameters.user)}}", `{"id":7,"name":"Ann Bee","null":null,"tags":["a","b"]}`},
	{`{{parseJson('{"a":[1,2.5]}').a[1]}}`, 2.5},
	{"{{upper('straße') + lower('ÄB')}}", "STRAßEäb"},
	{"{{trim('  a\t')}}", "a"},
	{"{{replace('aXbX', 'X', '--')}}", "a--b--"},
	{"{{split('a,b,,', ',')}}", []any{"a", "b", "", ""}},
	{"{{split('äb', '')}}", []any{"ä", "b"}},
	{"{{join(['a', 1, true, nil], '-')}}", "a-1-true"},
	{"{{join(parameters.user.tags)}}", "a,b"},
	{"{{join([], ',')}}", ""},
	{"{{substring('äöü', 1)}}", "öü"},
	{"{{substring('äöü', 0, 2)}}", "äö"},
	{"{{substring('äöü', -1)}}", "ü"},
	{"{{substring('äöü', 2, 1)}}", ""},
	{"{{substring('äöü', 5, 99)}}", ""},
	{"{{len('äöü')}}", int64(3)},
	{"{{len(parameters.list)}}", int64(4)},
	{"{{len(parameters.user)}}", int64(4)},
	{"{{len(parameters.absent)}}", absent{}},
	{"{{parameters.user.tags | len()}}", int64(2)},
	{"{{'a' | upper() | base64()}}", "QQ=="},
	{"{{string(12.5)}}", "12.5"},
	{"{{string(parameters.user.tags)}}", `["a","b"]`},
	{"{{int('12')}}", int64(12)},
	{"{{int(-12.9)}}", int64(-12)},
	{"{{float(3)}}", 3.0},
	{"{{number(' -1.5e1 ')}}", -15.0},
	{"{{number('12')}}", int64(12)},
	{"{{round(2.5)}}", int64(3)},
	{"{{round(-2.5)}}", int64(-3)},
	{"{{round(1.005, 2)}}", 1.01},
	{"{{round(9.995, 2)}}", 10.0},
	{"{{round(0.05, 1)}}", 0.1},
	{"{{round(-0.96, 1)}}", -1.0},
	{"{{round(12, 2)}}", int64(12)},
	{"{{floor(-1.5)}}", int64(-2)},
	{"{{ceil(1.2)}}", int64(2)},
	{"{{abs(-3)}}", int64(3)},
	{"{{abs(-3.5)}}", 3.5},
	{"{{min(3, 1.5, 2)}}", 1.5},
	{"{{max([3, 5, 4])}}", int64(5)},
	{"{{min([])}}", absent{}},
	{"{{sha256('abc')}}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	// RFC 4231, test case 2
	{"{{hmacSha256('Jefe', 'what do ya want for nothing?')}}", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
}

func TestValue(t *testing.T) {
	for _, c := range values {
		t.Run(c.src, func(t *testing.T) {
			tm, err := expression.Compile(c.src, declared)
			require.NoError(t, err)
			got, present, err := tm.Value(scope)
			require.NoError(t, err)
			if c.want == (any)(absent{}) {
				require.False(t, present)
				require.Nil(t, got)
				return
			}
			require.True(t, present)
			require.Equal(t, c.want, got)
		})
	}
}

// A text, a tree and a constant say the same as Value.
func TestAllWaysAgree(t *testing.T) {
	for _, c := range values {
		tm, err := expression.Compile(c.src, declared)
		require.NoError(t, err)
		text, present, err := tm.Text(scope, nil)
		require.NoError(t, err)
		require.Equal(t, c.want != (any)(absent{}), present, c.src)
		if s, ok := c.want.(string); ok {
			require.Equal(t, s, text, c.src)
		}
		if s, ok := tm.Constant(); ok {
			require.Equal(t, text, s, c.src)
			require.NotContains(t, c.src, "parameters.")
		}
		tree, faults := expression.CompileTree(map[string]any{"k": c.src, "a": []any{c.src}}, declared)
		require.Empty(t, faults)
		v, _, err := tree.Value(scope)
		require.NoError(t, err)
		want := map[string]any{"k": c.want, "a": []any{c.want}}
		if !present {
			want = map[string]any{"a": []any{}}
		}
		require.Equal(t, want, v, c.src)
	}
}

func TestCompileFaults(t *testing.T) {
	for _, c := range []struct {
		src     string
		offset  int
		message string
	}{
		{"{{", 0, "{{ isn't closed by }} (a literal {{ is written {{'{{'}})"},
		{"ab {{ x", 3, "{{ isn't closed by }} (a literal {{ is written {{'{{'}})"},
		{"{{ 'x }}", 3, "a string literal isn't closed"},
		{"{{ 'x\n' }}", 3, "a string literal isn't closed"},
		{"{{ x } }}", 5, "unexpected }"},
		{"{{ }}", 2, "{{ }} holds no expression"},
		{"{{}}", 2, "{{ }} holds no expression"},
		{"{{ 1 // }} \n }}", 5, "an expression can't hold comments"},
		{"{{ 1 /* }} */ }}", 5, "an expression can't hold comments"},
		{"{{a b}}", 4, `syntax error: unexpected "b"`},
		{"é{{a b}}", 6, `syntax error: unexpected "b"`},
		{"{{'é' b}}", 7, `syntax error: unexpected "b"`},
		{"{{(1}}", 4, "the expression ends too early"},
		{"{{1 +}}", 5, "the expression ends too early"},
		{"{{1 @ 2}}", 4, "syntax error: unrecognized character: U+0040 '@'"},
		{"{{9223372036854775808}}", 20, "syntax error: invalid integer literal"},
		{"{{'\\q'}}", 4, "syntax error: invalid char escape"},
		{"{{param.x}}", 2, `unknown name "param": values start at parameters, env or credentials (did you mean "parameters"?)`},
		{"{{parameter.x}}", 2, `unknown name "parameter": values start at parameters, env or credentials (did you mean "parameters"?)`},
		{"{{user.id}}", 2, `unknown name "user": values start at parameters, env or credentials (did you mean "parameters.user"?)`},
		{"{{null}}", 2, `unknown name "null": values start at parameters, env or credentials (did you mean "nil"?)`},
		{"{{zzzz}}", 2, `unknown name "zzzz": values start at parameters, env or credentials`},
		{"{{$env.X}}", 2, `unknown name "$env": values start at parameters, env or credentials (did you mean "env"?)`},
		{"{{parameters.usr}}", 13, `parameter "usr" isn't declared in the parameter schema (did you mean "user"?)`},
		{"{{parameters['qyt']}}", 12, `parameter "qyt" isn't declared in the parameter schema (did you mean "qty"?)`},
		{"{{parameters.zzzzzz}}", 13, `parameter "zzzzzz" isn't declared in the parameter schema`},
		{"{{parameters[0]}}", 12, "members of parameters have names, not numbers"},
		{"{{env}}", 2, "env can't be used as a whole: name one of its members, as in env.NAME"},
		{"{{json(credentials)}}", 7, "credentials can't be used as a whole: name one of its members, as in credentials.NAME"},
		{"{{[env]}}", 3, "env can't be used as a whole: name one of its members, as in env.NAME"},
		{"{{env[parameters.s]}}", 5, "members of env are named, not computed: write env.NAME"},
		{"{{uper('a')}}", 2, `there is no function "uper" (did you mean "upper"?)`},
		{"{{upper()}}", 2, "upper takes 1 argument, not 0"},
		{"{{upper('a', 'b')}}", 2, "upper takes 1 argument, not 2"},
		{"{{replace('a')}}", 2, "replace takes 3 arguments, not 1"},
		{"{{join()}}", 2, "join takes 1 to 2 arguments, not 0"},
		{"{{max()}}", 2, "max takes at least 1 argument, not 0"},
		{"{{default(1)}}", 2, "default takes 2 arguments, not 1"},
		{"{{'a'.upper()}}", 6, "values have no methods: call a function, as in upper(x)"},
		{"{{parameters.s.toUpperCase()}}", 15, "values have no methods: call a function, as in upper(x)"},
		{"{{let a = 1; a}}", 6, "variables aren't available"},
		{"{{1; 2}}", 2, "an expression can't be a sequence: remove the semicolon"},
		{"{{1..1000000}}", 3, "ranges aren't available"},
		{"{{'a' matches 'a*'}}", 6, "matches isn't available: use contains, startsWith or endsWith"},
		{"{{'abc'[1:2]}}", 7, "slices aren't available: use substring(text, start, end)"},
		{"{{b'abc'}}", 2, "byte strings aren't available: write a plain string"},
		{"{{1 < 2 < 3}}", 6, "comparisons can't be chained: write a < b && b < c"},
		{"{{1 ?: 2}}", 7, "?: isn't available: write a ?? b"},
		{"{{all([1], # > 0)}}", 2, `there is no function "all": expressions have no loops`},
		{"{{1 / 0}}", 2, "division by zero"},
		{"{{9223372036854775807 + 1}}", 2, "the result is too large for an integer"},
		{"{{upper([])}}", 2, "upper: a text is needed, not an array or object"},
	} {
		t.Run(c.src, func(t *testing.T) {
			_, err := expression.Compile(c.src, declared)
			var fault *expression.Error
			require.ErrorAs(t, err, &fault)
			require.Equal(t, c.message, fault.Message)
			require.Equal(t, c.offset, fault.Offset)
			require.NotContains(t, fault.Error(), "\n")
		})
	}
	_, err := expression.Compile("{{now()}}", declared)
	require.ErrorContains(t, err, `there is no function "now": there are abs, base64, `)
	_, err = expression.Compile("{{parameters.anything}}", expression.Declared{Open: true})
	require.NoError(t, err)
	_, err = expression.Compile("{{parameters.anything}}", expression.Declared{})
	require.Error(t, err)
}

func TestEvaluationFaults(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		src    string
		reason errclass.Reason
		detail string
	}{
		{"{{env.NOPE}}", errclass.MissingCredential, "env.NOPE is not set"},
		{"a {{env.NOPE}}", errclass.MissingCredential, "env.NOPE is not set"},
		{"{{base64(env.NOPE + ':')}}", errclass.MissingCredential, "env.NOPE is not set"},
		{"{{env.NOPE == nil}}", errclass.MissingCredential, "env.NOPE is not set"},
		{"{{credentials.nope}}", errclass.MissingCredential, "credentials.nope is not set"},
		{"{{credentials.null}}", errclass.MissingCredential, "credentials.null is not set"},
		{"{{credentials.nested['a b'][0]}}", errclass.MissingCredential, `credentials.nested["a b"][0] is not set`},
		{"{{env.NOPE ?? env.NOR}}", errclass.MissingCredential, "env.NOR is not set"},
		{"{{parameters.qty / (parameters.qty - 4)}}", errclass.BadExpression, "{{parameters.qty / (parameters.qty - 4)}}: division by zero"},
		{"{{parameters.qty % 0}}", errclass.BadExpression, "{{parameters.qty % 0}}: division by zero"},
		{"{{parameters.price % 0}}", errclass.BadExpression, "{{parameters.price % 0}}: division by zero"},
		{"{{parameters.big * 9007199254740993}}", errclass.BadExpression, "{{parameters.big * 9007199254740993}}: the result is too large for an integer"},
		{"{{parameters.price * 1e308 * 10}}", errclass.BadExpression, "{{parameters.price * 1e308 * 10}}: the number is too large"},
		{"{{parameters.huge + 1}}", errclass.BadExpression, "{{parameters.huge + 1}}: +: the number is too large"},
		{"{{(0 - parameters.qty) ** 0.5}}", errclass.BadExpression, "{{(0 - parameters.qty) ** 0.5}}: the power isn't a real number"},
		{"{{parameters.s * 2}}", errclass.BadExpression, "{{parameters.s * 2}}: *: a number is needed"},
		{"{{parameters.s ? 1 : 2}}", errclass.BadExpression, "{{parameters.s ? 1 : 2}}: a condition must be true or false: compare with ==, != or use ?? for a fallback"},
		{"{{parameters.s < 1}}", errclass.BadExpression, "{{parameters.s < 1}}: only two numbers or two texts can be compared by size"},
		{"{{parameters.s in parameters.s}}", errclass.BadExpression, "{{parameters.s in parameters.s}}: in needs an array or object on its right: use contains for texts"},
		{"{{parameters.qty contains 'a'}}", errclass.BadExpression, "{{parameters.qty contains 'a'}}: contains, startsWith and endsWith take two texts"},
		{"{{'a' + parameters.user}}", errclass.BadExpression, "{{'a' + parameters.user}}: an array or object can't be joined to a text: use json(x)"},
		{"{{number(parameters.s)}}", errclass.BadExpression, "{{number(parameters.s)}}: number: the text isn't a number"},
		{"{{int('1_0' + parameters.s)}}", errclass.BadExpression, "{{int('1_0' + parameters.s)}}: int: the text isn't a number"},
		{"{{base64Decode(parameters.s)}}", errclass.BadExpression, "{{base64Decode(parameters.s)}}: base64Decode: the text isn't base64"},
		{"{{parseJson(parameters.s)}}", errclass.BadExpression, "{{parseJson(parameters.s)}}: parseJson: the text isn't valid JSON"},
		{"{{replace(parameters.s, '', 'x')}}", errclass.BadExpression, "{{replace(parameters.s, '', 'x')}}: replace: the text to replace is empty"},
		{"{{substring(parameters.s, 0.5)}}", errclass.BadExpression, "{{substring(parameters.s, 0.5)}}: substring: start and end are whole numbers"},
		{"{{join(parameters.list)}}", errclass.BadExpression, "{{join(parameters.list)}}: join: an element is an array or object"},
		{"{{round(parameters.price, 99)}}", errclass.BadExpression, "{{round(parameters.price, 99)}}: round: decimals are a whole number from 0 to 15"},
		{"{{parameters.channel}}", errclass.BadExpression, "{{parameters.channel}}: reads a value that isn't JSON"},
		{"a{{parameters}}", errclass.BadExpression, "{{parameters}}: reads a value that isn't JSON"},
		{"{{parameters.x + 'y'}}", errclass.BadExpression, "{{parameters.x + 'y'}}: a string of more than 1 MiB comes out"},
		{"{{base64(parameters.x)}}", errclass.BadExpression, "{{base64(parameters.x)}}: base64: a string of more than 1 MiB comes out"},
	} {
		t.Run(c.src, func(t *testing.T) {
			s := *scope
			s.Parameters = map[string]any{"x": long}
			for k, v := range scope.Parameters {
				s.Parameters[k] = v
			}
			tm, err := expression.Compile(c.src, declared)
			require.NoError(t, err)
			_, present, err := tm.Value(&s)
			require.False(t, present)
			var e *errclass.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, errclass.ConfigurationError, e.Class)
			require.Equal(t, c.reason, e.Reason)
			require.Equal(t, c.detail, e.Detail)
		})
	}
}

func TestNames(t *testing.T) {
	tm, err := expression.Compile("{{env.B ?? env.A}} {{credentials.oauth.token}} {{credentials['k']}} {{env.A}}", declared)
	require.NoError(t, err)
	env, credentials := tm.Names()
	require.Equal(t, []string{"A", "B"}, env)
	require.Equal(t, []string{"k", "oauth"}, credentials)

	tree, faults := expression.CompileTree([]any{"{{env.Z}}", map[string]any{"{{env.KEY}}": "{{env.Y + credentials.c}}"}}, declared)
	require.Empty(t, faults)
	env, credentials = tree.Names()
	require.Equal(t, []string{"Y", "Z"}, env)
	require.Equal(t, []string{"c"}, credentials)
}

func TestWhatATemplateReads(t *testing.T) {
	for _, c := range []struct {
		src              string
		path, parameters bool
	}{
		{"{{parameters.name}}", true, true},
		{"{{ parameters['name'][0].x }}", true, true},
		{"{{parameters}}", true, true},
		{"{{env.A}}", true, false},
		{"{{env.A + credentials.b}}", false, false},
		{"{{'x'}}", false, false},
		{"x", false, false},
		{"x{{parameters.name}}", false, true},
		{"{{env.A}}{{parameters.name}}", false, true},
		{"{{env.A ?? parameters.name}}", false, true},
		{"{{credentials.list[parameters.name]}}", false, true},
		{"{{parameters[env.A]}}", false, true},
		{"{{json(parameters)}}", false, true},
	} {
		tm, err := expression.Compile(c.src, expression.Declared{Open: true})
		require.NoError(t, err, c.src)
		require.Equal(t, c.path, tm.IsPath(), c.src)
		require.Equal(t, c.parameters, tm.ReadsParameters(), c.src)
	}
}

func TestConstant(t *testing.T) {
	for src, want := range map[string]string{"": "", "a b": "a b", "a{{'{{'}}b": "a{{b", "{{1 + 1}}": "2", "{{upper('x')}}!": "X!"} {
		tm, err := expression.Compile(src, declared)
		require.NoError(t, err)
		got, ok := tm.Constant()
		require.True(t, ok, src)
		require.Equal(t, want, got)
	}
	for _, src := range []string{"{{parameters.s}}", "a{{env.X}}", "{{nil}}", "{{credentials.a ?? 'b'}}"} {
		tm, err := expression.Compile(src, declared)
		require.NoError(t, err)
		_, ok := tm.Constant()
		require.False(t, ok, src)
	}
}

func TestText(t *testing.T) {
	bracket := func(s string) (string, error) { return "<" + s + ">", nil }
	for src, want := range map[string]string{
		"a":                                "a",
		"<{{parameters.qty}}>":             "<<4>>",
		"{{parameters.qty}}{{'x'}}":        "<4><x>",
		"{{'x'}}y":                         "<x>y",
		"{{parameters.user.tags}}":         `<["a","b"]>`,
		"{{env.USER}}/{{credentials.id}}?": "<ann>/<5>?",
	} {
		tm, err := expression.Compile(src, declared)
		require.NoError(t, err)
		got, present, err := tm.Text(scope, bracket)
		require.NoError(t, err)
		require.True(t, present)
		require.Equal(t, want, got)
	}
	tm, err := expression.Compile("/{{parameters.s}}", declared)
	require.NoError(t, err)
	_, _, err = tm.Text(scope, func(string) (string, error) { return "", errors.New("is refused") })
	require.EqualError(t, err, "Configuration error: {{parameters.s}}: is refused")
	_, _, err = tm.Text(nil, nil)
	require.NoError(t, err)
}

func TestTree(t *testing.T) {
	tree, faults := expression.CompileTree(map[string]any{
		"keep": nil, "n": int64(1), "drop": "{{parameters.none}}", "list": []any{"{{parameters.absent}}", "{{parameters.qty}}", nil, "x"},
		"whole": "{{parameters.user.tags}}", "text": "q={{parameters.qty}}", "{{key}}": map[string]any{}, "all": "{{parameters.user}}",
	}, declared)
	require.Empty(t, faults)
	got, present, err := tree.Value(scope)
	require.NoError(t, err)
	require.True(t, present)
	require.Equal(t, map[string]any{
		"keep": nil, "n": int64(1), "list": []any{int64(4), nil, "x"}, "whole": []any{"a", "b"}, "text": "q=4", "{{key}}": map[string]any{},
		"all": scope.Parameters["user"],
	}, got)

	root, faults := expression.CompileTree("{{parameters.absent}}", declared)
	require.Empty(t, faults)
	_, present, err = root.Value(scope)
	require.NoError(t, err)
	require.False(t, present)

	tree, faults = expression.CompileTree(map[string]any{"a/b~": []any{"ok", "{{x.y}}"}, "b": "{{", "c": "{{env.X}}"}, declared)
	require.Nil(t, tree)
	require.Equal(t, []string{"/a~1b~0/1", "/b"}, []string{faults[0].Field, faults[1].Field})

	tree, faults = expression.CompileTree([]any{"{{env.NOPE}}"}, declared)
	require.Empty(t, faults)
	_, present, err = tree.Value(scope)
	require.EqualError(t, err, "Configuration error: env.NOPE is not set")
	require.False(t, present)
}

func TestDeclaredFrom(t *testing.T) {
	for schema, want := range map[string]expression.Declared{
		``:                                 {Open: true},
		`true`:                             {Open: true},
		`{}`:                               {Open: true},
		`{"type":"object"}`:                {Open: true},
		`{"properties":{}}`:                {},
		`{"properties":true}`:              {Open: true},
		`{"properties":{"b":{},"a":true}}`: {Parameters: []string{"a", "b"}},
		`{"properties":{"a":{}},"additionalProperties":false}`:           {Parameters: []string{"a"}},
		`{"properties":{"a":{}},"additionalProperties":true}`:            {Parameters: []string{"a"}, Open: true},
		`{"properties":{"a":{}},"additionalProperties":{"type":"null"}}`: {Parameters: []string{"a"}, Open: true},
		`{"properties":{"a":{}},"patternProperties":{}}`:                 {Parameters: []string{"a"}, Open: true},
		`{"properties":{"a":{}},"allOf":[]}`:                             {Parameters: []string{"a"}, Open: true},
		`{"properties":{"a":{}},"$ref":"#/x"}`:                           {Parameters: []string{"a"}, Open: true},
	} {
		require.Equal(t, want, expression.DeclaredFrom([]byte(schema)), schema)
	}
}

func TestConcurrentUse(t *testing.T) {
	tree, faults := expression.CompileTree(map[string]any{"a": "{{parameters.q}}", "b": "x{{upper(parameters.q)}}", "c": []any{"{{[parameters.q]}}"}}, declared)
	require.Empty(t, faults)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				q := fmt.Sprintf("q%d-%d", g, i)
				v, _, err := tree.Value(&expression.Scope{Parameters: map[string]any{"q": q}})
				if err != nil || v.(map[string]any)["b"] != "x"+strings.ToUpper(q) || v.(map[string]any)["a"] != q {
					t.Errorf("%v %v", v, err)
				}
			}
		})
	}
	wg.Wait()
}
