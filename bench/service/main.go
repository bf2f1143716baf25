// Command service measures what "toolrun serve" adds to an execution: the small pricing
// tool of bench/workloads over HTTP on loopback, on connections that stay, beside the
// same execution by the library in this process. Everything is measured in turns, and
// the table has medians of the rounds. It needs Go and Linux.
//
//	go run ./bench/service -rounds 9 -time 400ms
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/bench/internal/duel"
	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

const (
	definition = `name: pricing
type: javascript
code: |
  const rates = { standard: 0, silver: 0.05, gold: 0.1 };
  const items = parameters.items.map((item) => ({ ...item, total: item.price * item.quantity }));
  const net = items.reduce((sum, item) => sum + item.total, 0);
  const discount = net * (rates[parameters.tier] ?? 0);
  return { items, net, discount, gross: Math.round((net - discount) * 119) / 100 };
`
	parameters = `{"tier":"gold","items":[{"sku":"a","price":3.5,"quantity":2},{"sku":"b","price":10,"quantity":1},{"sku":"c","price":0.25,"quantity":40}]}`

	executeLine = "POST /tools/pricing/execute HTTP/1.1"
)

func main() {
	sandbox.Init()
	each := flag.Duration("time", 400*time.Millisecond, "how long a contender runs in a round")
	rounds := flag.Int("rounds", 9, "how many rounds")
	binary := flag.String("toolrun", "", "the binary to measure; built from this module where it isn't given")
	flag.Parse()
	if err := run(*binary, *each, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench/service:", err)
		os.Exit(1)
	}
}

// contender is a way to execute the tool.
type contender struct {
	name string
	pid  int
	do   duel.Call
	// measure, where not nil, measures in place of duel.Measure.
	measure func(parallel int, d time.Duration) (duel.Measurement, error)
	server  *service // nil for the library
	from    int      // the least number at once that is measured
}

func run(binary string, each time.Duration, rounds int) error {
	dir, err := os.MkdirTemp("", "bench-service-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Mkdir(filepath.Join(dir, "tools"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tools", "pricing.yaml"), []byte(definition), 0o600); err != nil {
		return err
	}
	if binary == "" {
		binary = filepath.Join(dir, "toolrun")
		build := exec.Command("go", "build", "-o", binary, "github.com/almyty-inc/toolrun/cmd/toolrun")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("go build: %w", err)
		}
	}
	library, expected, closeLibrary, err := newLibrary()
	if err != nil {
		return err
	}
	defer closeLibrary()
	var services []*service
	defer func() {
		for _, s := range services {
			s.stop()
		}
	}()
	for _, v := range []struct {
		name  string
		flags []string
	}{{"plain", nil}, {"forget", []string{"--forget-sync"}}, {"auth", []string{"--auth"}}} {
		s, err := start(binary, dir, v.name, v.flags...)
		if err != nil {
			return err
		}
		services = append(services, s)
	}
	all, err := contenders(services[0], services[1], services[2], expected)
	if err != nil {
		return err
	}
	return compare(append([]contender{library}, all...), services[0], each, rounds)
}

// newLibrary executes in this process, with all steps and the children that the service
// has too.
func newLibrary() (c contender, expected string, stop func(), err error) {
	def, err := runner.Parse("pricing.yaml", []byte(definition))
	if err != nil {
		return c, "", nil, err
	}
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{def}})
	if err != nil {
		return c, "", nil, err
	}
	stop = func() { _ = r.Close(context.Background()) }
	do := duel.Execution(r, runner.Request{Tool: "pricing", Parameters: []byte(parameters)})
	value, err := do()
	if err != nil {
		stop()
		return c, "", nil, err
	}
	return contender{name: "library", pid: os.Getpid(), do: do}, string(value), stop, nil
}

func contenders(plain, forget, auth *service, expected string) ([]contender, error) {
	secret, err := auth.key()
	if err != nil {
		return nil, err
	}
	body := `{"parameters":` + parameters + `}`
	over := func(name string, s *service, head, status string) (contender, *client) {
		c := newClient(s.address, head, body, status)
		c.prefix = []byte(`{"success":true,"data":{"result":` + expected)
		return contender{name: name, pid: s.cmd.Process.Pid, do: c.do, server: s}, c
	}
	health, healthClient := over("GET /healthz: no execution", plain, "GET /healthz HTTP/1.1", "200")
	healthClient.prefix, healthClient.request = nil, []byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	health.server = nil
	sync, _ := over("**serve**", plain, executeLine, "200")
	forgotten, _ := over("serve --forget-sync", forget, executeLine, "200")
	withKey, _ := over("serve --auth, API key", auth, executeLine+"\r\nAuthorization: Bearer "+secret, "200")
	once, onceClient := over("serve, Idempotency-Key", plain, executeLine+"\r\nIdempotency-Key: ", "200")
	onceClient.next = numbered(onceClient.request, "Idempotency-Key: ")
	later, laterClient := over("serve, mode=async", plain, strings.Replace(executeLine, "execute", "execute?mode=async", 1), "202")
	laterClient.prefix = []byte(`{"success":true,"data":{"id":"`)
	later.measure = func(parallel int, d time.Duration) (duel.Measurement, error) {
		return measureAsync(laterClient, parallel, d)
	}
	later.from = 16
	return []contender{health, sync, forgotten, withKey, once, later}, nil
}

