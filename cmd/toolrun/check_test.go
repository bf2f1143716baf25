package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const checkKey = "sk-check-abcdefghijkl"

// stubProviders answers as several providers do, and writes their file.
func stubProviders(t *testing.T) (file, host string) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/good/", answer(200, `{"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"OK"},"finish_reason":"stop"}]}`))
	mux.HandleFunc("/locked/", answer(401, `{"error":{"message":"Incorrect API key provided: `+checkKey+`","code":"invalid_api_key"}}`))
	mux.HandleFunc("/other/", answer(404, `{"error":{"message":"The model \"m\" does not exist","code":"model_not_found"}}`))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	file = filepath.Join(t.TempDir(), "providers.yaml")
	var text strings.Builder
	text.WriteString("providers:\n")
	for _, id := range []string{"good", "locked", "other"} {
		fmt.Fprintf(&text, "  - {id: %s, type: custom, baseUrl: '%s/%s', apiKey: '{{env.KEY}}', model: m}\n", id, server.URL, id)
	}
	fmt.Fprintf(&text, "  - {id: down, type: custom, baseUrl: 'http://127.0.0.1:1', model: m}\n")
	fmt.Fprintf(&text, "  - {id: keyless, type: custom, baseUrl: '%s/good', apiKey: '{{env.NONE}}', model: m}\n", server.URL)
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	return file, strings.TrimPrefix(server.URL, "http://")
}

func checkProviders(t *testing.T, args ...string) (stdout string, code int) {
	cmd := exec.CommandContext(t.Context(), "toolrun", append([]string{"providers", "check"}, args...)...)
	cmd.Env = append(os.Environ(), "TOOLRUN_ENV_KEY="+checkKey)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		code = failed.ExitCode()
	} else {
		require.NoError(t, err)
	}
	require.NotContains(t, string(out)+stderr.String(), checkKey)
	require.Empty(t, stderr.String())
	return string(out), code
}

func TestProvidersCheck(t *testing.T) {
	file, host := stubProviders(t)
	reach := []string{"--providers", file, "--allow", host, "--allow", "127.0.0.1:1"}
	out, code := checkProviders(t, reach...)
	require.Equal(t, exitFailed, code)
	out = regexp.MustCompile(`\d+ ms`).ReplaceAllString(strings.ReplaceAll(out, host, "HOST"), "N ms")
	require.Equal(t, `ok     good at HOST: reachable ok, key ok, model ok (m-1), N ms
FAILED locked at HOST: reachable ok, key failed, model unchecked (m), N ms: LLM error: 401: Incorrect API key provided: [redacted]
FAILED other at HOST: reachable ok, key ok, model failed (m), N ms: LLM error: 404: The model "m" does not exist
FAILED down at 127.0.0.1:1: reachable failed, key unchecked, model unchecked (m), N ms: Connection refused
FAILED keyless at HOST: reachable unchecked, key failed, model unchecked (m), N ms: Configuration error: env.NONE is not set
`, out)

	out, code = checkProviders(t, append(reach, "good")...)
	require.Equal(t, exitOK, code)
	require.Equal(t, 1, strings.Count(out, "\n"))

	out, code = checkProviders(t, append(reach, "--json", "other", "good")...)
	require.Equal(t, exitFailed, code)
	var checks []check
	require.NoError(t, json.Unmarshal([]byte(out), &checks))
	require.Len(t, checks, 2)
	require.Equal(t, "other", checks[0].Provider)
	require.False(t, checks[0].OK)
	require.Equal(t, "failed", string(checks[0].ModelKnown))
	require.Equal(t, "model_not_found", string(checks[0].Reason))
	require.True(t, checks[1].OK)

	out, code = checkProviders(t, "--providers", file, "good") // private addresses are closed
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, "reachable failed")
	require.Contains(t, out, "Request blocked: ")
}
