package runner_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/almyty-inc/toolrun"

// Who may import whom, and what may never enter an embedder's binary.
func TestImports(t *testing.T) {
	const (
		foreign = `spf13/|stretchr/|nats-io/|prometheus/|go\.opentelemetry\.io/otel/sdk|go-chi/`
		heavy   = foreign + `|anthropic-sdk-go|google\.golang\.org/genai|` + module + `/llmtool/(anthropic|google)`
	)
	for _, tc := range []struct{ pkg, never string }{
		{"errclass", module + `/|` + heavy},
		{"sandbox", module + `/(httptool|llmtool|runner)|` + heavy},
		{"httptool", module + `/(sandbox|llmtool|runner)|` + heavy},
		{"llmtool", module + `/(sandbox|httptool|runner)|` + heavy},
		{"runner", module + `/(cmd|internal/(service|example|openapi))|go\.yaml\.in/|` + heavy},
		{"internal/openapi", module + `/(cmd|runner|sandbox|httptool|llmtool|internal/(service|example))|` + heavy},
		{"llmtool/anthropic", module + `/(sandbox|httptool|runner)|google\.golang\.org/|aws/|` + foreign},
		{"llmtool/google", module + `/(sandbox|httptool|runner)|anthropic-sdk-go|` + foreign},
		{"internal/settings", module + `/(cmd|runner|sandbox|httptool|llmtool|internal/(service|queue|access|telemetry))|nats-io/|prometheus/|opentelemetry|go-chi/|stretchr/`},
		{"internal/telemetry", module + `/(cmd|internal/(service|queue|access|settings))|spf13/|stretchr/|nats-io/`},
		{"internal/service", module + `/(cmd|internal/(settings|telemetry))|spf13/|stretchr/`},
		{"internal/catalog", module + `/(cmd|internal/(service|settings|telemetry))|spf13/|stretchr/`},
		{"internal/queue", module + `/(cmd|internal/(service|catalog|settings|telemetry))|spf13/|stretchr/`},
		{"internal/access", module + `/(cmd|runner|sandbox|httptool|llmtool|internal)|nats-io/|spf13/|stretchr/`},
	} {
		t.Run(tc.pkg, func(t *testing.T) {
			never := regexp.MustCompile(tc.never)
			self := module + "/" + tc.pkg
			imports := dependencies(t, self)
			require.Contains(t, imports, self)
			for pkg := range imports {
				if pkg != self && never.MatchString(pkg) {
					t.Errorf("%s must not reach %s, but does: %s", tc.pkg, pkg, chain(imports, self, pkg))
				}
			}
		})
	}
}

// dependencies maps each package that pkg reaches to what it imports.
func dependencies(t *testing.T, pkg string) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", pkg).Output()
	require.NoError(t, err)
	imports := make(map[string][]string)
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		require.NoError(t, dec.Decode(&p))
		imports[p.ImportPath] = p.Imports
	}
	return imports
}

// chain is the shortest way from one package to another.
func chain(imports map[string][]string, from, to string) string {
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range imports[queue[0]] {
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	var way []string
	for at := to; at != ""; at = cameFrom[at] {
		way = append(way, at)
	}
	slices.Reverse(way)
	return strings.Join(way, " → ")
}
