package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/sandbox"
)

// job is the line that tells a measuring process what to do. Then it warms up,
// prints ready, waits for a second line, measures and prints a measurement.
type job struct {
	Name       string        `json:"name"`
	Source     string        `json:"source"`     // the body of an async function of parameters
	Parameters string        `json:"parameters"` // JSON
	Expected   string        `json:"expected"`   // JSON
	Time       time.Duration `json:"time"`       // of the measurement; the warm-up takes half as long
	Parallel   int           `json:"parallel"`   // executions at once
}

// measurement is what a measuring process prints.
type measurement struct {
	Missing   string        `json:"missing,omitempty"` // why there is nothing else
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
	PerSecond float64       `json:"perSecond"`
	RSS       int64         `json:"rss"` // the highest, in bytes; zero if unknown
}

// ready is the line of a measuring process that has warmed up.
const ready = "ready"

// contender is one that runs in Go: prepare returns a function that executes the
// job once, and may be called by several goroutines.
type contender struct {
	prepare func(job) (func() ([]byte, error), error)
	// children reports that the memory is that of the largest child process.
	children bool
}

var goContenders = map[string]contender{
	"process": {func(j job) (func() ([]byte, error), error) { return prepareToolrun(j, sandbox.Process) }, true},
	"inline":  {func(j job) (func() ([]byte, error), error) { return prepareToolrun(j, sandbox.Inline) }, false},
	"goja":    {prepareGoja, false},
}

// prepareToolrun is what an embedder does: a pool that lives long, a deadline for
// each execution.
func prepareToolrun(j job, isolation sandbox.Isolation) (func() ([]byte, error), error) {
	pool, err := sandbox.New(sandbox.Options{Isolation: isolation})
	if err != nil {
		return nil, err
	}
	execution := sandbox.Job{
		Source:     sandbox.Source{Name: j.Name + ".js", Code: j.Source},
		Parameters: []byte(j.Parameters),
	}
	return func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		result, err := pool.Run(ctx, execution)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, errors.Unwrap(err))
		}
		return result.Value, nil
	}, nil
}

// prepareGoja is goja without a sandbox: a program compiled once, a new runtime
// for each execution, JSON text in and out.
func prepareGoja(j job) (func() ([]byte, error), error) {
	program, err := goja.Compile(j.Name+".js",
		"(async (text) => JSON.stringify(await (async (parameters) => {"+j.Source+"\n})(JSON.parse(text))))", false)
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		rt := goja.New()
		value, err := rt.RunProgram(program)
		if err != nil {
			return nil, err
		}
		function, _ := goja.AssertFunction(value)
		if value, err = function(goja.Undefined(), rt.ToValue(j.Parameters)); err != nil {
			return nil, err
		}
		promise := value.Export().(*goja.Promise)
		if promise.State() != goja.PromiseStateFulfilled {
			return nil, fmt.Errorf("the promise is not fulfilled: %v", promise.Result())
		}
		return []byte(promise.Result().String()), nil
	}, nil
}

// serve is the life of a measuring process in Go.
func serve(c contender) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(line, &j); err != nil {
		return err
	}
	execute, err := c.prepare(j)
	if err != nil {
		return err
	}
	if _, err := measure(j, j.Time/2, execute); err != nil {
		return err
	}
	fmt.Println(ready)
	if _, err := in.ReadBytes('\n'); err != nil {
		return err
	}
	m, err := measure(j, j.Time, execute)
	if err != nil {
		return err
	}
	if m.RSS = peakRSS(os.Getpid()); c.children {
		m.RSS = childRSS(os.Getpid())
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// measure executes for a time, at least once on each goroutine, and verifies each
// result.
func measure(j job, d time.Duration, execute func() ([]byte, error)) (measurement, error) {
	var (
		mu      sync.Mutex
		samples []time.Duration
		failure error
		workers sync.WaitGroup
	)
	start := time.Now()
	for range j.Parallel {
		workers.Go(func() {
			mine := make([]time.Duration, 0, 1<<16)
			var err error
			for begin := start; begin.Sub(start) < d && err == nil; {
				begin = time.Now()
				var value []byte
				value, err = execute()
				mine = append(mine, time.Since(begin))
				if err == nil && !bytes.Equal(value, []byte(j.Expected)) {
					err = fmt.Errorf("the result is wrong: %.200s", value)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			samples = append(samples, mine...)
			failure = errors.Join(failure, err)
		})
	}
	workers.Wait()
	elapsed := time.Since(start)
	slices.Sort(samples)
	return measurement{
		P50: samples[len(samples)/2], P99: samples[len(samples)*99/100],
		PerSecond: float64(len(samples)) / elapsed.Seconds(),
	}, failure
}

// peakRSS is the largest resident set that a process has had, in bytes; zero
// where the system doesn't tell.
func peakRSS(pid int) int64 { return status(pid, "VmHWM") << 10 }

// childRSS is the largest peakRSS of a process's children.
func childRSS(parent int) int64 {
	var most int64
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if status(pid, "PPid") == int64(parent) {
			most = max(most, peakRSS(pid))
		}
	}
	return most
}

// status is a number of /proc/pid/status.
func status(pid int, field string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			n, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return n
		}
	}
	return 0
}
