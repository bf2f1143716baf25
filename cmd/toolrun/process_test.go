package main

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// An interrupted test run still says what it knows.
func TestInterruptedTestReports(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "get.yaml"), []byte(`
name: get
type: http
executionConfig: {url: 'https://api.example.com/'}
examples:
  - {name: quick, upstream: {json: 1}}
  - {name: slow, upstream: {delay: 60000}}
`), 0o644))
	report := filepath.Join(dir, "report.xml")
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "toolrun", "test", "--junit", report, dir)
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "nothing was reported")
	require.Contains(t, lines.Text(), "ok   get/quick")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.True(t, lines.Scan(), "there is no summary")
	require.Contains(t, lines.Text(), "1 passed in ")
	_ = cmd.Wait()
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode(), stderr.String())
	require.Contains(t, stderr.String(), "toolrun: interrupted")
	written, err := os.ReadFile(report)
	require.NoError(t, err)
	require.Contains(t, string(written), `name="quick"`)
}

// A proxy that answers for everybody is not a service that is ready.
func TestHealthcheckAsksNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer proxy.Close()
	cmd := exec.CommandContext(t.Context(), "toolrun", "healthcheck", "--addr", "service.invalid:80")
	cmd.Env = append(os.Environ(), "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL)
	text, err := cmd.CombinedOutput()
	require.Error(t, err, string(text))
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode(), "Docker has reserved 2")
}
