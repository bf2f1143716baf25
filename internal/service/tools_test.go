package service_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/almyty-inc/toolrun/runner"
)

// plainTools need no network.
func plainTools(t testing.TB) runner.Options {
	t.Helper()
	options := runner.Options{}
	for _, yaml := range []string{
		"name: echo\ntype: javascript\ncode: return parameters",
		"name: fail\ntype: javascript\ncode: throw new Error('boom')",
		"name: price\ntype: javascript\ncode: return parameters.quantity * 2\n" +
			"parameters: {type: object, properties: {quantity: {type: integer}}, required: [quantity]}",
		"name: off\ntype: javascript\nstatus: inactive\ncode: return 1",
		"name: scarce\ntype: javascript\ncode: return 1\nconfiguration: {rateLimit: {requestsPerHour: 1}}",
		"name: spin\ntype: javascript\ncode: for (;;) {}\nconfiguration: {timeout: 50}",
	} {
		options.Tools = append(options.Tools, define(t, yaml))
	}
	ours := define(t, "name: ours\ntype: javascript\ncode: return 'ours'")
	ours.Organization = "acme"
	options.Tools = append(options.Tools, ours)
	return options
}

// refusedAddress is a loopback address whose port refuses connections. Nothing
// listens on port 1, and no test that runs beside this one gets it.
const refusedAddress = "127.0.0.1:1"

// gate is an upstream that answers only once it is opened.
type gate struct {
	*httptest.Server
	arrived chan struct{} // one value a request
	gone    chan struct{} // one value a request that was given up
	open    func()
}

func newGate(t testing.TB) *gate {
	t.Helper()
	opened := make(chan struct{})
	g := &gate{
		arrived: make(chan struct{}, 1024), gone: make(chan struct{}, 1024),
		open: sync.OnceFunc(func() { close(opened) }),
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.arrived <- struct{}{}
		select {
		case <-opened:
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`"opened"`))
		case <-r.Context().Done():
			g.gone <- struct{}{}
		}
	}))
	t.Cleanup(func() {
		g.open()
		g.Close()
	})
	return g
}

// tool calls the gate.
func (g *gate) tool(t testing.TB) runner.Options {
	t.Helper()
	options := runner.Options{Tools: []*runner.Definition{
		define(t, "name: wait\ntype: http\nexecutionConfig: {method: GET, url: '"+g.URL+"/', timeout: 60000}"),
	}}
	options.Egress.Allow = []string{g.Listener.Addr().String()}
	return options
}
