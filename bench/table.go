package main

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

const header = `| contender | p50 | p99 | executions/s, all cores | memory: peak RSS of the process (toolrun, process: of a child) | p50 to toolrun, process | p50 to raw goja |
|---|--:|--:|--:|--:|--:|--:|`

// printTable prints the results of a workload, by the key of the row.
func printTable(title string, results map[string][]measurement) {
	if len(results) == 0 {
		return
	}
	fmt.Printf("\n### %s\n\n%s\n", title, header)
	process, goja := best(results["process"]), best(results["goja"])
	var leftOut string
	for _, row := range rows {
		m := best(results[row.key])
		switch {
		case m.P50 > 0:
			fmt.Printf("| %s | %s | %s | %s | %.0f MiB | %s | %s |\n", row.title, duration(m.P50), duration(m.P99),
				number(m.PerSecond), float64(m.RSS)/(1<<20), ratio(m, process), ratio(m, goja))
		case m.Missing != "":
			leftOut += fmt.Sprintf("\nLeft out: %s (%s)\n", row.title, m.Missing)
		}
	}
	fmt.Print(leftOut)
}

// best has the best of each number, as the machine's other work only makes them
// worse; it is zero for no measurements.
func best(all []measurement) measurement {
	if len(all) == 0 {
		return measurement{}
	}
	m := all[0]
	for _, other := range all[1:] {
		m.P50, m.P99 = min(m.P50, other.P50), min(m.P99, other.P99)
		m.PerSecond, m.RSS = max(m.PerSecond, other.PerSecond), max(m.RSS, other.RSS)
	}
	return m
}

func ratio(one, other measurement) string {
	if other.P50 == 0 {
		return "–"
	}
	return number(float64(one.P50) / float64(other.P50))
}

func duration(d time.Duration) string {
	if d < time.Millisecond {
		return number(float64(d)/1e3) + " µs"
	}
	return number(float64(d)/1e6) + " ms"
}

// number keeps three digits, or all before the point.
func number(n float64) string {
	return strconv.FormatFloat(n, 'f', max(0, 2-int(math.Log10(max(n, 1)))), 64)
}
