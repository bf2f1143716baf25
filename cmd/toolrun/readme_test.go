package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the README's table of settings anew")

// The README lists what can be set, as the commands themselves have it.
func TestReadmeSettings(t *testing.T) {
	const file, begin, end = "../../README.md", "<!-- settings -->\n", "<!-- /settings -->"
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(raw), begin)
	require.True(t, found)
	written, after, found := strings.Cut(rest, end)
	require.True(t, found)
	table := settingsTable()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+table+end+after), 0o644))
		return
	}
	require.Equal(t, table, written, "go test ./cmd/toolrun -run TestReadmeSettings -update writes the table anew")
}

func settingsTable() string {
	var rows []string
	c := console{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	serve, worker := serveCommand(c).Flags(), workerCommand(c).Flags()
	row := func(f *pflag.Flag, of string) {
		kind, usage := pflag.UnquoteUsage(f)
		value := f.DefValue
		if value == "" || value == "false" || value == "[]" {
			value = "–"
		}
		usage = strings.NewReplacer("|", `\|`, "*", `\*`).Replace(usage)
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s%s |\n", strings.TrimSpace("--"+f.Name+" "+kind), value, usage, of))
	}
	serve.VisitAll(func(f *pflag.Flag) {
		if worker.Lookup(f.Name) == nil {
			row(f, " (serve only)")
			return
		}
		row(f, "")
	})
	worker.VisitAll(func(f *pflag.Flag) {
		if serve.Lookup(f.Name) == nil {
			row(f, " (worker only)")
		}
	})
	slices.Sort(rows)
	return fmt.Sprintf("<details><summary>All %d settings</summary>\n\n| flag | default | what |\n| --- | --- | --- |\n%s\n</details>\n", len(rows), strings.Join(rows, ""))
}
