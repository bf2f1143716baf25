//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/dop251/goja"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// probeSource is the only program that gets __probe: nothing else that runs in
// this binary's children shall see a realm with a hole.
const probeSource = "probe.js"

func init() {
	testRealm = func(e *execution) {
		if e.program.name != probeSource {
			return
		}
		e.method(e.rt.GlobalObject(), "__probe", func(call goja.FunctionCall) goja.Value {
			return e.rt.ToValue(probe(call.Argument(0).String()))
		})
		// What a program would send that has taken over its child.
		e.method(e.rt.GlobalObject(), "__send", func(call goja.FunctionCall) goja.Value {
			w := e.calls.(*worker)
			lie := bytes.Clone(lies[call.Argument(0).String()])
			if lie[4] == frameResult && lie[frameHead] == 0 { // else the number alone would give it away
				lie[frameHead] = byte(w.seq)
			}
			_, err := w.link.w.Write(lie)
			return e.rt.ToValue(err == nil)
		})
	}
}

// probe does what a program that has taken over its process would do, and says
// what the kernel has answered.
func probe(name string) string {
	p, ok := probes[name]
	if !ok {
		return "no such probe"
	}
	return answerOf(p())
}

func answerOf(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "succeeded"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// sys makes a system call on which the kernel itself would answer with something
// else than a refusal, or which does no harm where it succeeds.
func sys(number uintptr, arguments ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], arguments)
		if _, _, errno := syscall.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func opens(path string, flags int) func() error {
	return func() error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func connects(network, address string) func() error {
	return func() error {
		c, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}
}

const page = 4096

var (
	zeros      [page]byte
	emptyPath  = [...]byte{0}
	rootPath   = [...]byte{'/', 0}
	highLimit  = unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	realZeros  = uintptr(unsafe.Pointer(&zeros))
	emptyText  = uintptr(unsafe.Pointer(&emptyPath))
	rootText   = uintptr(unsafe.Pointer(&rootPath))
	limitsHigh = uintptr(unsafe.Pointer(&highLimit))
	minusOne   = ^uintptr(0)
)

var probes = map[string]func() error{
	// Files.
	"open a file":           opens("/etc/passwd", unix.O_RDONLY),
	"open the folder":       opens("/", unix.O_RDONLY|unix.O_DIRECTORY),
	"make a file":           opens("/tmp/toolrun-probe", unix.O_WRONLY|unix.O_CREAT),
	"write a file":          opens("/dev/null", unix.O_WRONLY),
	"own environment":       opens("/proc/self/environ", unix.O_RDONLY),
	"own memory":            opens("/proc/self/mem", unix.O_RDWR),
	"own executable":        opens("/proc/self/exe", unix.O_RDONLY),
	"another process":       opens("/proc/1/status", unix.O_RDONLY),
	"the memory of another": opens("/proc/1/mem", unix.O_RDONLY),
	"openat2":               sys(unix.SYS_OPENAT2, minusOne, emptyText, realZeros, 24),
	"open_by_handle_at":     sys(unix.SYS_OPEN_BY_HANDLE_AT, minusOne, realZeros, 0),
	"stat":                  sys(unix.SYS_NEWFSTATAT, minusOne, emptyText, realZeros, 0),
	"statx":                 sys(unix.SYS_STATX, minusOne, emptyText, 0, 0, realZeros),
	"readlink":              sys(unix.SYS_READLINKAT, minusOne, emptyText, realZeros, 10),
	"access":                sys(unix.SYS_FACCESSAT, minusOne, emptyText, 0),
	"unlink":                sys(unix.SYS_UNLINKAT, minusOne, emptyText, 0),
	"rename":                sys(unix.SYS_RENAMEAT2, minusOne, emptyText, minusOne, emptyText, 0),
	"link":                  sys(unix.SYS_LINKAT, minusOne, emptyText, minusOne, emptyText, 0),
	"mkdir":                 sys(unix.SYS_MKDIRAT, minusOne, emptyText, 0),
	"mknod":                 sys(unix.SYS_MKNODAT, minusOne, emptyText, 0, 0),
	"chmod":                 sys(unix.SYS_FCHMODAT, minusOne, emptyText, 0),
	"chown":                 sys(unix.SYS_FCHOWNAT, minusOne, emptyText, 0, 0, 0),
	"getdents":              sys(unix.SYS_GETDENTS64, minusOne, realZeros, page),
	"chdir":                 sys(unix.SYS_CHDIR, rootText),
	"chroot":                sys(unix.SYS_CHROOT, emptyText),
	"getcwd":                sys(unix.SYS_GETCWD, realZeros, page),
	"umask":                 sys(unix.SYS_UMASK, 0o22),
	"inotify":               sys(unix.SYS_INOTIFY_INIT1, unix.IN_CLOEXEC),
	"fanotify":              sys(unix.SYS_FANOTIFY_INIT, 0, 0),
	"memfd_create":          sys(unix.SYS_MEMFD_CREATE, emptyText, unix.MFD_CLOEXEC),
	"memfd_secret":          sys(unix.SYS_MEMFD_SECRET, 0),
	"mount":                 sys(unix.SYS_MOUNT, emptyText, emptyText, emptyText, 0, 0),
	"umount":                sys(unix.SYS_UMOUNT2, emptyText, 0),
	"pivot_root":            sys(unix.SYS_PIVOT_ROOT, emptyText, emptyText),
	"fsopen":                sys(unix.SYS_FSOPEN, emptyText, 0),
	"ioctl":                 sys(unix.SYS_IOCTL, 0, unix.TIOCSTI, realZeros),
	"fcntl":                 sys(unix.SYS_FCNTL, childLink, unix.F_DUPFD, 0),
	"dup":                   sys(unix.SYS_DUP, childLink),
	"sendfile":              sys(unix.SYS_SENDFILE, minusOne, minusOne, 0, 0),
	"splice":                sys(unix.SYS_SPLICE, minusOne, 0, minusOne, 0, 0, 0),
	"ftruncate":             sys(unix.SYS_FTRUNCATE, minusOne, 0),

	// The network.
	"connect to a TCP port":    connects("tcp", "127.0.0.1:80"),
	"connect to a unix socket": connects("unix", "/var/run/docker.sock"),
	"abstract socket":          connects("unix", "@/tmp/.X11-unix/X0"),
	"socket":                   sys(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0),
	"netlink":                  sys(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0),
	"vsock":                    sys(unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0),
	"alg socket":               sys(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0),
	"socketpair":               sys(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, realZeros),
	"connect":                  sys(unix.SYS_CONNECT, minusOne, realZeros, 16),
	"bind":                     sys(unix.SYS_BIND, minusOne, realZeros, 16),
	"listen":                   sys(unix.SYS_LISTEN, minusOne, 1),
	"accept":                   sys(unix.SYS_ACCEPT4, childLink, 0, 0, 0),
	"sendmsg":                  sys(unix.SYS_SENDMSG, childLink, 0, 0),
	"recvmsg":                  sys(unix.SYS_RECVMSG, childLink, 0, 0),
	"setsockopt":               sys(unix.SYS_SETSOCKOPT, childLink, unix.SOL_SOCKET, unix.SO_PASSCRED, realZeros, 4),
	"getpeername":              sys(unix.SYS_GETPEERNAME, childLink, realZeros, realZeros),
	"pipe":                     sys(unix.SYS_PIPE2, 0, 0),

	// Processes.
	"start a program": func() error {
		p, err := os.StartProcess("/proc/self/exe", []string{"true"}, &os.ProcAttr{})
		if err == nil {
			_ = p.Kill()
		}
		return err
	},
	"exec":                 sys(unix.SYS_EXECVE, emptyText, 0, 0),
	"execveat":             sys(unix.SYS_EXECVEAT, minusOne, emptyText, 0, 0, 0),
	"fork":                 sys(unix.SYS_CLONE, unix.CLONE_SIGHAND|uintptr(unix.SIGCHLD)),
	"new namespace":        sys(unix.SYS_CLONE, unix.CLONE_SIGHAND|unix.CLONE_NEWUSER),
	"clone3":               sys(unix.SYS_CLONE3, realZeros, 0),
	"unshare":              sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWNET),
	"setns":                sys(unix.SYS_SETNS, minusOne, 0),
	"kill the parent":      sys(unix.SYS_KILL, parentPID(), 0),
	"kill everybody":       sys(unix.SYS_KILL, minusOne, 0),
	"kill itself":          sys(unix.SYS_KILL, uintptr(os.Getpid()), 0),
	"tkill":                sys(unix.SYS_TKILL, 1, 0),
	"tgkill another":       sys(unix.SYS_TGKILL, 1, 1, 0),
	"tgkill init":          sys(unix.SYS_TGKILL, minusOne, 1, 0),
	"sigqueue":             sys(unix.SYS_RT_SIGQUEUEINFO, 1, 0, realZeros),
	"pidfd_open":           sys(unix.SYS_PIDFD_OPEN, 1, 0),
	"pidfd_send_signal":    sys(unix.SYS_PIDFD_SEND_SIGNAL, minusOne, 0, 0, 0),
	"pidfd_getfd":          sys(unix.SYS_PIDFD_GETFD, minusOne, 0, 0),
	"ptrace":               sys(unix.SYS_PTRACE, unix.PTRACE_ATTACH, 0),
	"ptrace traceme":       sys(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0, 0),
	"process_vm_readv":     sys(unix.SYS_PROCESS_VM_READV, parentPID(), 0, 0, 0, 0, 0),
	"process_vm_writev":    sys(unix.SYS_PROCESS_VM_WRITEV, parentPID(), 0, 0, 0, 0, 0),
	"kcmp":                 sys(unix.SYS_KCMP, 1, 1, 0, 0, 0),
	"getppid":              sys(unix.SYS_GETPPID),
	"wait4":                sys(unix.SYS_WAIT4, minusOne, 0, unix.WNOHANG, 0),
	"setsid":               sys(unix.SYS_SETSID),
	"setpgid":              sys(unix.SYS_SETPGID, 0, 0),
	"setuid":               sys(unix.SYS_SETUID, uintptr(os.Getuid())),
	"setgid":               sys(unix.SYS_SETGID, uintptr(os.Getgid())),
	"capset":               sys(unix.SYS_CAPSET, 0, 0),
	"setpriority":          sys(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 1, 0),
	"sched_setaffinity":    sys(unix.SYS_SCHED_SETAFFINITY, 1, 0, 0),
	"sched_setscheduler":   sys(unix.SYS_SCHED_SETSCHEDULER, 1, minusOne, 0),
	"prctl dumpable":       sys(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 7),
	"prctl pdeathsig":      sys(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, 0),
	"prctl name":           sys(unix.SYS_PRCTL, unix.PR_SET_NAME, realZeros),
	"prctl ptracer":        sys(unix.SYS_PRCTL, unix.PR_SET_PTRACER, minusOne),
	"seccomp again":        sys(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, realZeros),
	"landlock again":       sys(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION),
	"raise the data limit": sys(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_DATA, limitsHigh, 0),
	"raise the file limit": sys(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, limitsHigh, 0),
	"limits of another":    sys(unix.SYS_PRLIMIT64, 1, unix.RLIMIT_NOFILE, 0, realZeros),
	"setrlimit":            sys(unix.SYS_SETRLIMIT, unix.RLIMIT_DATA, limitsHigh),

	// Memory that can be executed, and memory that isn't counted.
	"map executable":  sys(unix.SYS_MMAP, 0, page, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON, minusOne, 0),
	"map all at once": sys(unix.SYS_MMAP, 0, page, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON, minusOne, 0),
	"make executable": sys(unix.SYS_MPROTECT, realZeros&^(page-1), page, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC),
	"pkey_mprotect":   sys(unix.SYS_PKEY_MPROTECT, realZeros&^(page-1), page, unix.PROT_EXEC, minusOne),
	"personality":     sys(unix.SYS_PERSONALITY, 0xffffffff),
	"shmget":          sys(unix.SYS_SHMGET, 0, page, 0o600|unix.IPC_CREAT),
	"shmat":           sys(unix.SYS_SHMAT, minusOne, 0, 0),
	"mq_open":         sys(unix.SYS_MQ_OPEN, emptyText, 0, 0, 0),
	"mlockall":        sys(unix.SYS_MLOCKALL, 0),
	"userfaultfd":     sys(unix.SYS_USERFAULTFD, minusOne),
	"process_madvise": sys(unix.SYS_PROCESS_MADVISE, minusOne, 0, 0, 0, 0),

	// The kernel.
	"io_uring":        sys(unix.SYS_IO_URING_SETUP, 1, realZeros),
	"io_submit":       sys(unix.SYS_IO_SETUP, 1, realZeros),
	"bpf":             sys(unix.SYS_BPF, 0, realZeros, 0),
	"perf_event_open": sys(unix.SYS_PERF_EVENT_OPEN, 0, 0, minusOne, minusOne, 0),
	"keyctl":          sys(unix.SYS_KEYCTL, 0, minusOne, 0),
	"add_key":         sys(unix.SYS_ADD_KEY, emptyText, emptyText, 0, 0, 0),
	"reboot":          sys(unix.SYS_REBOOT, 0, 0, 0, 0),
	"kexec":           sys(unix.SYS_KEXEC_LOAD, 0, minusOne, 0, minusOne),
	"init_module":     sys(unix.SYS_INIT_MODULE, 0, 0, 0),
	"sethostname":     sys(unix.SYS_SETHOSTNAME, 0, minusOne),
	"settime":         sys(unix.SYS_CLOCK_SETTIME, minusOne, 0),
	"swapon":          sys(unix.SYS_SWAPON, emptyText, 0),
	"syslog":          sys(unix.SYS_SYSLOG, 10, 0, 0),
	"uname":           sys(unix.SYS_UNAME, realZeros),
	"sysinfo":         sys(unix.SYS_SYSINFO, realZeros),
	"times":           sys(unix.SYS_TIMES, realZeros),
	"getrusage":       sys(unix.SYS_GETRUSAGE, 0, realZeros),
	"timerfd":         sys(unix.SYS_TIMERFD_CREATE, unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC),
	"eventfd":         sys(unix.SYS_EVENTFD2, 0, unix.EFD_CLOEXEC),
	"signalfd":        sys(unix.SYS_SIGNALFD4, minusOne, realZeros, 8, 0),
	"epoll_create":    sys(unix.SYS_EPOLL_CREATE1, unix.EPOLL_CLOEXEC),
	"timer_create":    sys(unix.SYS_TIMER_CREATE, minusOne, 0, 0),
	"a number of x32": sys(0x40000000 | unix.SYS_OPENAT),
	"no such call":    sys(9999),
}

