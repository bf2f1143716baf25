// Command bench compares toolrun with other ways to run a piece of JavaScript in
// a realm of its own, all in one run on one machine, and prints a Markdown table
// for each workload. Run it through bench/run, which installs the node packages.
// README.md says what is measured.
package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/sandbox"
)

//go:embed workloads
var files embed.FS

var workloads = []struct{ name, title string }{
	{"pricing", "pricing: a small tool, 138 bytes of parameters"},
	{"transform", "transform: group, sum and sort 100 KB of orders"},
	{"sieve", "sieve: the primes up to 50,000"},
}

var rows = []struct {
	key, title string
	node       []string // arguments of node; nil for one that runs in Go
}{
	{"process", "**toolrun, process**", nil},
	{"inline", "toolrun, inline", nil},
	{"goja", "raw goja, new runtime", nil},
	{"worker", "node worker_threads, new Worker", []string{"peer.mjs", "worker"}},
	{"isolate", "isolated-vm, new isolate", []string{"--no-node-snapshot", "peer.mjs", "isolate"}},
	{"context", "isolated-vm, one isolate, new context", []string{"--no-node-snapshot", "peer.mjs", "context"}},
	{"quickjs", "quickjs-emscripten, new runtime", []string{"peer.mjs", "quickjs"}},
	{"vm", "node:vm, new context (no sandbox)", []string{"peer.mjs", "vm"}},
}

// peers is the folder of peer.mjs and its node_modules, seen from the project's root.
const peers = "bench/peers"

// patience is how long a measurement may take beside its time.
const patience = time.Minute

func main() {
	sandbox.Init()
	perMeasurement := flag.Duration("time", time.Second, "how long a warm-up and a measurement last each (at least one execution)")
	only := flag.String("only", "", "measure those alone whose workload/contender matches this regular expression, as in pricing/(process|goja)")
	rounds := flag.Int("rounds", 3, "how many times each contender is measured")
	serveAs := flag.String("serve", "", "be a measuring process for this contender (the command starts those itself)")
	flag.Parse()
	var err error
	if prepare, found := goContenders[*serveAs]; found {
		err = serve(prepare)
	} else {
		err = compare(*perMeasurement, *rounds, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// compare measures and prints everything. The rounds take turns, so that a slow
// moment of the machine doesn't hit one contender alone.
func compare(d time.Duration, rounds int, only string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	node, err := exec.Command("node", "--version").Output()
	if err != nil {
		node = []byte("none")
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s; %s/%s, %d cores, %s; %s, node %s; best of %d rounds of %v; load average at the start: %.4s\n",
		time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), field("/proc/cpuinfo", "model name"),
		runtime.Version(), strings.TrimSpace(string(node)), rounds, d, load)
	for _, w := range workloads {
		j := job{Name: w.name, Time: d, Parallel: 1}
		for suffix, text := range map[string]*string{".js": &j.Source, ".json": &j.Parameters, ".expected.json": &j.Expected} {
			content, err := files.ReadFile("workloads/" + w.name + suffix)
			if err != nil {
				return err
			}
			*text = strings.TrimSpace(string(content))
		}
		results := make(map[string][]measurement)
		for round := range rounds {
			for _, row := range rows {
				name := w.name + "/" + row.key
				if !chosen.MatchString(name) {
					continue
				}
				fmt.Fprintf(os.Stderr, "%s, round %d\n", name, round+1)
				m, err := measureRow(j, row.key, row.node)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				results[row.key] = append(results[row.key], m)
			}
		}
		printTable(w.title, results)
	}
	return nil
}

// measureRow measures the latency and the memory of one execution at a time, and
// then what all cores do together: goroutines of one process in Go, a process for
// each core in node.
func measureRow(j job, key string, node []string) (measurement, error) {
	self, err := os.Executable()
	if err != nil {
		return measurement{}, err
	}
	command := func(ctx context.Context) *exec.Cmd {
		if node == nil {
			return exec.CommandContext(ctx, self, "-serve", key)
		}
		cmd := exec.CommandContext(ctx, "node", node...)
		cmd.Dir = peers
		return cmd
	}
	m, err := together(j, 1, command)
	if errors.Is(err, exec.ErrNotFound) {
		return measurement{Missing: err.Error()}, nil
	}
	if err != nil || m.Missing != "" {
		return m, err
	}
	processes := runtime.GOMAXPROCS(0)
	if node == nil {
		j.Parallel, processes = processes, 1
	}
	all, err := together(j, processes, command)
	m.PerSecond = all.PerSecond
	return m, err
}

// together runs measuring processes that start at the same time, and adds up
// their executions per second; the rest is that of the last.
func together(j job, n int, command func(context.Context) *exec.Cmd) (measurement, error) {
	order, err := json.Marshal(j)
	if err != nil {
		return measurement{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*j.Time+patience)
	defer cancel() // kills those that are left behind after an error
	processes, outputs := make([]*exec.Cmd, n), make([]bytes.Buffer, n)
	for i := range processes {
		p := command(ctx)
		p.Stdin, p.Stdout, p.Stderr = bytes.NewReader(order), &outputs[i], os.Stderr
		if err := p.Start(); err != nil {
			return measurement{}, err
		}
		processes[i] = p
	}
	var m measurement
	total := 0.0
	for i, p := range processes {
		if err := p.Wait(); err != nil {
			return measurement{}, fmt.Errorf("the measuring process: %w", err)
		}
		if err := json.Unmarshal(outputs[i].Bytes(), &m); err != nil {
			return measurement{}, fmt.Errorf("what the measuring process says: %w", err)
		}
		total += m.PerSecond
	}
	m.PerSecond = total
	return m, nil
}
