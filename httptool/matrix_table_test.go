package httptool_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the README's table anew")

// The README's table is the matrix; go test ./httptool -run TestMatrixTable -update
// writes it.
func TestMatrixTable(t *testing.T) {
	const file, begin, end = "../README.md", "<!-- matrix -->\n", "<!-- /matrix -->"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found)
	wanted := before + begin + matrixTable(t) + end + after
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(wanted), 0o644))
		return
	}
	require.True(t, wanted == string(text), "README.md is behind the matrix: go test ./httptool -run TestMatrixTable -update")
}

func matrixTable(t *testing.T) string {
	var b strings.Builder
	seen := map[string]bool{}
	rows := 0
	for _, family := range matrix {
		fmt.Fprintf(&b, "\n**%s**\n\n| fault | class | reason | retry |\n| --- | --- | --- | --- |\n", family.name)
		for _, f := range family.faults {
			require.False(t, seen[family.name+f.name], "two rows named %q", f.name)
			seen[family.name+f.name] = true
			if f.pending == "" {
				fmt.Fprintf(&b, "| %s | %s |\n", f.name, f.want)
				rows++
			}
		}
	}
	return fmt.Sprintf("<details><summary>All %d rows</summary>\n%s\n</details>\n", rows, b.String())
}

// String is the expectation as the table's last three columns.
func (e expectation) String() string {
	if e.class == "" {
		return "none | the result is " + shown(e.value) + " |"
	}
	retry := "no"
	if e.retry {
		retry = "yes"
	}
	if e.wait > 0 {
		retry += ", after " + e.wait.String()
	}
	return fmt.Sprintf("`%s` | `%s` | %s", e.class, e.reason, retry)
}

func shown(value string) string {
	if len(value) > 40 {
		return fmt.Sprintf("%d bytes of JSON", len(value))
	}
	return "`" + value + "`"
}
