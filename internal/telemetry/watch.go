package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/almyty-inc/toolrun/runner"
)

// Watch adds what a runner holds: executions, children of the sandbox, circuit
// breakers. There can be one.
func (t *Telemetry) Watch(r *runner.Runner) { t.Register(watched{r}) }

var (
	running    = describe("toolrun_executions_running", "Executions in flight, those that wait for a slot included.")
	waiting    = describe("toolrun_executions_waiting", "Executions that wait for a slot.")
	children   = describe("toolrun_sandbox_children", "Child processes of the sandbox, by state.", "state")
	childqueue = describe("toolrun_sandbox_waiting", "Executions that wait for a child.")
	// Origins and organizations are no labels: users choose them, without bound.
	// GET /readyz?verbose lists them.
	breakers = describe("toolrun_breakers", "Circuit breakers of upstream origins that aren't closed, by state.", "state")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

type watched struct{ runner *runner.Runner }

// Describe implements [prometheus.Collector].
func (watched) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{running, waiting, children, childqueue, breakers} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (w watched) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	stats := w.runner.Stats()
	gauge(running, stats.Running)
	gauge(waiting, stats.Waiting)
	gauge(children, stats.Sandbox.Idle, "idle")
	gauge(children, stats.Sandbox.Live-stats.Sandbox.Idle, "busy")
	gauge(childqueue, stats.Sandbox.Waiting)
	count := map[string]int{"open": 0, "half-open": 0}
	for _, b := range w.runner.Breakers() {
		if _, known := count[b.State]; known {
			count[b.State]++
		}
	}
	for state, n := range count {
		gauge(breakers, n, state)
	}
}
