//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

// lies are what a child that was taken over may write to its host.
var lies = map[string][]byte{
	"noise":              []byte("HTTP/1.1 200 OK\r\n\r\n"),
	"length of 4 GiB":    {0xff, 0xff, 0xff, 0xff, frameLog},
	"length of nothing":  {0, 0, 0, 0, frameLog},
	"unknown kind":       framed(99, nil),
	"host's own kind":    framed(frameJob, nil),
	"second greeting":    framed(frameReady, (&greeting{}).append),
	"log without level":  framed(frameLog, func(dst []byte) []byte { return appendBytes(appendBytes(dst, "fatal"), "x") }),
	"log cut short":      framed(frameLog, func(dst []byte) []byte { return binary.AppendUvarint(dst, 1000) }),
	"call without id":    framed(frameCall, (&hostCall{tool: "t", payload: []byte("{}")}).append),
	"call of no JSON":    framed(frameCall, (&hostCall{id: 1, tool: "t", payload: []byte("{")}).append),
	"fetch of no JSON":   framed(frameCall, (&hostCall{id: 1, payload: []byte("{")}).append),
	"cancel of nothing":  framed(frameCancel, func(dst []byte) []byte { return append(dst, 7) }),
	"file without Dir":   framed(frameFile, (&fileRequest{name: "../../etc/passwd", limit: 100}).append),
	"another's answer":   framed(frameResult, (&report{seq: 1 << 40, value: []byte(`"forged"`)}).append),
	"result of no JSON":  framed(frameResult, (&report{value: []byte("{")}).append),
	"result beyond":      framed(frameResult, (&report{value: append([]byte{'"'}, make([]byte, 1<<20)...)}).append),
	"own memory limit":   framed(frameResult, (&report{failed: true, class: errclass.SandboxError, reason: errclass.MemoryLimit}).append),
	"own internal error": framed(frameResult, (&report{failed: true, class: errclass.InternalError, reason: errclass.Panic}).append),
	"own refusal":        framed(frameResult, (&report{failed: true, class: errclass.ConnectionRefused, reason: errclass.Refused}).append),
	"deadline too early": framed(frameResult, (&report{failed: true, class: errclass.Timeout, reason: errclass.Deadline, stopped: true}).append),
	"status of no error": framed(frameResult, (&report{failed: true, class: errclass.HTTPError, reason: errclass.BadRequest}).append),
}

// TestLies: a child that breaks the protocol, or claims what only its host can
// know, is put down, the execution fails as one whose engine did, and the next one
// is unaffected.
func TestLies(t *testing.T) {
	p := newChildPool(t, Options{Children: 1})
	run := func(name, code string) (*Result, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return p.Run(ctx, Job{
			Source: Source{Name: name, Code: code}, Limits: Limits{OutputBytes: 1000},
			Invoke: func(context.Context, string, []byte) ([]byte, error) { return nil, nil },
			Fetch:  func(context.Context, *FetchRequest) (*FetchResponse, error) { return &FetchResponse{}, nil },
		})
	}
	for lie := range lies {
		t.Run(lie, func(t *testing.T) {
			_, err := run(probeSource, `__send("`+lie+`"); return 1`)
			var got *errclass.Error
			require.ErrorAs(t, err, &got)
			require.Equal(t, errclass.SandboxError, got.Class, got)
			require.Equal(t, errclass.EngineFault, got.Reason, got)
			result, err := run("", "return 1 + 1")
			require.NoError(t, err)
			require.Equal(t, "2", string(result.Value))
		})
	}
}
