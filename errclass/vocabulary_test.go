package errclass_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

// declared lists the values of a file's constants of a type, by name.
func declared(t *testing.T, file, typeName string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	values := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typeName {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		values[spec.Names[0].Name] = value
		return true
	})
	require.NotEmpty(t, values)
	return values
}

func TestEveryClassHasATitle(t *testing.T) {
	t.Parallel()
	values := declared(t, "class.go", "Class")
	require.Len(t, errclass.Classes(), len(values))
	titles := map[string]bool{}
	for name, value := range values {
		c := errclass.Class(value)
		require.True(t, c.Valid(), name)
		require.Contains(t, errclass.Classes(), c)
		titles[c.Title()] = true
	}
	require.Len(t, titles, len(values))
	require.Equal(t, "Internal error", errclass.Class("?").Title())
	require.False(t, errclass.Class("").Valid())
}

// The wire names and titles of the classes are frozen.
func TestClassesGolden(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, c := range errclass.Classes() {
		lines = append(lines, string(c)+" = "+c.Title())
	}
	require.Equal(t, []string{
		"connection_refused = Connection refused", "timeout = Timeout", "invalid_response = Invalid response",
		"sandbox_error = Sandbox error", "llm_error = LLM error", "http_error = HTTP error",
		"request_blocked = Request blocked", "cancelled = Cancelled", "configuration_error = Configuration error",
		"internal_error = Internal error",
	}, lines)
}

func TestEveryReasonHasTraits(t *testing.T) {
	t.Parallel()
	values := declared(t, "reason.go", "Reason")
	require.Len(t, errclass.Reasons(), len(values))
	origins := declared(t, "class.go", "Origin")
	for name, value := range values {
		r := errclass.Reason(value)
		require.True(t, r.Valid(), name)
		e := errclass.New(errclass.InternalError, r, "")
		require.Contains(t, origins, originName(e.Origin), name)
		require.LessOrEqual(t, len(e.Hint), 120, name)
		require.Equal(t, e.Hint, errclass.OneLine(e.Hint, 300), name)
		if e.Hint != "" {
			require.True(t, strings.HasSuffix(e.Hint, "."), name)
		}
	}
	require.False(t, errclass.Reason("").Valid())
}

func originName(o errclass.Origin) string {
	if o == "" {
		return ""
	}
	return "Origin" + strings.ToUpper(string(o[:1])) + string(o[1:])
}

// What the contract names must exist under exactly that name.
func TestReasonsOfTheContract(t *testing.T) {
	t.Parallel()
	const contract = `refused reset dns_not_found dns_temporary tls_expired tls_untrusted tls_hostname protocol circuit_open connect
		headers body stream_idle deadline queue not_json truncated too_large bad_encoding redirect_loop schema_mismatch exception
		syntax_error memory_limit stack_overflow output_limit unserializable auth permission rate_limit quota context_length
		content_filter refusal overloaded model_not_found server_error`
	for word := range strings.FieldsSeq(contract) {
		require.True(t, errclass.Reason(word).Valid(), word)
	}
}

func TestNewUnknownReason(t *testing.T) {
	t.Parallel()
	e := errclass.New("?", "?", "")
	require.Equal(t, "Internal error", e.Error())
	require.False(t, e.Retryable)
}
