package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

func TestMain(m *testing.M) {
	if os.Getenv("SANDBOX_TEST_HELPER") == "forgets-init" {
		_, err := sandbox.New(sandbox.Options{})
		fmt.Println(err)
		return
	}
	sandbox.Init()
	goleak.VerifyTestMain(m)
}

// isolations are the wirings that the whole suite runs against.
var isolations = []sandbox.Isolation{sandbox.Inline, sandbox.Process}

// patience is a deadline for programs that end by themselves: long enough for a
// slow machine under the race detector.
const patience = time.Minute

// eachIsolation runs a test against every isolation.
func eachIsolation(t *testing.T, test func(t *testing.T, pool *sandbox.Pool)) {
	t.Helper()
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			test(t, newPool(t, sandbox.Options{Isolation: isolation}))
		})
	}
}

func newPool(t testing.TB, o sandbox.Options) *sandbox.Pool {
	t.Helper()
	pool, err := sandbox.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { closeEventually(t, pool) })
	return pool
}

// closeEventually closes a pool that may still have abandoned executions, which
// end by themselves within seconds.
func closeEventually(t testing.TB, pool *sandbox.Pool) {
	t.Helper()
	var err error
	for range 300 {
		if err = pool.Close(); err == nil {
			return
		}
	}
	require.NoError(t, err)
}

func code(text string) sandbox.Job {
	return sandbox.Job{Source: sandbox.Source{Code: text}}
}

func named(name, text string) sandbox.Job {
	return sandbox.Job{Source: sandbox.Source{Name: name, Code: text}}
}

// run executes a job that ends by itself.
func run(t testing.TB, pool *sandbox.Pool, job sandbox.Job) (*sandbox.Result, *errclass.Error) {
	t.Helper()
	return runFor(t, pool, job, patience)
}

func runFor(t testing.TB, pool *sandbox.Pool, job sandbox.Job, limit time.Duration) (*sandbox.Result, *errclass.Error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	result, err := pool.Run(ctx, job)
	require.NotNil(t, result)
	if err == nil {
		return result, nil
	}
	var failure *errclass.Error
	require.True(t, errors.As(err, &failure), "%T %v", err, err)
	require.True(t, failure.Class.Valid(), failure.Class)
	require.True(t, failure.Reason.Valid(), failure.Reason)
	require.Nil(t, result.Value)
	return result, failure
}

func value(t testing.TB, pool *sandbox.Pool, job sandbox.Job) string {
	t.Helper()
	result, failure := run(t, pool, job)
	require.Nil(t, failure, "%s: %v: %v", job.Source.Code, failure, errors.Unwrap(failure))
	return string(result.Value)
}

func failure(t testing.TB, pool *sandbox.Pool, job sandbox.Job) *errclass.Error {
	t.Helper()
	_, failure := run(t, pool, job)
	require.NotNil(t, failure)
	return failure
}
