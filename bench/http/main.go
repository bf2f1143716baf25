// Command http compares an HTTP tool, run by a runner with all its steps, with a
// bare net/http client that does the same work by hand: request built, answer read
// under a limit, JSON decoded and the wanted part of it encoded. Package duel says
// how.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/bench/internal/duel"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/runner"
)

// workloads are what the upstream answers, and the definition's part about it.
var workloads = []struct{ name, path, mapping, body string }{
	{"13 bytes, passed on", "/small", "", `{"rate":0.94}`},
	{"3 KB, a list picked out", "/list", "\n  responseMapping: {dataPath: items}",
		`{"items":[` + strings.Repeat(`{"id":1234,"name":"some name","price":12.5,"tags":["a","b"]},`, 50) + `{}],"next":null}`},
}

func main() {
	upstream := http.NewServeMux()
	for _, w := range workloads {
		upstream.HandleFunc(w.path, func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(out, w.body)
		})
	}
	duel.Main("bench/http", upstream, pairs)
}

func pairs(address string) ([]duel.Pair, error) {
	var all []duel.Pair
	for _, w := range workloads {
		tool, closeTool, err := tool(address, w.path, w.mapping)
		if err != nil {
			return nil, err
		}
		bare, closeBare := bare(address, w.path, w.mapping != "")
		all = append(all, duel.Pair{Work: w.name, BareName: "net/http", Bare: bare, Tool: tool, Close: func() { closeTool(); closeBare() }})
	}
	alone, closeAlone, err := alone(address, workloads[0].path)
	if err != nil {
		return nil, err
	}
	bare, closeBare := bare(address, workloads[0].path, false)
	return append(all, duel.Pair{
		Work: workloads[0].name + ", httptool without a runner", BareName: "net/http", Bare: bare, Tool: alone,
		Close: func() { closeAlone(); closeBare() },
	}), nil
}

// alone is package httptool by itself.
func alone(address, path string) (duel.Call, func(), error) {
	transport, err := httptool.NewTransport(httptool.Policy{Allow: []string{address}})
	if err != nil {
		return nil, nil, err
	}
	tool, faults := httptool.Compile(httptool.Config{URL: "http://" + address + path, QueryParams: map[string]any{"q": "{{parameters.q}}"}}, nil, nil)
	if len(faults) > 0 {
		return nil, nil, errors.New(faults[0].Message)
	}
	return func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		answer, err := tool.Run(ctx, transport, httptool.Input{Parameters: map[string]any{"q": "a b"}})
		if err != nil {
			return nil, err
		}
		return answer.Value, nil
	}, transport.CloseIdleConnections, nil
}

func tool(address, path, mapping string) (duel.Call, func(), error) {
	def, err := runner.Parse("tool.yaml", []byte("name: tool\ntype: http\nexecutionConfig:\n  url: http://"+address+path+
		"\n  queryParams: {q: '{{parameters.q}}'}"+mapping+"\nparameters: {type: object, required: [q], properties: {q: {type: string}}}\n"))
	if err != nil {
		return nil, nil, err
	}
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{def}, Egress: httptool.Policy{Allow: []string{address}}})
	if err != nil {
		return nil, nil, err
	}
	request := runner.Request{Tool: "tool", Parameters: []byte(`{"q":"a b"}`)}
	return duel.Execution(r, request), func() { _ = r.Close(context.Background()) }, nil
}

func bare(address, path string, pick bool) (duel.Call, func()) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		query := url.Values{"q": {"a b"}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path+"?"+query.Encode(), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 10<<20))
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, errors.New(resp.Status)
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			return nil, err
		}
		if !pick {
			return body, nil
		}
		return json.Marshal(value.(map[string]any)["items"])
	}, client.CloseIdleConnections
}
