//go:build unix

package sandbox

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCloseWhileAChildStarts: a child that isn't ready yet holds nobody up who closes
// the pool, as a command does after its one execution.
func TestCloseWhileAChildStarts(t *testing.T) {
	p := newChildPool(t, Options{Children: 1})
	started := make(chan *child, 1)
	p.children.mu.Lock()
	p.children.start = func() (*child, error) {
		c, err := startChild()
		if err == nil {
			err = c.process.Signal(syscall.SIGSTOP) // it will never be ready
			started <- c
		}
		return c, err
	}
	p.children.mu.Unlock()
	for range 2 { // the second one orders a spare
		_, err := p.Run(t.Context(), Job{Source: Source{Code: "return 1"}})
		require.NoError(t, err)
	}
	c := <-started
	begun := time.Now()
	require.NoError(t, p.Close())
	require.Less(t, time.Since(begun), birthPatience/2)
	require.True(t, c.gone())
}
