package errclass_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/almyty-inc/toolrun/errclass"
)

// plan turns bytes into a tree of errors: each byte chooses a kind of node, and
// some kinds read text or children from what follows.
type plan struct {
	bytes []byte
	depth int
	made  []error // for cycles
}

func (p *plan) next() byte {
	if len(p.bytes) == 0 {
		return 0
	}
	b := p.bytes[0]
	p.bytes = p.bytes[1:]
	return b
}

func (p *plan) text() string {
	n := min(int(p.next()), len(p.bytes))
	s := string(p.bytes[:n])
	p.bytes = p.bytes[n:]
	return s
}

func (p *plan) child() error {
	if p.depth > 200 || len(p.bytes) == 0 {
		return errors.New("leaf")
	}
	p.depth++
	defer func() { p.depth-- }()
	err := p.node()
	p.made = append(p.made, err)
	return err
}

func (p *plan) node() error {
	switch p.next() % 30 {
	case 0:
		return errors.New(p.text())
	case 1:
		return fmt.Errorf("%s: %w", p.text(), p.child())
	case 2:
		return errors.Join(p.child(), p.child())
	case 3:
		return fmt.Errorf("%w and %w: %s", p.child(), p.child(), p.text())
	case 4:
		return &url.Error{Op: p.text(), URL: p.text(), Err: p.child()}
	case 5:
		return &net.OpError{Op: []string{"dial", "read", "write", "remote error", ""}[p.next()%5], Err: p.child()}
	case 6:
		return &net.DNSError{Name: p.text(), Err: p.text(), IsNotFound: p.next()%2 == 0, IsTimeout: p.next()%2 == 0, UnwrapErr: p.child()}
	case 7:
		return syscall.Errno(p.next())
	case 8:
		return os.NewSyscallError(p.text(), syscall.Errno(p.next()))
	case 9:
		return []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded, gobreaker.ErrOpenState}[p.next()%7]
	case 10:
		e := errclass.New(errclass.Class(p.text()), errclass.Reason(p.text()), p.text())
		e.Cause = p.child()
		return e
	case 11:
		classes, reasons := errclass.Classes(), errclass.Reasons()
		e := errclass.New(classes[int(p.next())%len(classes)], reasons[int(p.next())%len(reasons)], p.text())
		e.Hint, e.Stack, e.Upstream.Host, e.Upstream.Code = p.text(), []string{p.text()}, p.text(), p.text()
		return e.WithCause(p.child())
	case 12:
		return errclass.FromPanic(p.child())
	case 13:
		return panicking{}
	case 14:
		return (*net.OpError)(nil)
	case 15:
		return (*errclass.Error)(nil)
	case 16:
		c := &circular{}
		p.made = append(p.made, c)
		c.next = p.child()
		return c
	case 17:
		if len(p.made) > 0 { // closes a circle where the node above is circular
			return p.made[int(p.next())%len(p.made)]
		}
		return wide{}
	case 18:
		w := make(wide, int(p.next()))
		for i := range w {
			w[i] = p.child()
		}
		return w
	case 19:
		return http2.StreamError{Code: http2.ErrCode(p.next()), Cause: p.child()}
	case 20:
		return goAway(http2.ErrCode(p.next()), p.text())
	case 21:
		return timeoutError{}
	case 22:
		return &json.SyntaxError{Offset: int64(p.next())}
	case 23:
		return &os.PathError{Op: p.text(), Path: p.text(), Err: p.child()}
	case 24:
		return wide{nil, p.child(), nil}
	case 25:
		return liar{p.child()}
	case 26:
		return &net.AddrError{Err: p.text(), Addr: p.text()}
	default:
		return fmt.Errorf("%w", p.child())
	}
}

// liar says yes to everything.
type liar struct{ error }

func (liar) Is(error) bool   { return true }
func (liar) As(any) bool     { return true }
func (liar) Timeout() bool   { return true }
func (l liar) Unwrap() error { return l.error }

func FuzzClassify(f *testing.F) {
	for kind := range byte(30) {
		f.Add([]byte{kind, 4, 't', 'e', 'x', 't', 1, 0, 9, 1, 7, 111}, false)
		f.Add([]byte{2, kind, 200, 0xff, '\n', '<', 4, 3, 'G', 'e', 't', 8, 'h', 't', 't', 'p', ':', '/', '/', 'h', 5, 0, 7, 111}, true)
	}
	f.Add([]byte{16, 1, 0, 17, 0}, false)
	f.Fuzz(func(t *testing.T, data []byte, body bool) {
		p := &plan{bytes: data}
		err := p.child()
		classify := errclass.Classify
		if body {
			classify = errclass.ClassifyBody
		}
		e := classify(err)
		require.NotNil(t, e)
		require.True(t, e.Class.Valid())
		require.True(t, e.Reason.Valid())
		requireMessage(t, e.Message(), e.Class)
		requireFailureDocument(t, errclass.Outcome{Err: e, Details: e.Details()})
		again := classify(e)
		require.Same(t, e, again)
	})
}

func BenchmarkClassifyRefused(b *testing.B) {
	err := requested(dialError(syscall.ECONNREFUSED))
	b.ReportAllocs()
	for b.Loop() {
		if errclass.Classify(err).Reason != errclass.Refused {
			b.Fatal("not refused")
		}
	}
}

// The most that a tree of errors can cost.
func BenchmarkClassifyHostile(b *testing.B) {
	tree := make(wide, 3)
	for i := range tree {
		tree[i] = tree
	}
	b.ReportAllocs()
	for b.Loop() {
		errclass.Classify(tree)
	}
}

func BenchmarkOutcome(b *testing.B) {
	outcomes := map[string]errclass.Outcome{
		"failure": {Err: errclass.New(errclass.ConnectionRefused, errclass.Refused, "")},
		"small":   {Result: json.RawMessage(`{"a":1}`)},
		"1MiB":    {Result: append(append([]byte{'"'}, make([]byte, 1<<20)...), '"')},
	}
	for name, o := range outcomes {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = o.AppendJSON(dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
