// Package duel compares what a tool costs with a bare client that does the same
// work by hand. Both call the same upstream, a process of its own on loopback, in
// turns, and the table has the median of the rounds' ratios.
package duel

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/runner"
)

// Call does one request and returns the JSON that was asked for.
type Call func() ([]byte, error)

// Pair are two that do the same.
type Pair struct {
	Work     string
	BareName string
	Bare     Call
	Tool     Call
	Close    func()
}

// Execution is a tool's part: one execution with all its steps.
func Execution(r *runner.Runner, request runner.Request) Call {
	return func() ([]byte, error) {
		result, err := r.Execute(context.Background(), request)
		if err != nil {
			return nil, err
		}
		if result.Failure != nil {
			return nil, result.Failure
		}
		return result.Value, nil
	}
}

// Main is the main function of a comparison: it prints one table. The upstream is
// the same program with the flag -upstream. pairs makes the contenders for the
// address of the upstream.
func Main(name string, upstream http.Handler, pairs func(address string) ([]Pair, error)) {
	serve := flag.Bool("upstream", false, "be the upstream (the command starts it itself)")
	each := flag.Duration("time", 400*time.Millisecond, "how long a contender runs in a round")
	rounds := flag.Int("rounds", 9, "how many rounds")
	flag.Parse()
	err := error(nil)
	if *serve {
		err = serveUpstream(upstream)
	} else {
		err = compare(pairs, *each, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// serveUpstream prints its address and serves until its stdin ends.
func serveUpstream(handler http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); l.Close() }()
	if err := http.Serve(l, handler); !errors.Is(err, net.ErrClosed) {
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

// compare prints one table.
func compare(pairs func(address string) ([]Pair, error), each time.Duration, rounds int) error {
	address, stop, err := startUpstream()
	if err != nil {
		return err
	}
	defer stop()
	all, err := pairs(address)
	if err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d cores, %s, %d rounds of %s, load average at the start %.4s\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOMAXPROCS(0), runtime.Version(), rounds, each, load)
	fmt.Println("| answer | at once | | p50 | p99 | requests/s | allocations | bytes | time to bare |")
	fmt.Println("| --- | --: | --- | --: | --: | --: | --: | --: | --: |")
	for _, p := range all {
		for _, parallel := range []int{1, 64} {
			if err := row(p, parallel, each, rounds); err != nil {
				return err
			}
		}
		p.Close()
	}
	return nil
}

// Measurement is what one contender did in one round.
type Measurement struct {
	Calls             int
	P50, P99          time.Duration
	PerSecond         float64
	allocations, size float64 // per call
}

func row(p Pair, parallel int, each time.Duration, rounds int) error {
	var bares, tools []Measurement
	var ratios []float64
	for range rounds + 1 { // the first warms up
		b, err := Measure(p.Bare, parallel, each)
		if err != nil {
			return err
		}
		t, err := Measure(p.Tool, parallel, each)
		if err != nil {
			return err
		}
		bares, tools, ratios = append(bares, b), append(tools, t), append(ratios, b.PerSecond/t.PerSecond)
	}
	slices.Sort(ratios[1:])
	print := func(who string, all []Measurement, ratio string) {
		all = all[1:]
		slices.SortFunc(all, func(a, b Measurement) int { return int(a.P50 - b.P50) })
		m := all[len(all)/2]
		fmt.Printf("| %s | %d | %s | %.0f µs | %.0f µs | %.0f | %.0f | %.0f | %s |\n", p.Work, parallel, who,
			float64(m.P50)/1e3, float64(m.P99)/1e3, m.PerSecond, m.allocations, m.size, ratio)
	}
	print("bare "+p.BareName, bares, "1")
	print("**toolrun**", tools, fmt.Sprintf("**%.2f**", ratios[1:][rounds/2]))
	return nil
}

// Measure calls for a time, with so many calls at once.
func Measure(do Call, parallel int, d time.Duration) (Measurement, error) {
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
	return Measurement{
		Calls: len(samples), P50: samples[len(samples)/2], P99: samples[len(samples)*99/100], PerSecond: n / elapsed.Seconds(),
		allocations: float64(after.Mallocs-before.Mallocs) / n, size: float64(after.TotalAlloc-before.TotalAlloc-uint64(parallel)<<17) / n,
	}, failure
}
