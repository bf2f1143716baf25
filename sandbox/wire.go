package sandbox

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// A frame is four bytes of length, big-endian, of what follows them; one byte of
// kind; and a payload of that kind's own form. The host trusts nothing in the
// frames it reads.
const frameHead = 5

// The kinds of frames. Behind each, who sends it.
const (
	frameReady      byte = iota + 1 // child: hardened, and waits for jobs
	frameJob                        // host
	frameUnknown                    // child: the job's source isn't cached, send it
	frameSource                     // host
	frameFile                       // child: it wants to know of a file that the source imports
	frameFileAnswer                 // host
	frameStarted                    // child: a source that wasn't cached is compiled
	frameLog                        // child: a line for the log
	frameCall                       // child: a call of the host
	frameCancel                     // child: a call isn't wanted any more
	frameAnswer                     // host: how the call has ended
	frameResult                     // child: how the job has ended
)

// errProtocol is a frame that breaks the rules.
var errProtocol = errors.New("sandbox: a frame breaks the protocol")

// link is one end of the socket between host and child. Any goroutine may
// write; one at a time reads.
type link struct {
	r *bufio.Reader
	w io.Writer

	mu  sync.Mutex
	out []byte
}

func newLink(rw io.ReadWriter) *link {
	return &link{r: bufio.NewReaderSize(rw, 16<<10), w: rw}
}

// keepBuffer is how large a write buffer may stay between frames.
const keepBuffer = 64 << 10

// send writes a frame whose payload fill appends.
func (l *link) send(kind byte, fill func([]byte) []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := append(l.out[:0], 0, 0, 0, 0, kind)
	if fill != nil {
		out = fill(out)
	}
	if uint64(len(out)-4) > 1<<31 {
		return errProtocol
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	_, err := l.w.Write(out)
	if l.out = out; cap(out) > keepBuffer {
		l.out = nil
	}
	return err
}

// receive reads a frame of at most limit bytes. What a peer claims to send isn't
// allocated before it comes.
func (l *link) receive(limit int) (kind byte, payload []byte, err error) {
	head, err := l.r.Peek(frameHead)
	if err != nil {
		return 0, nil, err
	}
	size := int64(binary.BigEndian.Uint32(head)) - 1
	kind = head[4]
	if size < 0 || size > int64(limit) {
		return 0, nil, errProtocol
	}
	_, _ = l.r.Discard(frameHead) // they are buffered
	const step = 1 << 20
	payload = make([]byte, 0, min(size, step))
	for int64(len(payload)) < size {
		have := len(payload)
		next := min(size-int64(have), max(step, int64(have)))
		payload = append(payload, make([]byte, next)...)
		if _, err := io.ReadFull(l.r, payload[have:]); err != nil {
			return 0, nil, err
		}
	}
	return kind, payload, nil
}

// fields reads the parts of a payload. After the first fault all reads give
// zeros and err says so.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) fail() {
	f.rest, f.err = nil, errProtocol
}

func (f *fields) uint() uint64 {
	n, width := binary.Uvarint(f.rest)
	if width <= 0 {
		f.fail()
		return 0
	}
	f.rest = f.rest[width:]
	return n
}

// int is a count or size: it fits an int and isn't negative.
func (f *fields) int() int {
	n := f.uint()
	if n > 1<<40 {
		f.fail()
		return 0
	}
	return int(n)
}

func (f *fields) duration() time.Duration { return time.Duration(min(f.uint(), math.MaxInt64)) }

func (f *fields) bytes() []byte {
	n := f.uint()
	if n > uint64(len(f.rest)) {
		f.fail()
		return nil
	}
	part := f.rest[:n:n]
	f.rest = f.rest[n:]
	return part
}

func (f *fields) text() string { return string(f.bytes()) }

func (f *fields) byte() byte {
	if len(f.rest) == 0 {
		f.fail()
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

// end reports the first fault, or that something is left over.
func (f *fields) end() error {
	if f.err == nil && len(f.rest) > 0 {
		f.fail()
	}
	return f.err
}

func appendBytes[T string | []byte](dst []byte, part T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(part))), part...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// sourceKey names a source between host and child.
type sourceKey [sha256.Size]byte

// key hashes all of a source; no two have the same.
func (s Source) key() sourceKey {
	hash := sha256.New()
	var lengths [16]byte
	binary.BigEndian.PutUint64(lengths[:8], uint64(len(s.Name)))
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(s.Dir)))
	hash.Write(lengths[:])
	io.WriteString(hash, s.Name)
	io.WriteString(hash, s.Dir)
	io.WriteString(hash, s.Code)
	var key sourceKey
	hash.Sum(key[:0])
	return key
}

// order is a job as it travels: the source as its key, callbacks as flags.
type order struct {
	seq         uint64 // of the child's jobs; its report repeats it
	check       bool   // compile only
	invoke      bool   // tools.invoke is there
	fetch       bool   // fetch has a network
	axios       bool
	key         sourceKey
	remaining   time.Duration // until the deadline; zero without one
	limits      Limits
	parameters  []byte
	credentials []byte
}

