package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
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
	process, goja := median(results["process"]), median(results["goja"])
	var leftOut string
	for _, row := range rows {
		m := median(results[row.key])
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

// median is made of the median of each number; it is zero for no measurements.
func median(all []measurement) measurement {
	if len(all) == 0 {
		return measurement{}
	}
	return measurement{
		Missing:   all[0].Missing,
		P50:       middle(all, func(m measurement) time.Duration { return m.P50 }),
		P99:       middle(all, func(m measurement) time.Duration { return m.P99 }),
		PerSecond: middle(all, func(m measurement) float64 { return m.PerSecond }),
		RSS:       middle(all, func(m measurement) int64 { return m.RSS }),
	}
}

func middle[T cmp.Ordered](all []measurement, of func(measurement) T) T {
	numbers := make([]T, len(all))
	for i, m := range all {
		numbers[i] = of(m)
	}
	slices.Sort(numbers)
	return numbers[len(numbers)/2]
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
