package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// closeInherited closes all that is open beside the standard descriptors and
// the link: what a careless host let the child inherit, what packages opened in
// their init, and the file that Go's runtime follows the CPU limit with, which it
// has no use for once GOMAXPROCS is set. What stays is how the runtime waits for
// events: those of this process have close-on-exec, one that came through exec
// can't.
func closeInherited() error {
	open, err := descriptors()
	for fd, target := range open {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && (flags&unix.FD_CLOEXEC == 0 || !waitsForEvents(target)) {
			_ = unix.Close(fd)
		}
	}
	return err
}

func waitsForEvents(target string) bool {
	return target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]"
}

// descriptors are those that are open beyond the link, and what they stand for.
func descriptors() (map[int]string, error) {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	open := make(map[int]string)
	for _, name := range names {
		fd, err := strconv.Atoi(name.Name())
		if err != nil || fd <= childLink {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + name.Name())
		if err == nil { // the folder that was read is closed again
			open[fd] = target
		}
	}
	return open, nil
}

// ownMemory is what the kernel counts of this process; zeros where it doesn't say.
func ownMemory() (m memory) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return memory{}
	}
	for line := range strings.Lines(string(status)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "VmSize: %d kB", &kib); err == nil {
			m.space = kib << 10
		}
		if _, err := fmt.Sscanf(line, "VmData: %d kB", &kib); err == nil {
			m.data = kib << 10
		}
	}
	return m
}

// The layers, inside out.
const (
	layerMemory      = "memory limit"
	layerEnvironment = "empty environment"
	layerDescriptors = "closed descriptors"
	layerDeath       = "parent-death signal"
	layerLimits      = "rlimits"
	layerPrivileges  = "no_new_privs"
	layerLandlock    = "landlock"
	layerSeccomp     = "seccomp"
)

// harden puts up every layer that the kernel has, seccomp last as it forbids the
// rest. None needs privileges.
func harden() []Layer {
	layers := []Layer{
		{layerMemory, true, reasonOf(checkMemoryLimit())},
		{layerEnvironment, true, reasonOf(checkEnvironment())},
		{layerDescriptors, true, reasonOf(checkDescriptors())},
		{layerDeath, false, reasonOf(dieWithParent())},
		{layerLimits, true, reasonOf(limitResources())},
		{layerPrivileges, true, reasonOf(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))},
		{layerLandlock, false, reasonOf(restrictAccess())},
	}
	return append(layers, Layer{layerSeccomp, true, reasonOf(filterSystemCalls())})
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// checkMemoryLimit reports whether the host can set the limit, as it will.
func checkMemoryLimit() error {
	if m := ownMemory(); m.data == 0 || m.space == 0 {
		return fmt.Errorf("the kernel doesn't say how much memory the process has")
	}
	return nil
}

func checkEnvironment() error {
	if n := len(os.Environ()); n > 0 {
		return fmt.Errorf("%d variables", n)
	}
	return nil
}

func checkDescriptors() error {
	open, err := descriptors()
	for fd, target := range open {
		if !waitsForEvents(target) {
			return fmt.Errorf("descriptor %d is open", fd)
		}
	}
	return err
}

// dieWithParent has the kernel kill this process when the thread that started it
// ends. It was started so, but that is a property of its first thread, and cannot
// be asked from another.
func dieWithParent() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	var signal int32
	if err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0); err != nil {
		return err
	}
	if signal != int32(unix.SIGKILL) {
		return fmt.Errorf("it is %d", signal)
	}
	return nil
}

// maxDescriptors leaves room for those that are open.
const maxDescriptors = 32

// limitResources sets limits for good: hard ones, which only privileges or the
// system calls that seccomp forbids could raise. Processes are seccomp's, as
// RLIMIT_NPROC counts all of the user's.
func limitResources() error {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: maxDescriptors,
		unix.RLIMIT_MEMLOCK: 0, unix.RLIMIT_MSGQUEUE: 0,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	return nil
}

// restrictAccess takes away files, TCP ports, and signals and abstract sockets
// beyond this process, as far as the kernel's Landlock knows them.
func restrictAccess() error {
	if abi, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 || abi == 0 {
		return fmt.Errorf("not in this kernel: %w", errno)
	}
	return landlock.V7.BestEffort().Restrict()
}

// arenaBytes is the unit in which Go's runtime reserves address space.
const arenaBytes = 64 << 20

// capMemory has the kernel refuse a process more memory than it had when it was
// ready, the given bytes, and an arena: of what Go has given back RLIMIT_DATA
// still counts the address space. Linux doesn't look at RLIMIT_DATA where a
// reservation turns into memory, as it does within an arena, so RLIMIT_AS bounds
// the reservations. The cap itself is held by the child, which looks every
// millisecond (see [worker.watch]); these limits are the walls behind that. Only
// soft limits are set, so that they can be others for the next job.
func capMemory(pid int, base memory, bytes uint64) error {
	arenas := (bytes + arenaBytes - 1) / arenaBytes * arenaBytes
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_DATA: base.data + shadowFactor*(bytes+arenaBytes),
		unix.RLIMIT_AS:   base.space + shadowFactor*(arenas+arenaBytes),
	} {
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}, nil); err != nil {
			return err
		}
	}
	return nil
}

// childAttributes are how a child is started.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// executable is this program, also after its file was replaced.
func executable() (string, error) { return "/proc/self/exe", nil }
