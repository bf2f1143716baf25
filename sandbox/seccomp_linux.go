//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Where the fields of struct seccomp_data are (linux/seccomp.h).
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16 // each of eight bytes, the low half first
)

// always are the system calls that Go's runtime and, in programs with cgo, libc
// need to compute, allocate, wait and end. None names a file, a socket or
// another process.
var always = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_RESTART_SYSCALL,
	unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM, unix.SYS_MEMBARRIER,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// prSetVMA names a mapping; Go's runtime does so. (linux/prctl.h)
const prSetVMA = 0x53564d41

// filterSystemCalls refuses every system call that isn't needed, in all threads.
// A refused one fails with EPERM.
func filterSystemCalls() error {
	program, err := bpf.Assemble(filter(uint32(unix.Getpid())))
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(program))
	for i, in := range program {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(code)
	switch {
	case errno != 0:
		return errno
	case thread != 0:
		return fmt.Errorf("thread %d has a filter of its own", thread)
	}
	return nil
}

// filter is the program that the kernel runs at each system call. Its verdicts
// stand right behind each test: jumps reach 255 instructions only.
func filter(pid uint32) []bpf.Instruction {
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	refuse := func(errno uint32) bpf.Instruction { return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | errno} }
	argument := func(n uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: dataArgs + 8*n, Size: 4} }

	f := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: dataNumber, Size: 4},
	}
	for _, number := range append(always, alwaysHere...) {
		f = append(f, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 1}, allow)
	}
	// guarded allows a call if a test of one argument holds.
	guarded := func(number, arg uint32, test bpf.JumpTest, value uint32) {
		f = append(f,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 4},
			argument(arg),
			bpf.JumpIf{Cond: test, Val: value, SkipFalse: 1},
			allow,
			refuse(uint32(unix.EPERM)),
		)
	}
	guarded(unix.SYS_MMAP, 2, bpf.JumpBitsNotSet, unix.PROT_EXEC)
	guarded(unix.SYS_MPROTECT, 2, bpf.JumpBitsNotSet, unix.PROT_EXEC)
	guarded(unix.SYS_CLONE, 0, bpf.JumpBitsSet, unix.CLONE_THREAD)
	guarded(unix.SYS_TGKILL, 0, bpf.JumpEqual, pid) // how Go interrupts its own threads
	guarded(unix.SYS_PRCTL, 0, bpf.JumpEqual, prSetVMA)
	// clone3 has its flags in memory, which a filter can't read; libc then takes clone.
	f = append(f, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1}, refuse(uint32(unix.ENOSYS)))
	return append(f, refuse(uint32(unix.EPERM)))
}