func parentPID() uintptr { return uintptr(os.Getppid()) }

// TestProbes shows that the child can't do what the probes try, and that the
// probes can tell: here, without the walls, hardly one is refused.
func TestProbes(t *testing.T) {
	pool, err := New(Options{})
	require.NoError(t, err)
	defer pool.Close()
	for name := range probes {
		result, err := pool.Run(t.Context(), Job{
			Source:     Source{Name: probeSource, Code: "return __probe(parameters.name)"},
			Parameters: fmt.Appendf(nil, `{"name":%q}`, name),
		})
		require.NoError(t, err, name)
		want := `"EPERM"`
		if name == "clone3" {
			want = `"ENOSYS"` // so that libc falls back to clone
		}
		require.Equal(t, want, string(result.Value), name)
	}
	for _, name := range []string{"open a file", "getcwd", "umask", "socket", "fork", "memfd_create", "map executable", "prctl dumpable", "a number of x32", "kill itself"} {
		require.NotEqual(t, "EPERM", probe(name), "%s isn't refused here either, or the probe proves nothing", name)
	}
	result, err := pool.Run(t.Context(), Job{Source: Source{Name: "other.js", Code: "return typeof __probe"}})
	require.NoError(t, err)
	require.Equal(t, `"undefined"`, string(result.Value))
}

