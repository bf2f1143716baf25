//go:build !linux

package sandbox

import (
	"os"
	"runtime"
	"syscall"
)

// closeInherited relies on Go, which starts processes with the descriptors that
// they are given and no other of its own.
func closeInherited() error { return nil }

func ownMemory() memory { return memory{} }

// harden has little to put up here: a process of its own, which can be killed.
func harden() []Layer {
	missing := "not on " + runtime.GOOS
	environment := Layer{Name: "empty environment", Required: true}
	if len(os.Environ()) > 0 {
		environment.Missing = "there are variables"
	}
	return []Layer{environment, {Name: "memory limit", Missing: missing}, {Name: "system call filter", Missing: missing}}
}

// capMemory leaves it to the child to look after itself.
func capMemory(int, memory, uint64) error { return nil }

func childAttributes() *syscall.SysProcAttr { return nil }

func executable() (string, error) { return os.Executable() }
