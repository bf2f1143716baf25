package sandbox_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/sandbox"
)

// oracleCase is a program in one line. Its outcome is its result's JSON text, or
// "throws " and the name of the error.
type oracleCase struct {
	code string
	// want is the expectation where node 20 can't be asked: it lacks the feature.
	want string
	// ours is a known difference from node, and why it is one.
	ours, why string
}

// askNode runs programs as bodies of async functions.
const askNode = `
const AsyncFunction = (async () => {}).constructor;
(async () => {
	const answers = [];
	for (const code of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
		try {
			answers.push(JSON.stringify(await new AsyncFunction(code)()) ?? "null");
		} catch (error) {
			answers.push("throws " + (error?.name ?? String(error)));
		}
	}
	process.stdout.write(JSON.stringify(answers));
})();`

// missingOracle ends a test that can't ask node: CI must not pass without it.
func missingOracle(t *testing.T) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("node is missing")
	}
	t.Skip("node is not installed")
}

// TestLanguageAgainstNode runs a table of programs here and in node.
func TestLanguageAgainstNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		missingOracle(t)
	}
	var asked []string
	for _, c := range oracleCases {
		if c.want == "" {
			asked = append(asked, c.code)
		}
	}
	question, err := json.Marshal(asked)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), node, "-e", askNode)
	command.Stdin = bytes.NewReader(question)
	command.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=en_US.UTF-8")
	text, err := command.Output()
	require.NoError(t, err)
	var answers []string
	require.NoError(t, json.Unmarshal(text, &answers))
	require.Len(t, answers, len(asked))

	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		next := 0
		for _, c := range oracleCases {
			want := c.want
			if want == "" {
				want = answers[next]
				next++
			}
			got := outcome(t, pool, c.code)
			if c.ours == "" {
				require.JSONEq(t, asJSON(want), asJSON(got), c.code)
				continue
			}
			require.NotEmpty(t, c.why, c.code)
			require.NotEqual(t, want, c.ours, "no difference any more: %s", c.code)
			require.Equal(t, c.ours, got, c.code)
		}
	})
}

// asJSON makes a JSON text of an outcome that is none.
func asJSON(outcome string) string {
	if strings.HasPrefix(outcome, "throws ") {
		return `"` + outcome + `"`
	}
	return outcome
}

func outcome(t *testing.T, pool *sandbox.Pool, program string) string {
	t.Helper()
	result, failure := run(t, pool, code(program))
	if failure == nil {
		return string(result.Value)
	}
	if strings.HasPrefix(string(failure.Reason), "syntax") {
		return "throws SyntaxError"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(failure.Detail, "Uncaught "), " (code:")
	name, _, _ = strings.Cut(name, ":")
	name, _, _ = strings.Cut(name, ";")
	return "throws " + name
}
