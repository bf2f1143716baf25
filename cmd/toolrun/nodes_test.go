//go:build unix

package main

import (
	"bufio"
	"encoding/json"
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

	"github.com/stretchr/testify/require"
)

// startedNode is a toolrun process in a process group of its own.
type startedNode struct {
	*exec.Cmd
	url    string // of a service
	said   *lineBuffer
	client *http.Client
	key    string
}

// startNode starts a service or a worker and waits until it says that it is at work.
func startNode(t *testing.T, args ...string) *startedNode {
	t.Helper()
	path, err := exec.LookPath("toolrun")
	require.NoError(t, err)
	n := &startedNode{Cmd: exec.Command(path, args...), said: &lineBuffer{}}
	n.Args = append(n.Args, "--log-format", "json")
	if args[0] == "serve" {
		n.Args = append(n.Args, "--addr", "127.0.0.1:0")
	}
	n.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := n.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, n.Start())
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Log(n.said.String())
		}
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		n.said.add(lines.Text())
		var line struct{ Msg, Addr string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		if line.Msg == "serving" || line.Msg == "working" {
			n.url = "http://" + line.Addr
			break
		}
	}
	require.NotEmpty(t, n.url, "it never said that it works")
	go func() {
		for lines.Scan() {
			n.said.add(lines.Text())
		}
	}()
	n.client = &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	t.Cleanup(n.client.CloseIdleConnections)
	return n
}

// kill ends the node and its children without a chance to say anything.
func (n *startedNode) kill() {
	_ = syscall.Kill(-n.Process.Pid, syscall.SIGKILL) // or it is gone
	_ = n.Wait()
}

// ask sends a request; header is name, value, name…
func (n *startedNode) ask(method, path, body string, header ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if n.key != "" {
		req.Header.Set("Authorization", "Bearer "+n.key)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// must is ask where there has to be an answer with this status.
func (n *startedNode) must(t *testing.T, status int, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, text, err := n.ask(method, path, body, header...)
	require.NoError(t, err)
	require.Equal(t, status, resp.StatusCode, text)
	return resp, text
}

// dataOf is the data of a document.
func dataOf[T any](t *testing.T, document string) (data T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(document), &struct{ Data *T }{&data}), document)
	return data
}

// keysOf runs "toolrun keys" and returns what it prints.
func keysOf(t *testing.T, args ...string) string {
	t.Helper()
	text, err := exec.Command("toolrun", append([]string{"keys"}, args...)...).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// counter is an upstream that counts the requests of each path.
type counter struct {
	*httptest.Server
	mu    sync.Mutex
	calls map[string]int
}

func newCounter(t *testing.T) *counter {
	c := &counter{calls: make(map[string]int)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.calls[r.URL.Path]++
		c.mu.Unlock()
		time.Sleep(30 * time.Millisecond) // so that some are under way whenever the end comes
		fmt.Fprint(w, "done")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counter) of(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[path]
}

// toolsOf writes definitions, by their names.
func toolsOf(t *testing.T, definitions map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range definitions {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("name: "+name+"\n"+text), 0o600))
	}
	return dir
}