func (o *order) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, o.seq)
	dst = appendBool(dst, o.check)
	dst = appendBool(dst, o.invoke)
	dst = appendBool(dst, o.fetch)
	dst = appendBool(dst, o.axios)
	dst = append(dst, o.key[:]...)
	dst = binary.AppendUvarint(dst, uint64(o.remaining))
	for _, limit := range o.limits.fields() {
		dst = binary.AppendUvarint(dst, uint64(*limit.value))
	}
	dst = appendBytes(dst, o.parameters)
	return appendBytes(dst, o.credentials)
}

func parseOrder(payload []byte) (o order, err error) {
	f := fields{rest: payload}
	o.seq = f.uint()
	o.check = f.byte() == 1
	o.invoke = f.byte() == 1
	o.fetch = f.byte() == 1
	o.axios = f.byte() == 1
	if len(f.rest) < len(o.key) {
		return o, errProtocol
	}
	f.rest = f.rest[copy(o.key[:], f.rest):]
	o.remaining = f.duration()
	for _, limit := range o.limits.fields() {
		*limit.value = f.int()
	}
	o.parameters, o.credentials = f.bytes(), f.bytes()
	return o, f.end()
}

func appendSource(dst []byte, src Source) []byte {
	return appendBytes(appendBytes(appendBytes(dst, src.Name), src.Code), src.Dir)
}

func parseSource(payload []byte) (src Source, err error) {
	f := fields{rest: payload}
	src.Name, src.Code, src.Dir = f.text(), f.text(), f.text()
	return src, f.end()
}

// fileRequest asks for a file of the source's folder: where it is, or with a limit
// what is in it.
type fileRequest struct {
	name  string
	limit int // zero to locate it
}

func (r *fileRequest) append(dst []byte) []byte {
	return binary.AppendUvarint(appendBytes(dst, r.name), uint64(r.limit))
}

func parseFileRequest(payload []byte) (r fileRequest, err error) {
	f := fields{rest: payload}
	r.name, r.limit = f.text(), f.int()
	return r, f.end()
}

// fileErrors are the errors of a folder, by their number on the wire.
var fileErrors = []error{nil, fs.ErrNotExist, errOutside, errNoRead, errNoFile, errTooLarge, errNoFolder}

func appendFileAnswer(dst, data []byte, err error) []byte {
	number := slices.Index(fileErrors, err)
	if number < 0 {
		number = slices.Index(fileErrors, errNoRead)
	}
	return append(append(dst, byte(number)), data...)
}

func parseFileAnswer(payload []byte) ([]byte, error) {
	f := fields{rest: payload}
	number := int(f.byte())
	if f.err != nil || number >= len(fileErrors) {
		return nil, errProtocol
	}
	return f.rest, fileErrors[number]
}

func parseLog(payload []byte) (line errclass.LogLine, err error) {
	f := fields{rest: payload}
	line.Level, line.Message = f.text(), f.text()
	for _, c := range consoleLevels {
		if c.level == line.Level {
			return line, f.end()
		}
	}
	return line, errProtocol
}

// hostCall is a call that the program makes of its host: of tools.invoke, where
// there is a tool's name, else of fetch, with the request's body apart.
type hostCall struct {
	id      uint64 // from one
	tool    string
	payload []byte // parameters, or a FetchRequest
	bodied  bool
	body    []byte
}

func (c *hostCall) append(dst []byte) []byte {
	dst = appendBytes(binary.AppendUvarint(dst, c.id), c.tool)
	return appendBytes(appendBool(appendBytes(dst, c.payload), c.bodied), c.body)
}

func parseCall(payload []byte) (c hostCall, err error) {
	f := fields{rest: payload}
	c.id, c.tool, c.payload = f.uint(), f.text(), f.bytes()
	c.bodied, c.body = f.byte() == 1, f.bytes()
	if c.id == 0 {
		return c, errProtocol
	}
	return c, f.end()
}

// fetchCall makes a call of a request. Its body, which may be large, goes beside
// the JSON.
func fetchCall(req *FetchRequest) (c hostCall, err error) {
	bare := *req
	bare.Body = nil
	c.bodied, c.body = req.Body != nil, req.Body
	c.payload, err = strictjson.Marshal(bare)
	return c, err
}

// request is the inverse of fetchCall.
func (c *hostCall) request() (*FetchRequest, error) {
	req := new(FetchRequest)
	if err := strictjson.Unmarshal(c.payload, req); err != nil {
		return nil, errProtocol
	}
	if req.Body = nil; c.bodied {
		req.Body = c.body
	}
	return req, nil
}

// appendResponse renders the answer to a fetch; parseResponse reads it.
func appendResponse(dst []byte, resp *FetchResponse) []byte {
	bare := *resp
	bare.Body = nil
	head, err := strictjson.Marshal(bare)
	if err != nil { // text of an upstream that isn't UTF-8; the embedder should have decoded it
		head = []byte("null")
	}
	return append(appendBytes(dst, head), resp.Body...)
}

