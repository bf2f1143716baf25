package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	// birthPatience is how long a child may take until it is ready.
	birthPatience = 10 * time.Second
	// deathPatience is how long a child that has closed its socket may take to end,
	// before its exit status is of no interest any more.
	deathPatience = 2 * time.Second
	// lastWordsBytes is how much of a dying child's stderr is looked at.
	lastWordsBytes = 4 << 10
	// knownSources bounds what the host remembers of a child's cache.
	knownSources = 4096
	// frameSlack is what a frame holds beside its bounded part.
	frameSlack = 64 << 10
)

// child is a child process as its host sees it. One execution at a time uses it.
type child struct {
	process  *os.Process
	socket   *os.File
	link     *link
	greeting greeting

	runs   int
	memory int // the cap that is set, in MiB
	known  map[sourceKey]struct{}

	reap   sync.Mutex    // held while the process id must stay the child's
	exited chan struct{} // closed when the two below are final
	words  []byte        // its stderr: Go's runtime alone writes there
	state  *os.ProcessState
	killed atomic.Bool // by us
}

// startChild starts a child; await tells when it is ready.
func startChild() (*child, error) {
	process, socket, stderr, err := spawn()
	if err != nil {
		return nil, err
	}
	c := &child{
		process: process, socket: socket, link: newLink(socket),
		known: make(map[sourceKey]struct{}), exited: make(chan struct{}),
	}
	go c.bury(stderr)
	return c, nil
}

// bury collects a child's last words and exit status.
func (c *child) bury(stderr *os.File) {
	var words bytes.Buffer
	_, _ = io.CopyN(&words, stderr, lastWordsBytes)
	_, _ = io.Copy(io.Discard, stderr)
	stderr.Close()
	_ = c.process.Kill() // one that has closed its stderr and lives
	c.reap.Lock()
	defer c.reap.Unlock()
	c.state, _ = c.process.Wait()
	c.words = words.Bytes()
	close(c.exited)
}

// gone reports whether the child has ended.
func (c *child) gone() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// capMemory sets the cap for a job. An ended child's id may be another process's.
func (c *child) capMemory(mib int) error {
	if c.memory == mib {
		return nil
	}
	c.reap.Lock()
	defer c.reap.Unlock()
	if c.gone() {
		return io.EOF
	}
	if err := capMemory(c.process.Pid, c.greeting.memory, uint64(mib)<<20); err != nil {
		return fmt.Errorf("sandbox: the memory limit can't be set: %w", err)
	}
	c.memory = mib
	return nil
}

// await waits until the child is ready and checks its walls. Layers that mayLack
// names may be missing.
func (c *child) await(mayLack map[string]bool) error {
	_ = c.socket.SetReadDeadline(time.Now().Add(birthPatience))
	kind, payload, err := c.link.receive(frameSlack)
	if err == nil && kind != frameReady {
		err = errProtocol
	}
	if err == nil {
		c.greeting, err = parseGreeting(payload)
	}
	if err != nil {
		c.kill()
		<-c.exited
		return fmt.Errorf("the child process didn't get ready: %w (%s)", err, c.obituary())
	}
	_ = c.socket.SetReadDeadline(time.Time{})
	if err := c.greeting.check(mayLack); err != nil {
		c.kill()
		<-c.exited
		return err
	}
	return nil
}

// check names a required layer that is missing.
func (g *greeting) check(mayLack map[string]bool) error {
	for _, layer := range g.layers {
		if layer.Required && layer.Missing != "" && !mayLack[layer.Name] {
			return fmt.Errorf("the required layer %q is missing: %s; list it in Options.MayLack to run without it", layer.Name, layer.Missing)
		}
	}
	return nil
}

// obituary says how a child ended, for the log.
func (c *child) obituary() string {
	words := errclass.OneLine(string(c.words), 200)
	if words == "" {
		words = "no last words"
	}
	return fmt.Sprintf("%v, %s", c.state, words)
}

// kill ends the child, whatever it is doing. It may be called more than once.
func (c *child) kill() {
	c.killed.Store(true)
	_ = c.process.Kill()
	_ = c.socket.SetDeadline(time.Unix(0, 1)) // wakes who waits for it
}

// discard ends the child and waits until nothing of it is left.
func (c *child) discard() {
	c.kill()
	<-c.exited
	c.socket.Close()
}
