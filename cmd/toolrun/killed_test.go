//go:build unix

package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// acknowledged is an execution that a client was told of.
type acknowledged struct {
	tool, key, body string
	id              string
	answer          string // of a synchronous one
	document        string // once it was seen as done
}

// A service that is killed under load, again and again, comes back with all that it said
// it had: executions with one outcome each, keys, definitions. What isn't idempotent never
// ran twice.
func TestKilledService(t *testing.T) {
	const rounds, clients, wanted = 3, 8, 40
	upstream := newCounter(t)
	request := "type: http\nexecutionConfig: {method: POST, url: '" + upstream.URL + "/{{parameters.call}}'}\nconfiguration: {idempotent: %v}\n"
	dir := t.TempDir()
	args := []string{"serve", "--data", dir, "--auth", "--lease", "1s", "--allow", strings.TrimPrefix(upstream.URL, "http://"), "--tools", toolsOf(t, map[string]string{
		"charge": fmt.Sprintf(request, false), "lookup": fmt.Sprintf(request, true),
	})}
	admin := keysOf(t, "create", "--data", dir, "--organization", "acme", "--role", "admin", "--name", "tests")

	var mu sync.Mutex
	var all []*acknowledged
	var number atomic.Int64
	var revoked string
	tools := []string{"charge", "lookup"}
	for round := range rounds + 1 {
		began := time.Now()
		n := startNode(t, args...)
		n.key = admin
		n.must(t, 200, "GET", "/readyz", "")
		require.Less(t, time.Since(began), 20*time.Second, "ready again")

		if round > 0 {
			n.must(t, 401, "GET", "/tools", "", "Authorization", "Bearer "+revoked)
			_, text := n.must(t, 200, "GET", "/organizations/acme/tools/greet/versions", "")
			require.Len(t, dataOf[[]any](t, text), round, text)
			_, text = n.must(t, 200, "POST", "/tools/greet/execute", "{}")
			require.Contains(t, text, fmt.Sprintf(`"result":"version %d"`, round))
		}
		for _, e := range all {
			n.requireOutcome(t, e)
		}
		if round == rounds {
			break
		}
		n.change(t, round)
		_, text := n.must(t, 201, "POST", "/organizations/acme/keys", `{"name":"short-lived","role":"viewer"}`)
		made := dataOf[struct{ ID, Key string }](t, text)
		n.must(t, 200, "GET", "/tools", "", "Authorization", "Bearer "+made.Key)
		keysOf(t, "revoke", "--data", dir, "--organization", "acme", made.ID)
		revoked = made.Key

		enough := make(chan struct{}, clients*wanted*10)
		var load sync.WaitGroup
		for range clients {
			load.Go(func() {
				for {
					i := number.Add(1)
					e := &acknowledged{tool: tools[i%2], key: fmt.Sprint("key ", i), body: fmt.Sprintf(`{"parameters":{"call":"c%d"}}`, i)}
					resp, text, err := n.submit(e, i%4 < 2)
					if err != nil { // the end
						return
					}
					if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
						t.Errorf("%d: %s", resp.StatusCode, text)
						return
					}
					e.id = resp.Header.Get("X-Execution-Id")
					if resp.StatusCode == http.StatusOK {
						e.answer = text
					}
					mu.Lock()
					all = append(all, e)
					mu.Unlock()
					enough <- struct{}{}
				}
			})
		}
		for range wanted {
			<-enough
		}
		n.kill()
		load.Wait()
	}
	outcomes := make(map[bool]int)
	for _, e := range all {
		var call string
		_, err := fmt.Sscanf(e.body, `{"parameters":{"call":"%s`, &call)
		require.NoError(t, err)
		calls, success := upstream.of("/"+strings.TrimRight(call, `"}`)), strings.Contains(e.document, `"result":"done"`)
		outcomes[success]++
		switch {
		case e.tool == "charge" && !success:
			require.Contains(t, e.document, `"reason":"worker_lost"`)
			require.LessOrEqual(t, calls, 1, e.document)
		case e.tool == "charge":
			require.Equal(t, 1, calls, e.document)
		default:
			require.True(t, success, e.document)
			require.GreaterOrEqual(t, calls, 1)
		}
	}
	t.Logf("%d executions: %d succeeded, %d were lost with their worker", len(all), outcomes[true], outcomes[false])
}

func (n *startedNode) submit(e *acknowledged, later bool) (*http.Response, string, error) {
	path := "/tools/" + e.tool + "/execute"
	if later {
		path += "?mode=async"
	}
	return n.ask("POST", path, e.body, "Idempotency-Key", e.key)
}

// requireOutcome requires that an execution has the outcome it had, or gets one, and that
// its key still stands for it.
func (n *startedNode) requireOutcome(t *testing.T, e *acknowledged) {
	t.Helper()
	var document string
	require.Eventually(t, func() bool {
		_, document = n.must(t, 200, "GET", "/executions/"+e.id, "")
		return strings.Contains(document, `"state":"done"`)
	}, time.Minute, 20*time.Millisecond, "%s of %s has no outcome", e.id, e.tool)
	if e.document == "" {
		e.document = document
	}
	require.Equal(t, e.document, document)
	resp, answer, err := n.submit(e, false)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, answer)
	require.Equal(t, e.id, resp.Header.Get("X-Execution-Id"))
	require.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))
	if e.answer != "" {
		require.Equal(t, e.answer, answer)
	}
	require.Contains(t, document, `"outcome":`+strings.TrimSpace(answer))
}

// change makes the next version of a definition.
func (n *startedNode) change(t *testing.T, round int) {
	t.Helper()
	code := fmt.Sprintf(`"code":"return 'version %d'"`, round+1)
	if round == 0 {
		n.must(t, 201, "POST", "/organizations/acme/tools", `{"name":"greet","type":"javascript",`+code+`}`)
		return
	}
	n.must(t, 200, "PATCH", "/organizations/acme/tools/greet", "{"+code+"}")
}
