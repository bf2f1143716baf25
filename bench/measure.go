package main

import (
	"cmp"
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

// job is what a measuring process reads from its stdin. Then it warms up,
// measures and prints a measurement.
type job struct {
	Name       string        `json:"name"`
	Source     string        `json:"source"`     // the body of an async function of parameters
	Parameters string        `json:"parameters"` // JSON
	Expected   string        `json:"expected"`   // JSON
	Time       time.Duration `json:"time"`       // of the warm-up, and of the measurement
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

// execution runs the job once and gives the result's JSON. It may be called by
// several goroutines.
type execution func() ([]byte, error)

// goContenders are those that run in Go, by the key of their row.
var goContenders = map[string]func(job) (execution, error){
	"process": func(j job) (execution, error) { return prepareToolrun(j, sandbox.Process) },
	"inline":  func(j job) (execution, error) { return prepareToolrun(j, sandbox.Inline) },
	"goja":    prepareGoja,
}

// prepareToolrun is what an embedder does: a pool that lives long, a deadline for
// each execution.
func prepareToolrun(j job, isolation sandbox.Isolation) (execution, error) {
	pool, err := sandbox.New(sandbox.Options{Isolation: isolation})
	if err != nil {
		return nil, err
	}
	work := sandbox.Job{Source: sandbox.Source{Name: j.Name + ".js", Code: j.Source}, Parameters: []byte(j.Parameters)}
	return func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		result, err := pool.Run(ctx, work)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, errors.Unwrap(err))
		}
		return result.Value, nil
	}, nil
}

// prepareGoja is goja without a sandbox: a program compiled once, a new runtime
// for each execution, JSON text in and out.
func prepareGoja(j job) (execution, error) {
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
func serve(prepare func(job) (execution, error)) error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	execute, err := prepare(j)
	if err != nil {
		return err
	}
	if _, err := measure(j, j.Time, execute); err != nil {
		return err
	}
	m, err := measure(j, j.Time, execute)
	if err != nil {
		return err
	}
	m.RSS = cmp.Or(childRSS(), peakRSS("self"))
	return json.NewEncoder(os.Stdout).Encode(m)
}

// measure executes for a time, at least once on each goroutine, and verifies each
// result.
func measure(j job, d time.Duration, execute execution) (measurement, error) {
	var (
		mu      sync.Mutex
		samples []time.Duration
		failure error
		workers sync.WaitGroup
	)
	start := time.Now()
	for range j.Parallel {
		workers.Go(func() {
			var mine []time.Duration
			var failed error
			for begin := start; begin.Sub(start) < d && failed == nil; {
				begin = time.Now()
				value, err := execute()
				mine = append(mine, time.Since(begin))
				if failed = err; err == nil && string(value) != j.Expected {
					failed = fmt.Errorf("the result is wrong: %.200s", value)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			samples = append(samples, mine...)
			failure = errors.Join(failure, failed)
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
func peakRSS(pid string) int64 {
	kibibytes, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/"+pid+"/status", "VmHWM"), " kB"), 10, 64)
	return kibibytes << 10
}

// childRSS is the largest peakRSS of our children.
func childRSS() int64 {
	var most int64
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if field(dir+"/status", "PPid") == strconv.Itoa(os.Getpid()) {
			most = max(most, peakRSS(filepath.Base(dir)))
		}
	}
	return most
}

// field is the value of the first line "name: value" of a file of Linux's.
func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
