package llmtool_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

// The README's table of reasons has those that the wire cases reach, no other, and
// says of each what the cases say.
func TestReasonsInReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "<!-- llm reasons -->\n")
	require.True(t, found)
	table, _, found := strings.Cut(rest, "<!-- /llm reasons -->")
	require.True(t, found)

	cases := map[errclass.Reason][]wireCase{}
	for _, c := range wireCases(t) {
		cases[c.reason] = append(cases[c.reason], c)
	}
	var listed []errclass.Reason
	for _, row := range strings.Split(strings.TrimSpace(table), "\n")[2:] {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		require.Len(t, cells, 5, row)
		reason := errclass.Reason(strings.Trim(cells[0], "`"))
		listed = append(listed, reason)
		require.True(t, reason.Valid(), row)
		require.NotEmpty(t, cases[reason], row)
		retryable := 0
		for _, c := range cases[reason] {
			require.Equal(t, "`"+string(c.class)+"`", cells[1], "%s: %s/%s", reason, c.file, c.name)
			if c.retryable {
				retryable++
			}
		}
		require.Equal(t, share(retryable, len(cases[reason])), cells[3], row)
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(cases)), listed)
}

// share puts a part of all cases into a word.
func share(part, all int) string {
	switch {
	case part == 0:
		return "no"
	case part == all:
		return "yes"
	case 2*part > all:
		return "mostly"
	}
	return "rarely"
}