// numbered writes a request with another number behind a header's name each time.
func numbered(request []byte, header string) func([]byte) []byte {
	before, after, _ := strings.Cut(string(request), header)
	var n atomic.Int64
	return func(into []byte) []byte {
		into = append(append(into, before...), header...)
		into = strconv.AppendInt(into, n.Add(1), 10)
		return append(into, after...)
	}
}

// measureAsync submits for a time and waits until all is done. Its times are those until
// an execution is accepted, its throughput that of whole executions.
func measureAsync(c *client, parallel int, d time.Duration) (duel.Measurement, error) {
	start := time.Now()
	m, err := duel.Measure(c.do, parallel, d)
	if err != nil {
		return m, err
	}
	// Jobs are taken in their order: when each connection's last one is done, next to
	// all are.
	var wg sync.WaitGroup
	faults := make(chan error, cap(c.idle))
	for range len(c.idle) {
		conn := <-c.idle
		wg.Go(func() {
			faults <- awaitDone(c.address, conn.id)
			c.idle <- conn
		})
	}
	wg.Wait()
	m.PerSecond = float64(m.Calls) / time.Since(start).Seconds()
	for range len(faults) {
		err = cmp.Or(err, <-faults)
	}
	return m, err
}

// awaitDone asks until an execution is done.
func awaitDone(address, id string) error {
	c := newClient(address, "GET /executions/"+id+" HTTP/1.1", "", "200")
	defer c.close()
	for {
		body, err := c.do()
		if err != nil || strings.Contains(string(body), `"state":"done"`) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sample is one contender in one round.
type sample struct {
	duel.Measurement
	cpu, own time.Duration // per execution: of the service and its children, and of this process
	disk     float64       // bytes per execution
	ratio    float64       // of the library's throughput to this one's
}

func compare(all []contender, plain *service, each time.Duration, rounds int) error {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d cores, %s, %d rounds of %s, load average at the start %.4s\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOMAXPROCS(0), runtime.Version(), rounds, each, load)
	fmt.Println("| at once | | executions/s | p50 | p99 | time to library | CPU | of it client's | executions/CPU-second | disk |")
	fmt.Println("| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: |")
	idle, err := settled(plain.cmd.Process.Pid)
	if err != nil {
		return err
	}
	for _, parallel := range []int{1, 16, 256} {
		if err := level(all, parallel, each, rounds); err != nil {
			return err
		}
	}
	return summary(plain, idle)
}

// level prints the rows of so many executions at once.
func level(all []contender, parallel int, each time.Duration, rounds int) error {
	samples := make([][]sample, len(all))
	for round := range rounds + 1 { // the first warms up
		var library float64
		for i, c := range all {
			if parallel < c.from {
				continue
			}
			s, err := c.sample(parallel, each)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if i == 0 {
				library = s.PerSecond
			}
			s.ratio = library / s.PerSecond
			if round > 0 {
				samples[i] = append(samples[i], s)
			}
		}
	}
	for i, c := range all {
		if len(samples[i]) > 0 {
			c.print(parallel, samples[i])
		}
	}
	return nil
}

func (c *contender) sample(parallel int, each time.Duration) (s sample, err error) {
	before, err := settled(c.pid)
	if err != nil {
		return s, err
	}
	var kept int64
	if c.server != nil {
		kept = c.server.bytesKept()
	}
	own := ownCPU()
	if c.measure != nil {
		s.Measurement, err = c.measure(parallel, each)
	} else {
		s.Measurement, err = duel.Measure(c.do, parallel, each)
	}
	if err != nil {
		return s, err
	}
	own = ownCPU() - own
	after, err := settled(c.pid)
	if err != nil {
		return s, err
	}
	n := time.Duration(s.Calls)
	s.cpu = (after.cpu - before.cpu) / n
	if c.pid != os.Getpid() {
		s.own = own / n
	}
	if c.server != nil {
		s.disk = float64(c.server.bytesKept()-kept) / float64(s.Calls)
	}
	return s, nil
}

func (c *contender) print(parallel int, samples []sample) {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.P50, b.P50) })
	m := samples[len(samples)/2]
	median := func(of func(sample) float64) float64 {
		var values []float64
		for _, s := range samples {
			values = append(values, of(s))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	cpu := median(func(s sample) float64 { return float64(s.cpu) / 1e3 })
	own := median(func(s sample) float64 { return float64(s.own) / 1e3 })
	fmt.Printf("| %d | %s | %.0f | %.0f µs | %.0f µs | %.2f | %.0f µs | %.0f µs | %.0f | %.0f B |\n", parallel, c.name, m.PerSecond, float64(m.P50)/1e3,
		float64(m.P99)/1e3, median(func(s sample) float64 { return s.ratio }), cpu+own, own, 1e6/cpu, median(func(s sample) float64 { return s.disk }))
}

// summary says what the plain service takes in the end.
func summary(plain *service, idle usage) error {
	now, err := settled(plain.cmd.Process.Pid)
	if err != nil {
		return err
	}
	executions, err := plain.metric("toolrun_executions_total")
	if err != nil {
		return err
	}
	dropped, err := plain.metric("toolrun_records_dropped_total")
	if err != nil {
		return err
	}
	const mib = 1 << 20
	fmt.Printf("\nThe service's memory: %d MiB at the start, %d MiB after %.0f executions (%.0f records of them were dropped), and %d children of %d MiB each; its data directory: %d MiB.\n",
		idle.rss/mib, now.rss/mib, executions, dropped, now.children, now.childrenRSS/mib/int64(max(now.children, 1)), plain.bytesKept()/mib)
	return nil
}
