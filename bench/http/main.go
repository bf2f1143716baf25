// Command http compares an HTTP tool, run by a runner with all its steps, with a
// bare net/http client that does the same work by hand: request built, answer read
// under a limit, JSON decoded and the wanted part of it encoded. Both call the same
// upstream, a process of its own on loopback, in turns, and the table has the
// median of the rounds' ratios.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

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
	serve := flag.Bool("upstream", false, "be the upstream (the command starts it itself)")
	each := flag.Duration("time", 400*time.Millisecond, "how long a contender runs in a round")
	rounds := flag.Int("rounds", 9, "how many rounds")
	flag.Parse()
	err := error(nil)
	if *serve {
		err = upstream()
	} else {
		err = compare(*each, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/http:", err)
		os.Exit(1)
	}
}

// upstream prints its address and serves until its stdin ends.
func upstream() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	for _, w := range workloads {
		http.HandleFunc(w.path, func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "application/json")
			io.WriteString(out, w.body)
		})
	}
	fmt.Println(l.Addr())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); l.Close() }()
	if err := http.Serve(l, nil); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func startUpstream() (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(self, "-upstream")
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(line), func() { in.Close(); _ = cmd.Wait() }, err
}

// call does one request and returns the JSON that was asked for.
type call func() ([]byte, error)

// compare prints one table.
func compare(each time.Duration, rounds int) error {
	address, stop, err := startUpstream()
	if err != nil {
		return err
	}
	defer stop()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d cores, %s, %d rounds of %s, load average at the start %.4s\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOMAXPROCS(0), runtime.Version(), rounds, each, load)
	fmt.Println("| answer | at once | | p50 | p99 | requests/s | allocations | bytes | time to bare |")
	fmt.Println("| --- | --: | --- | --: | --: | --: | --: | --: | --: |")
	for _, w := range workloads {
		tool, closeTool, err := tool(address, w.path, w.mapping)
		if err != nil {
			return err
		}
		bare, closeBare := bare(address, w.path, w.mapping != "")
		for _, parallel := range []int{1, 64} {
			if err := row(w.name, parallel, each, rounds, bare, tool); err != nil {
				return err
			}
		}
		closeTool()
		closeBare()
	}
	return nil
}

func tool(address, path, mapping string) (call, func(), error) {
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
	return func() ([]byte, error) {
		result, err := r.Execute(context.Background(), request)
		if err != nil {
			return nil, err
		}
		if result.Failure != nil {
			return nil, result.Failure
		}
		return result.Value, nil
	}, func() { _ = r.Close(context.Background()) }, nil
}

func bare(address, path string, pick bool) (call, func()) {
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

// measurement is what one contender did in one round.
type measurement struct {
	p50, p99          time.Duration
	perSecond         float64
	allocations, size float64 // per call
}

func row(name string, parallel int, each time.Duration, rounds int, bare, tool call) error {
	var bares, tools []measurement
	var ratios []float64
	for range rounds + 1 { // the first warms up
		b, err := measure(bare, parallel, each)
		if err != nil {
			return err
		}
		t, err := measure(tool, parallel, each)
		if err != nil {
			return err
		}
		bares, tools, ratios = append(bares, b), append(tools, t), append(ratios, b.perSecond/t.perSecond)
	}
	slices.Sort(ratios[1:])
	print := func(who string, all []measurement, ratio string) {
		all = all[1:]
		slices.SortFunc(all, func(a, b measurement) int { return int(a.p50 - b.p50) })
		m := all[len(all)/2]
		fmt.Printf("| %s | %d | %s | %.0f µs | %.0f µs | %.0f | %.0f | %.0f | %s |\n", name, parallel, who,
			float64(m.p50)/1e3, float64(m.p99)/1e3, m.perSecond, m.allocations, m.size, ratio)
	}
	print("bare net/http", bares, "1")
	print("**toolrun**", tools, fmt.Sprintf("**%.2f**", ratios[1:][rounds/2]))
	return nil
}

// measure calls for a time, with so many calls at once.
func measure(do call, parallel int, d time.Duration) (measurement, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var mu sync.Mutex
	var samples []time.Duration
	var failure error
	var wg sync.WaitGroup
	start := time.Now()
	for range parallel {
		wg.Go(func() {
			mine := make([]time.Duration, 0, 1<<14)
			var err error
			for begin := start; err == nil && begin.Sub(start) < d; {
				begin = time.Now()
				_, err = do()
				mine = append(mine, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			samples, failure = append(samples, mine...), errors.Join(failure, err)
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	slices.Sort(samples)
	n := float64(len(samples))
	return measurement{
		p50: samples[len(samples)/2], p99: samples[len(samples)*99/100], perSecond: n / elapsed.Seconds(),
		allocations: float64(after.Mallocs-before.Mallocs) / n, size: float64(after.TotalAlloc-before.TotalAlloc-uint64(parallel)<<17) / n,
	}, failure
}