// TestLandlock calls restrictAccess alone in a process of its own: in a child,
// seccomp's refusal would come first.
func TestLandlock(t *testing.T) {
	if helping(t, "landlock") {
		file := os.Getenv("HELPER_FILE")
		before := answerOf(opens(file, unix.O_RDONLY)())
		err := restrictAccess()
		fmt.Println(before, answerOf(err),
			answerOf(opens(file, unix.O_RDONLY)()), answerOf(opens(file, unix.O_WRONLY)()),
			answerOf(opens("/proc/self/environ", unix.O_RDONLY)()), answerOf(opens(file+".new", unix.O_WRONLY|unix.O_CREAT)()),
			answerOf(connects("tcp", os.Getenv("HELPER_ADDRESS"))()), answerOf(sys(unix.SYS_KILL, parentPID(), 0)()),
			answerOf(syscall.Exec(file, []string{file}, nil)))
		os.Exit(0)
	}
	abi, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		t.Skipf("this kernel has no Landlock: %v", errno)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("secret"), 0o700))
	cmd := helper(t, "landlock", "HELPER_FILE="+file, "HELPER_ADDRESS="+listener.Addr().String())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	want := []string{"succeeded", "succeeded", "EACCES", "EACCES", "EACCES", "EACCES", "succeeded", "succeeded", "EACCES"}
	if abi >= 4 {
		want[6] = "EACCES" // TCP
	}
	if abi >= 6 {
		want[7] = "EPERM" // signals
	}
	require.Equal(t, want, strings.Fields(string(out)), "ABI %d", abi)
}