func parseResponse(text []byte) (*FetchResponse, error) {
	f := fields{rest: text}
	head := f.bytes()
	resp := new(FetchResponse)
	if err := strictjson.Unmarshal(head, resp); f.err != nil || err != nil {
		return nil, errProtocol
	}
	resp.Body = f.rest
	return resp, nil
}

// appendAnswer is a call's value, or of its failure what a program may know.
func appendAnswer(dst []byte, id uint64, value []byte, failure *errclass.Error) []byte {
	dst = binary.AppendUvarint(dst, id)
	dst = appendBool(dst, failure != nil)
	if failure == nil {
		return appendBytes(dst, value)
	}
	dst = appendBytes(dst, string(failure.Class))
	dst = appendBytes(dst, string(failure.Reason))
	return appendBytes(dst, failure.Detail)
}

func parseAnswer(payload []byte) (id uint64, value []byte, failure *errclass.Error, err error) {
	f := fields{rest: payload}
	id = f.uint()
	if f.byte() == 0 {
		value = f.bytes()
		return id, value, nil, f.end()
	}
	class, reason, detail := errclass.Class(f.text()), errclass.Reason(f.text()), f.text()
	return id, nil, errclass.New(class, reason, detail), f.end()
}

// report is how a job has ended in the child.
type report struct {
	seq    uint64
	retire bool   // the child shouldn't be used again
	value  []byte // after a success
	failed bool
	// Of a failure: what the child says of it, which the host checks.
	class      errclass.Class
	reason     errclass.Reason
	detail     string
	origin     errclass.Origin
	hint       string
	retryable  bool
	retryAfter time.Duration
	limit      time.Duration
	upstream   errclass.Upstream
	stack      []string
	stopped    bool // the deadline passed; where says where the program was
	where      string
	cause      string // of an engine fault, for the log
	call       uint64 // the host call whose failure this is; zero for none
}

func (r *report) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, r.seq)
	dst = appendBool(dst, r.retire)
	dst = appendBool(dst, r.failed)
	if !r.failed {
		return append(dst, r.value...)
	}
	for _, part := range [...]string{
		string(r.class), string(r.reason), r.detail, string(r.origin), r.hint, r.where, r.cause, r.upstream.Host, r.upstream.Code,
	} {
		dst = appendBytes(dst, part)
	}
	dst = appendBool(dst, r.stopped)
	dst = appendBool(dst, r.retryable)
	for _, number := range [...]uint64{
		r.call, uint64(r.retryAfter), uint64(r.limit), uint64(r.upstream.Status), uint64(len(r.stack)),
	} {
		dst = binary.AppendUvarint(dst, number)
	}
	for _, frame := range r.stack {
		dst = appendBytes(dst, frame)
	}
	return dst
}

func parseReport(payload []byte) (r report, err error) {
	f := fields{rest: payload}
	r.seq = f.uint()
	r.retire = f.byte() == 1
	r.failed = f.byte() == 1
	if !r.failed {
		r.value = f.rest
		return r, f.err
	}
	r.class, r.reason, r.detail = errclass.Class(f.text()), errclass.Reason(f.text()), f.text()
	r.origin, r.hint, r.where, r.cause = errclass.Origin(f.text()), f.text(), f.text(), f.text()
	r.upstream.Host, r.upstream.Code = f.text(), f.text()
	r.stopped, r.retryable = f.byte() == 1, f.byte() == 1
	r.call = f.uint()
	r.retryAfter, r.limit = f.duration(), f.duration()
	r.upstream.Status = f.int()
	frames := f.uint()
	if frames > maxFrames {
		return r, errProtocol
	}
	for range frames {
		r.stack = append(r.stack, f.text())
	}
	return r, f.end()
}

// greeting is what a child says of itself once it is ready.
type greeting struct {
	memory memory // before any job
	layers []Layer
}

func (g *greeting) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, g.memory.data)
	dst = binary.AppendUvarint(dst, g.memory.space)
	dst = binary.AppendUvarint(dst, uint64(len(g.layers)))
	for _, layer := range g.layers {
		dst = appendBytes(dst, layer.Name)
		dst = appendBool(dst, layer.Required)
		dst = appendBytes(dst, layer.Missing)
	}
	return dst
}

func parseGreeting(payload []byte) (g greeting, err error) {
	f := fields{rest: payload}
	g.memory.data, g.memory.space = f.uint(), f.uint()
	n := f.uint()
	if n > 100 {
		return g, errProtocol
	}
	for range n {
		g.layers = append(g.layers, Layer{Name: f.text(), Required: f.byte() == 1, Missing: f.text()})
	}
	return g, f.end()
}

// memory is what the kernel counts of a process, in bytes: private writable
// memory, and address space.
type memory struct{ data, space uint64 }

// Layer is one of the walls around a child process.
type Layer struct {
	Name string
	// Required reports whether a pool refuses to start without it.
	Required bool
	// Missing says why the layer isn't there; empty when it is.
	Missing string
}

func (l Layer) String() string {
	if l.Missing == "" {
		return l.Name + ": active"
	}
	return fmt.Sprintf("%s: missing (%s)", l.Name, l.Missing)
}
