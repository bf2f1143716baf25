package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// childArgument is what a child process of a pool is started as.
const childArgument = "toolrun-sandbox"

// childrenOf lists the processes that a process has started and that haven't
// been collected.
func childrenOf(t testing.TB, parent int) []int {
	t.Helper()
	names, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err == nil && parentOf(pid) == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parentOf is zero when there is no such process.
func parentOf(pid int) int {
	fields := statOf(pid)
	if fields == nil {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// statOf is /proc/<pid>/stat from the state on: the name before it may hold
// anything.
func statOf(pid int) []string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

// isChild reports whether a process is a pool's child: a dead one that nobody
// has collected has no arguments.
func isChild(pid int) bool {
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && string(arguments) == childArgument+"\x00"
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

// residentBytes is how much memory this process has.
func residentBytes(t testing.TB) int {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

// heapBytes is what is in use after everything unreachable was dropped.
func heapBytes() int {
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// footprint is what a test must leave as it found it.
type footprint struct{ descriptors, goroutines, children int }

func footprintNow(t testing.TB) footprint {
	return footprint{openDescriptors(t), runtime.NumGoroutine(), len(childrenOf(t, os.Getpid()))}
}

// requireNothingLeft waits a moment for goroutines that are about to end.
func requireNothingLeft(t testing.TB, before footprint) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		now := footprintNow(t)
		require.LessOrEqual(c, now.descriptors, before.descriptors, "descriptors")
		require.LessOrEqual(c, now.children, before.children, "child processes")
	}, 10*time.Second, 10*time.Millisecond)
}
