package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/almyty-inc/toolrun/sandbox"
)

// The test binary is its own toolrun: scripts and tests run it as a child.
// Leaks of goroutines are checked in the packages that start some; a command's
// end with its process.
func TestMain(m *testing.M) {
	sandbox.Init()
	// The race detector's second of waiting, at the end of each process, is most of what
	// they would take.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	testscript.Main(m, map[string]func(){"toolrun": func() { os.Exit(Main()) }})
}

func TestScripts(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(provider.Close)
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, Setup: func(env *testscript.Env) error {
		env.Setenv("GORACE", os.Getenv("GORACE"))
		env.Setenv("PROVIDER", provider.Listener.Addr().String())
		file := "providers: [{id: stub, type: openai, model: m, baseUrl: " + provider.URL + "}]\n"
		return os.WriteFile(env.WorkDir+"/stub.yaml", []byte(file), 0o600)
	}})
}

// answer is a provider that streams what it is asked for: the user's prompt is
// the events, each in a line.
func answer(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Messages []struct{ Content string }
		Stream   bool
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Messages) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if !request.Stream {
		fmt.Fprint(w, `{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}`)
		return
	}
	for event := range strings.Lines(request.Messages[len(request.Messages)-1].Content) {
		fmt.Fprintf(w, "data: %s\n\n", strings.TrimSpace(event))
		w.(http.Flusher).Flush()
	}
}
