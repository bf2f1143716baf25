package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
)

// A real process: it serves, drains on SIGTERM while an execution is in flight,
// turns new ones away meanwhile, and exits with 0.
func TestServeDrains(t *testing.T) {
	entered, answer := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-answer
		fmt.Fprint(w, "done")
	}))
	defer upstream.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"slow.yaml":  "name: slow\ntype: http\nexecutionConfig: {url: '" + upstream.URL + "'}\n",
		"quick.yaml": "name: quick\ntype: javascript\ncode: return 'quick'\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	cmd, base := startServe(t, "--tools", dir, "--allow", strings.TrimPrefix(upstream.URL, "http://"))

	client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	post := func(tool string) (int, string) {
		resp, err := client.Post(base+"/tools/"+tool+"/execute", "application/json", strings.NewReader(`{"parameters":{}}`))
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0, err.Error()
		}
		return resp.StatusCode, string(body)
	}
	status, body := post("quick")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"result":"quick"`)
	requireConventionalMetrics(t, client, base)

	inFlight := make(chan string, 1)
	go func() {
		_, body := post("slow")
		inFlight <- body
	}()
	<-entered
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		status, body = post("quick")
		return status == http.StatusServiceUnavailable
	}, 20*time.Second, 5*time.Millisecond)
	require.Contains(t, body, `"error":"SERVICE_UNAVAILABLE","statusCode":503`)

	close(answer)
	require.Contains(t, <-inFlight, `"result":"done"`)
	require.NoError(t, cmd.Wait())
}

// requireConventionalMetrics holds what Prometheus scrapes to its conventions.
func requireConventionalMetrics(t *testing.T, client *http.Client, base string) {
	t.Helper()
	resp, err := client.Get(base + "/metrics")
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	require.Contains(t, string(text), "toolrun_executions_total{")
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NotContains(t, string(text), "quick", "no label holds what users choose")
}

// A drain that cut something off is a failure of the service, not of the command
// line.
func TestServeIncompleteDrainFails(t *testing.T) {
	entered := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}))
	defer upstream.Close()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slow.yaml"), []byte("name: slow\ntype: http\nexecutionConfig: {url: '"+upstream.URL+"'}\n"), 0o644))
	cmd, base := startServe(t, "--tools", dir, "--allow", strings.TrimPrefix(upstream.URL, "http://"), "--drain-timeout", "50")
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Post(base+"/tools/slow/execute", "application/json", strings.NewReader("{}"))
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-answered)
	_ = cmd.Wait()
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode())
	http.DefaultClient.CloseIdleConnections()
}

// A name that the flag adds is served; others are told of the flag.
func TestServeHost(t *testing.T) {
	cmd, base := startServe(t, "--tools", "../../testdata/tools", "--host", "tools.example", "--host", "other.example")
	client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for host, status := range map[string]int{"tools.example:8080": 200, "other.example": 200, "evil.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/healthz", nil)
		require.NoError(t, err)
		req.Host = host
		resp, err := client.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, errors.Join(err, resp.Body.Close()))
		require.Equal(t, status, resp.StatusCode, "%s: %s", host, body)
		require.Equal(t, status == 403, strings.Contains(string(body), "--host NAME"), "%s: %s", host, body)
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}

// startServe starts "toolrun serve" on a free port and returns its base URL.
func startServe(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	path, err := exec.LookPath("toolrun") // the test binary, put there by testscript.Main
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, path, append([]string{"serve", "--addr", "127.0.0.1:0", "--log-format", "json"}, args...)...)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stderr)
	require.True(t, lines.Scan(), "the service said nothing")
	var line struct{ Msg, Addr string }
	require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
	require.Equal(t, "serving", line.Msg)
	said := &lineBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said.String())
		}
	})
	go func() {
		for lines.Scan() { // keep the pipe from filling
			said.add(lines.Text())
		}
	}()
	return cmd, "http://" + line.Addr
}

// lineBuffer keeps what a process says.
type lineBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lineBuffer) add(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.WriteString(line + "\n")
}

func (b *lineBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
