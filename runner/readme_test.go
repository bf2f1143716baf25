package runner_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's embedding snippet is the body of Example, to the letter.
func TestReadmeSnippet(t *testing.T) {
	const file = "example_test.go"
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, source, 0)
	require.NoError(t, err)
	body := tree.Scope.Lookup("Example").Decl.(*ast.FuncDecl).Body
	text := string(source[fset.Position(body.Lbrace).Offset+1 : fset.Position(body.Rbrace).Offset])
	text, _, _ = strings.Cut(text, "\t// Output:")
	snippet := "```go" + strings.ReplaceAll(text, "\n\t", "\n") + "```"

	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), snippet)
}
