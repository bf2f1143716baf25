package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The two clients of the error reference, against a real process: what it promises them
// is what they meet, in each of their branches.
func TestSampleClients(t *testing.T) {
	data := t.TempDir()
	cmd, base := startServe(t, "--tools", "../../testdata/tour", "--data", data, "--auth")
	key := func(organization string, more ...string) string {
		args := append([]string{"keys", "create", "--data", data, "--organization", organization, "--name", "client", "--role", "viewer"}, more...)
		create := exec.CommandContext(t.Context(), "toolrun", args...)
		var stderr bytes.Buffer
		create.Stderr = &stderr
		out, err := create.Output()
		require.NoError(t, err, stderr.String())
		return strings.TrimSpace(string(out))
	}
	acme := key("acme")
	const refused = "http://127.0.0.1:1" // nothing listens on port 1

	client := func(t *testing.T, name string, program sample) {
		t.Parallel()
		python := name != "javascript"
		scarce := key("acme", "--requests-per-minute", "60") // one a second
		for _, c := range []struct {
			name, url, token string
			said, js         string // js: what that client prints beside
		}{
			{"ok", base + "/tools", acme, "ok", ""},
			{"unauthorized", base + "/tools", "ak_live_nobody", "Error 401: Invalid or expired token", "login"},
			{"no token", base + "/tools", "", "Error 401: ", "login"},
			{"bad request", base + "/tools?limit=0", acme, "Error 400: Query parameter limit must be a number from 1 to 1000", ""},
			{"forbidden", base + "/organizations/globex/tools", acme, "Error 403: No access to this organization", ""},
			{"not found", base + "/tools/nope", acme, "Error 404: Tool not found", ""},
			{"no route", base + "/agents", acme, "Error 404: Route not found", ""},
			{"wrong method", base + "/tools/nope/execute", acme, "Error 405: Method not allowed: use POST", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				stdout, stderr, code := program.run(t, c.url, c.token)
				require.Zero(t, code, stderr)
				switch {
				case c.said == "ok":
					require.Equal(t, "ok true", strings.ToLower(strings.TrimSpace(stdout)))
					require.Empty(t, stderr)
				case python:
					require.True(t, strings.HasPrefix(stdout, c.said), stdout)
				default:
					require.True(t, strings.HasPrefix(stderr, c.said), stderr)
					require.Equal(t, c.js, strings.TrimSpace(stdout))
				}
			})
		}
		t.Run("network error", func(t *testing.T) {
			stdout, stderr, code := program.run(t, refused, acme)
			if python { // the reference's client handles none: it must not look like an answer
				require.NotZero(t, code)
				require.Empty(t, stdout)
				require.Contains(t, stderr, "refused")
				return
			}
			require.Zero(t, code)
			require.Equal(t, "network error\n", stdout)
			require.True(t, strings.HasPrefix(stderr, "Network error: TypeError: fetch failed"), stderr)
		})
		t.Run("rate limited", func(t *testing.T) {
			limited := program.runLimited(t, base+"/tools", scarce)
			if python {
				require.Regexp(t, `^Error 429: Rate limit exceeded\. Retry after \d+ seconds?\.\n$`, limited.stdout)
				return
			}
			require.Regexp(t, `^(Error 429: Rate limit exceeded\. Retry after \d+ seconds?\.\n)+$`, limited.stderr)
			require.Regexp(t, `^(wait \d+\n)+ok true\n$`, limited.stdout, "it waits as told, and then gets through")
			told, err := strconv.Atoi(strings.Fields(limited.stdout)[1])
			require.NoError(t, err)
			require.GreaterOrEqual(t, limited.took, time.Duration(told)*time.Second)
		})
	}
	t.Run("programs", func(t *testing.T) { // all of them, before the service ends
		for name, program := range samplePrograms(t) {
			t.Run(name, func(t *testing.T) { client(t, name, program) })
		}
	})
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}

// sample is one of the clients, as it is run.
type sample struct{ command, env []string }

// samplePrograms are the clients that this machine can run; in CI, all. The Python one
// runs with a stand-in for requests everywhere, and with the real one where that is
// installed: which it is, is no matter of this repository's.
func samplePrograms(t *testing.T) map[string]sample {
	t.Helper()
	clients, err := filepath.Abs("../../testdata/clients")
	require.NoError(t, err)
	programs := make(map[string]sample)
	if found(t, "node") {
		programs["javascript"] = sample{command: []string{"node", filepath.Join(clients, "client.js")}}
	}
	if !found(t, "python3") {
		return programs
	}
	command := []string{"python3", "-B", filepath.Join(clients, "client.py")}
	programs["python with the stand-in"] = sample{command, []string{"PYTHONPATH=" + filepath.Join(clients, "fallback")}}
	if out, err := exec.CommandContext(t.Context(), "python3", "-c", "import requests").CombinedOutput(); err != nil {
		t.Logf("python3 has no requests; only the stand-in is used: %s", out)
		return programs
	}
	programs["python"] = sample{command: command}
	return programs
}

func found(t *testing.T, program string) bool {
	t.Helper()
	_, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") != "" {
		require.NoError(t, err, "the clients of the error reference need it")
	}
	if err != nil {
		t.Logf("no %s: its client isn't tested", program)
	}
	return err == nil
}

func (s sample) start(t *testing.T, url, token string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Env = append(append(os.Environ(), "URL="+url, "TOKEN="+token, "NO_PROXY=127.0.0.1"), s.env...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	require.NoError(t, cmd.Start())
	return cmd, stdout, stderr
}

func (s sample) run(t *testing.T, url, token string) (stdout, stderr string, code int) {
	t.Helper()
	cmd, out, faults := s.start(t, url, token)
	_ = cmd.Wait() // the exit code says it
	return out.String(), faults.String(), cmd.ProcessState.ExitCode()
}

type limitedRun struct {
	stdout, stderr string
	took           time.Duration
}

// runLimited runs the client while others use its key up, until the client is told so.
// It may find a moment that they left: then it is run again.
func (s sample) runLimited(t *testing.T, url, token string) limitedRun {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	spend := func() (refused bool) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode == http.StatusTooManyRequests
	}
	for attempt := range 5 {
		for !spend() {
		}
		start := time.Now()
		cmd, stdout, stderr := s.start(t, url, token)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait()
		}()
		until := time.After(time.Second << attempt) // so that a slow start is met, too
		for spending := true; spending; {
			select {
			case <-ended:
				spending = false
			case <-until:
				spending = false
			default:
				spend()
			}
		}
		<-ended
		if strings.Contains(stdout.String()+stderr.String(), "429") {
			return limitedRun{stdout.String(), stderr.String(), time.Since(start)}
		}
	}
	require.FailNow(t, "the client never met the limit")
	return limitedRun{}
}
