package llmtool_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/llmtool"
)

// providerProcess is the environment variable that makes the test binary a
// provider: its memory must not count as ours.
const providerProcess = "LLMTOOL_TEST_PROVIDER"

const (
	streams = 500
	pieces  = 50
)

const text = "about a token or two "

// serveStreams answers each request with a stream, until stdin ends.
func serveStreams() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("http://%s\n", l.Addr())
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stream(w, role)
		for range pieces {
			stream(w, piece(text))
		}
		stream(w, ending("stop"), spent, done)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		panic(err)
	}
}

// startProvider runs serveStreams in a process of its own.
func startProvider(t testing.TB) (url string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), providerProcess+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		require.NoError(t, cmd.Wait())
	})
	url, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(url)
}

// used is the memory in use by heap and stacks, garbage included, in bytes.
func used() int {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// All streams are under way at once: none gets past its first piece before every
// other has one, and none past its last.
func TestManyStreamsTakeLittleMemory(t *testing.T) {
	const most = 64 << 20
	c := clients(t, provider(startProvider(t)))
	tool := compile(t, llmtool.Config{})
	runtime.GC()
	before := used()
	var left sync.WaitGroup
	first, last, ended := make(chan error, streams), make(chan error, streams), make(chan error, streams)
	goOn, finish := make(chan struct{}), make(chan struct{})
	for range streams {
		left.Go(func() {
			n := 0
			in := input
			in.Delta = func(string) {
				switch n++; n {
				case 1:
					first <- nil
					<-goOn
				case pieces:
					last <- nil
					<-finish
				}
			}
			answer, err := tool.Run(t.Context(), c, in)
			if err == nil && len(answer.Value) != pieces*len(text)+2 {
				err = errors.New("the answer isn't complete")
			}
			for _, stage := range []chan error{first, last, ended} {
				select {
				case stage <- err: // only an early end is news here
				default:
				}
			}
		})
	}
	all := func(stage chan error) {
		for range streams {
			require.NoError(t, <-stage)
		}
	}
	all(first)
	atFirst := used() - before
	close(goOn)
	all(last)
	atLast := used() - before
	close(finish)
	left.Wait()
	all(ended)
	t.Logf("%d streams: %.1f MiB at their first piece, %.1f MiB at their last", streams, float64(atFirst)/(1<<20), float64(atLast)/(1<<20))
	require.Less(t, atFirst, most)
	require.Less(t, atLast, most)
}