// TestChildHasNothing looks at a child from outside, while its host is as
// careless as can be.
func TestChildHasNothing(t *testing.T) {
	t.Setenv("TOOLRUN_SECRET", "in the environment")
	leaked, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0) // not closed on exec
	require.NoError(t, err)
	defer unix.Close(leaked)
	high, err := unix.FcntlInt(uintptr(leaked), unix.F_DUPFD, 200)
	require.NoError(t, err)
	defer unix.Close(high)
	pool, err := New(Options{})
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Run(t.Context(), Job{Source: Source{Code: "return 1"}})
	require.NoError(t, err)

	pool.children.mu.Lock()
	pid := pool.children.idle[0].process.Pid
	pool.children.mu.Unlock()
	proc := func(name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }
	require.Equal(t, map[string]string{"0": "/dev/null", "1": "/dev/null", "2": "pipe", "3": "socket"}, openIn(t, pid))
	require.Equal(t, "", read(t, proc("environ")))
	require.Equal(t, childName+"\x00", read(t, proc("cmdline")))
	folder, err := os.Readlink(proc("cwd"))
	require.NoError(t, err)
	require.Equal(t, "/", folder)
	status := read(t, proc("status"))
	require.Contains(t, status, "NoNewPrivs:\t1\n")
	require.Contains(t, status, "Seccomp:\t2\n")
	for resource, want := range map[int]uint64{
		unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: maxDescriptors, unix.RLIMIT_MEMLOCK: 0, unix.RLIMIT_MSGQUEUE: 0,
	} {
		var limit unix.Rlimit
		require.NoError(t, unix.Prlimit(pid, resource, nil, &limit))
		require.Equal(t, unix.Rlimit{Cur: want, Max: want}, limit, resource)
	}
	tasks, err := os.ReadDir(proc("task"))
	require.NoError(t, err)
	for _, task := range tasks {
		status := read(t, proc("task/"+task.Name()+"/status"))
		require.Contains(t, status, "Seccomp:\t2\n", "every thread has the filter")
		require.Contains(t, status, "NoNewPrivs:\t1\n")
	}
	for _, layer := range pool.Hardening() {
		if layer.Required {
			require.Empty(t, layer.Missing, layer.Name)
		}
	}
}

