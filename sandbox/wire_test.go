package sandbox

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

// framed is a frame as it lies on the wire.
func framed(kind byte, fill func([]byte) []byte) []byte {
	var wire bytes.Buffer
	if err := newLink(&wire).send(kind, fill); err != nil {
		panic(err)
	}
	return wire.Bytes()
}

func TestFrames(t *testing.T) {
	var wire bytes.Buffer
	l := newLink(&wire)
	o := order{
		seq: 9, check: true, invoke: true, fetch: true, key: Source{Code: "x"}.key(), remaining: 24 * time.Hour,
		limits: builtinLimits, parameters: []byte(`{"a":1}`), credentials: []byte(`{}`),
	}
	failed := report{
		seq: 9, retire: true, failed: true, class: errclass.HTTPError, reason: errclass.Exception, detail: "d", origin: errclass.OriginCaller, hint: "h",
		stack: []string{"a", "b"}, stopped: true, where: "w", cause: "c", call: 7,
		retryable: true, retryAfter: 3, limit: 4, upstream: errclass.Upstream{Host: "h", Status: 500, Code: "c"},
	}
	call := hostCall{id: 3, tool: "t", payload: []byte("{}"), bodied: true, body: []byte("b")}
	src := Source{Name: "n.ts", Code: "code", Dir: "/d"}
	hello := greeting{memory: memory{1, 2}, layers: []Layer{{"a", true, ""}, {"b", false, "why"}}}

	require.NoError(t, l.send(frameJob, o.append))
	require.NoError(t, l.send(frameResult, failed.append))
	require.NoError(t, l.send(frameResult, (&report{value: []byte("1")}).append))
	require.NoError(t, l.send(frameCall, call.append))
	require.NoError(t, l.send(frameSource, func(dst []byte) []byte { return appendSource(dst, src) }))
	require.NoError(t, l.send(frameReady, hello.append))
	require.NoError(t, l.send(frameStarted, nil))

	next := func(want byte) []byte {
		kind, payload, err := l.receive(1 << 20)
		require.NoError(t, err)
		require.Equal(t, want, kind)
		return payload
	}
	gotOrder, err := parseOrder(next(frameJob))
	require.NoError(t, err)
	require.Equal(t, o, gotOrder)
	gotReport, err := parseReport(next(frameResult))
	require.NoError(t, err)
	require.Equal(t, failed, gotReport)
	gotReport, err = parseReport(next(frameResult))
	require.NoError(t, err)
	require.Equal(t, report{value: []byte("1")}, gotReport)
	gotCall, err := parseCall(next(frameCall))
	require.NoError(t, err)
	require.Equal(t, call, gotCall)
	gotSource, err := parseSource(next(frameSource))
	require.NoError(t, err)
	require.Equal(t, src, gotSource)
	gotHello, err := parseGreeting(next(frameReady))
	require.NoError(t, err)
	require.Equal(t, hello, gotHello)
	require.Empty(t, next(frameStarted))
	_, _, err = l.receive(1 << 20)
	require.ErrorIs(t, err, io.EOF)
}

func TestFetchOnTheWire(t *testing.T) {
	for _, body := range [][]byte{nil, {}, []byte("body\x00\xff")} {
		req := &FetchRequest{Method: "POST", URL: "https://a.example/", Header: [][2]string{{"a", "é"}}, Body: body, Redirect: "follow"}
		call, err := fetchCall(req)
		require.NoError(t, err)
		got, err := call.request()
		require.NoError(t, err)
		require.Equal(t, req, got)
	}
	resp := &FetchResponse{Status: 200, StatusText: "OK", URL: "https://b.example/", Redirected: true, Header: [][2]string{{"a", "b"}}, Body: []byte("x")}
	got, err := parseResponse(appendResponse(nil, resp))
	require.NoError(t, err)
	require.Equal(t, resp, got)
}

// TestFrameLimit: one over the limit is refused, and what is claimed but doesn't
// come isn't allocated.
func TestFrameLimit(t *testing.T) {
	const limit = 1000
	for over := -1; over <= 1; over++ {
		frame := framed(frameLog, func(dst []byte) []byte { return append(dst, make([]byte, limit+over)...) })
		_, payload, err := newLink(bytes.NewBuffer(frame)).receive(limit)
		if over > 0 {
			require.ErrorIs(t, err, errProtocol)
			continue
		}
		require.NoError(t, err)
		require.Len(t, payload, limit+over)
	}
	_, _, err := newLink(bytes.NewBuffer([]byte{0, 0, 0, 0, 1})).receive(limit)
	require.ErrorIs(t, err, errProtocol, "a frame without a kind")

	const peers = 64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range peers {
		claim := binary.BigEndian.AppendUint32(nil, 1<<30)
		_, _, err := newLink(bytes.NewBuffer(append(claim, frameLog, 'x'))).receive(1 << 30)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(peers*4<<20))
}

// FuzzFrames: whatever a child sends, its host reads it or refuses it.
func FuzzFrames(f *testing.F) {
	call, _ := fetchCall(&FetchRequest{Method: "GET", URL: "https://a.example/", Redirect: "follow"})
	call.id = 1
	for _, frame := range [][]byte{
		framed(frameResult, (&report{value: []byte("1")}).append),
		framed(frameResult, (&report{failed: true, reason: errclass.Exception, stack: []string{"a"}}).append),
		framed(frameCall, (&hostCall{id: 1, tool: "t", payload: []byte("{}")}).append),
		framed(frameCall, call.append),
		framed(frameLog, func(dst []byte) []byte { return appendBytes(appendBytes(dst, "info"), "line") }),
		framed(frameReady, (&greeting{layers: []Layer{{"a", true, ""}}}).append),
		framed(frameAnswer, func(dst []byte) []byte { return appendAnswer(dst, 1, []byte("1"), nil) }),
		framed(frameJob, (&order{limits: builtinLimits}).append),
	} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLink(bytes.NewBuffer(data))
		for {
			kind, payload, err := l.receive(1 << 16)
			if err != nil {
				return
			}
			switch kind {
			case frameResult:
				if r, err := parseReport(payload); err == nil {
					require.LessOrEqual(t, len(r.stack), maxFrames)
				}
			case frameCall:
				if c, err := parseCall(payload); err == nil {
					require.NotZero(t, c.id)
					_, _ = c.request()
				}
			case frameLog:
				_, _ = parseLog(payload)
			case frameReady:
				_, _ = parseGreeting(payload)
			case frameAnswer:
				_, value, _, _ := parseAnswer(payload)
				_, _ = parseResponse(value)
			case frameJob:
				_, _ = parseOrder(payload)
			case frameSource:
				_, _ = parseSource(payload)
			}
		}
	})
}
