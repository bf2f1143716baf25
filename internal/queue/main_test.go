package queue_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	workerProcess()
	flag.Set("test.parallel", "8") // they mostly wait
	goleak.VerifyTestMain(m)
}

// open starts an engine that ends with the test.
func open(t testing.TB, opts queue.Options) *queue.Engine {
	t.Helper()
	e, err := queue.Open(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func TestOpen(t *testing.T) {
	open(t, queue.Options{})
	open(t, queue.Options{Dir: t.TempDir()})
}