// openIn lists the open descriptors of a process but for those with which Go's
// runtime waits for events.
func openIn(t *testing.T, pid int) map[string]string {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	names, err := os.ReadDir(folder)
	require.NoError(t, err)
	open := make(map[string]string)
	for _, name := range names {
		target, err := os.Readlink(filepath.Join(folder, name.Name()))
		require.NoError(t, err)
		if !waitsForEvents(target) {
			open[name.Name()], _, _ = strings.Cut(target, ":")
		}
	}
	return open
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// TestChildrenDieWithTheirHost kills a host that has no chance to clean up.
func TestChildrenDieWithTheirHost(t *testing.T) {
	if helping(t, "host") {
		pool, err := New(Options{})
		require.NoError(t, err)
		for range 3 { // one busy, and a spare
			go func() {
				_, _ = pool.Run(context.Background(), Job{Source: Source{Code: "for (;;) Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)"}})
			}()
		}
		for len(hostsChildren(pool)) < 3 {
			time.Sleep(time.Millisecond)
		}
		fmt.Println(hostsChildren(pool))
		select {}
	}
	cmd := helper(t, "host")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	pids := strings.Fields(strings.Trim(line, "[]\n"))
	require.GreaterOrEqual(t, len(pids), 3)
	for _, pid := range pids {
		require.Eventually(t, func() bool { return !lives(pid) }, 10*time.Second, 5*time.Millisecond, "process %s", pid)
	}
}

func hostsChildren(p *Pool) (pids []int) {
	p.children.mu.Lock()
	defer p.children.mu.Unlock()
	for c := range p.children.all {
		pids = append(pids, c.process.Pid)
	}
	slices.Sort(pids)
	return pids
}

// lives reports whether a process is there and is a pool's child; one that has
// died and that its new parent has yet to collect has no arguments.
func lives(pid string) bool {
	_, err := strconv.Atoi(pid)
	arguments, errRead := os.ReadFile("/proc/" + pid + "/cmdline")
	if errors.Is(errRead, fs.ErrNotExist) || err != nil {
		return false
	}
	return bytes.Equal(arguments, []byte(childName+"\x00"))
}

// helping reports whether this process is the helper of a test; helper starts
// one.
func helping(t *testing.T, name string) bool {
	t.Helper()
	return os.Getenv("TOOLRUN_HELPER") == name
}

func helper(t *testing.T, name string, environment ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(append(os.Environ(), "TOOLRUN_HELPER="+name), environment...)
	return cmd
}
