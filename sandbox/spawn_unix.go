//go:build unix

package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// spawn starts a child. Its memory of the host is a socket, a pipe for its last
// words, and nothing else.
func spawn() (process *os.Process, socket, stderr *os.File, err error) {
	path, err := executable()
	if err != nil {
		return nil, nil, nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("no socket: %w", err)
	}
	unix.CloseOnExec(pair[0])
	unix.CloseOnExec(pair[1])
	theirs := os.NewFile(uintptr(pair[1]), "child's end")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, nil, nil, err
	}
	socket = os.NewFile(uintptr(pair[0]), "sandbox child") // non-blocking, so that it has deadlines
	stderr, words, err := os.Pipe()
	if err != nil {
		socket.Close()
		return nil, nil, nil, err
	}
	defer words.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		defer null.Close()
		process, err = os.StartProcess(path, []string{childName}, &os.ProcAttr{
			Dir: "/", Env: []string{}, Files: []*os.File{null, null, words, theirs}, Sys: childAttributes(),
		})
	}
	if err != nil {
		socket.Close()
		stderr.Close()
		return nil, nil, nil, err
	}
	return process, socket, stderr, nil
}
