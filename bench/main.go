// Command bench compares toolrun with other ways to run a piece of JavaScript in
// a realm of its own, all in one run on one machine, and prints a Markdown table
// for each workload. Run it through bench/run, which installs the node packages.
// README.md says what is measured.
package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
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
	{"sieve", "sieve: the primes up to 100,000"},
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

// patience is how long a measurement may take beside its time.
const patience = time.Minute

func main() {
	sandbox.Init()
	perMeasurement := flag.Duration("time", time.Second, "how long each measurement lasts, at least one execution")
	only := flag.String("only", "", "measure those alone whose workload/contender matches this regular expression, as in pricing/(process|goja)")
	peers := flag.String("peers", "bench/peers", "the folder of peer.mjs and its node_modules")
	serveAs := flag.String("serve", "", "be a measuring process for this contender (the command starts those itself)")
	flag.Parse()
	var err error
	if c, found := goContenders[*serveAs]; found {
		err = serve(c)
	} else {
		err = compare(*perMeasurement, *only, *peers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// compare measures and prints everything.
func compare(d time.Duration, only, peers string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	cores := runtime.GOMAXPROCS(0)
	node, err := exec.Command("node", "--version").Output()
	if err != nil {
		node = []byte("not found")
	}
	fmt.Printf("%s, %s/%s, %d cores, %s, node %s, %v a measurement\n",
		time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, cores, runtime.Version(), strings.TrimSpace(string(node)), d)
	for _, w := range workloads {
		j := job{Name: w.name, Time: d, Parallel: 1}
		for suffix, text := range map[string]*string{".js": &j.Source, ".json": &j.Parameters, ".expected.json": &j.Expected} {
			content, err := files.ReadFile("workloads/" + w.name + suffix)
			if err != nil {
				return err
			}
			*text = strings.TrimSpace(string(content))
		}
		fmt.Printf("\n### %s\n\n", w.title)
		fmt.Println("| contender | p50 | p99 | executions/s, all cores | memory: peak RSS of the process (toolrun, process: of a child) | p50 to toolrun, process | p50 to raw goja |")
		fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
		var missing []string
		var lines []line
		for _, row := range rows {
			if !chosen.MatchString(w.name + "/" + row.key) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s/%s ...\n", w.name, row.key)
			m, err := measureRow(j, cores, peers, row.key, row.node)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", w.name, row.key, err)
			}
			if m.Missing != "" {
				missing = append(missing, fmt.Sprintf("Left out: %s (%s).", row.title, m.Missing))
				continue
			}
			lines = append(lines, line{row.key, row.title, m})
		}
		for _, l := range lines {
			fmt.Printf("| %s | %s | %s | %s | %s | %s | %s |\n", l.title, duration(l.P50), duration(l.P99),
				number(l.PerSecond), mebibytes(l.RSS), ratio(lines, "process", l), ratio(lines, "goja", l))
		}
		for _, reason := range missing {
			fmt.Printf("\n%s\n", reason)
		}
	}
	return nil
}

// measureRow measures the latency and the memory of one execution at a time, and
// then what all cores do together: goroutines of one process in Go, a process for
// each core in node.
func measureRow(j job, cores int, peers, key string, node []string) (measurement, error) {
	command := func() (*exec.Cmd, error) {
		if node == nil {
			self, err := os.Executable()
			return exec.Command(self, "-serve", key), err
		}
		cmd := exec.Command("node", node...)
		cmd.Dir = peers
		return cmd, cmd.Err
	}
	m, err := together(j, 1, command)
	if errors.Is(err, exec.ErrNotFound) {
		return measurement{Missing: err.Error()}, nil
	}
	if err != nil || m.Missing != "" {
		return m, err
	}
	processes := cores
	if node == nil {
		j.Parallel, processes = cores, 1
	}
	all, err := together(j, processes, command)
	m.PerSecond = all.PerSecond
	return m, err
}

// together runs measuring processes that begin at the same time, and adds up
// their executions per second; the rest is that of the first.
func together(j job, n int, command func() (*exec.Cmd, error)) (measurement, error) {
	order, err := json.Marshal(j)
	if err != nil {
		return measurement{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*j.Time+patience)
	defer cancel()
	var processes []*process
	defer func() {
		for _, p := range processes {
			p.end()
		}
	}()
	for range n {
		cmd, err := command()
		if err != nil {
			return measurement{}, err
		}
		p, err := start(ctx, cmd)
		if err != nil {
			return measurement{}, err
		}
		processes = append(processes, p)
		if _, err := p.in.Write(append(order, '\n')); err != nil {
			return measurement{}, err
		}
	}
	var sum measurement
	for _, p := range processes {
		line, err := p.out.ReadBytes('\n')
		if err != nil {
			return measurement{}, fmt.Errorf("the measuring process: %w", err)
		}
		if strings.TrimSpace(string(line)) != ready {
			return sum, json.Unmarshal(line, &sum)
		}
	}
	for _, p := range processes {
		if _, err := p.in.Write([]byte("go\n")); err != nil {
			return measurement{}, err
		}
	}
	for i, p := range processes {
		var m measurement
		if err := json.NewDecoder(p.out).Decode(&m); err != nil {
			return measurement{}, fmt.Errorf("the measuring process: %w", err)
		}
		if i == 0 {
			sum = m
			continue
		}
		sum.PerSecond += m.PerSecond
	}
	return sum, nil
}

// process is a measuring process; what it writes to stderr goes to ours.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	stop func() bool
}

// start starts a process that is killed when ctx ends.
func start(ctx context.Context, cmd *exec.Cmd) (*process, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	return &process{cmd, in, bufio.NewReader(out), stop}, nil
}

// end kills a process; it has nothing left to say.
func (p *process) end() {
	p.stop()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// line is a line of a table.
type line struct {
	key, title string
	measurement
}

// ratio is the p50 of l to that of the contender with a key.
func ratio(lines []line, key string, l line) string {
	for _, other := range lines {
		if other.key == key {
			return fmt.Sprintf("%.2f", float64(l.P50)/float64(other.P50))
		}
	}
	return "–"
}

func duration(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.3g µs", float64(d)/1e3)
	}
	return fmt.Sprintf("%.3g ms", float64(d)/1e6)
}

func number(n float64) string {
	if n < 100 {
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

func mebibytes(n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
