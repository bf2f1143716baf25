package errclass

// Classify turns any error into an [*Error] with one class and one reason. It
// is total: nil stays nil, what is classified already stays as it is, and what
// nobody knows is an [InternalError] with the reason [Unclassified]. No error
// makes it panic, whatever its methods do, and none keeps it busy: circular and
// huge trees are looked at only in part.
//
// The error's text never reaches the caller. Details are put together from host
// names and fixed phrases; everything else is in [Error.Cause], for the log.
//
// An error says less about time than it seems, so whoever holds more knowledge
// should use it first:
//
//   - Whether a connection failed before the response or within its body shows
//     in the [url.Error] that http.Client puts around the former. Who reads a
//     body calls [ClassifyBody] instead; who calls an http.RoundTripper without
//     a client wraps its errors in a [url.Error] as the client would.
//   - A bare [context.DeadlineExceeded] is the reason [Deadline]: it doesn't say
//     what was waited for. Inside a [url.Error] it is [PhaseHeaders], also where
//     the connection was still being opened.
//   - A context made by [context.WithTimeoutCause] or cancelled with a cause
//     gives net/http only that cause to return. It is known as what it is only
//     if it wraps [context.DeadlineExceeded] or [context.Canceled].
//
// Where an error joins several, the best informed one decides: first what is
// classified already, then a fault (a refused port, a bad certificate, …), then
// a cancellation, then a timeout, then a connection that merely ended, and the
// first of equals. A cancellation or a timeout beside a fault is nearly always
// its consequence: a fan-out stops its other branches, a retry loop runs out of
// time.
func Classify(err error) *Error {
	return classify(err, false)
}

// ClassifyBody is [Classify] for an error met while reading a response's body:
// there a deadline is the reason [PhaseBody], and a connection that ends is an
// [InvalidResponse] with the reason [Truncated].
func ClassifyBody(err error) *Error {
	return classify(err, true)
}

func classify(err error, body bool) *Error {
	if err == nil {
		return nil
	}
	t := flatten(err)
	var best *Error
	bestRank := rank{}
	for _, nodes := range t.chains {
		found, known := climb(newChain(nodes, body, t.cut))
		if r := rankOf(found, known); best == nil || r.less(bestRank) {
			best, bestRank = found, r
		}
	}
	if bestRank.known {
		return best.repaired()
	}
	return best.WithCause(err)
}

// climb goes up the ladder and reports what it found, and whether that had been
// classified before.
func climb(c *chain) (found *Error, known bool) {
	if e, ok := c.leaf().(*Error); ok && e != nil {
		return e, true
	}
	for _, rung := range ladder {
		if e := rung(c); e != nil {
			if e.Upstream.Host == "" {
				e.Upstream.Host = c.host
			}
			return e, false
		}
	}
	e := New(InternalError, Unclassified, "")
	e.Upstream.Host = c.host
	return e, false
}

// rank orders the findings of several branches; see [Classify].
type rank struct {
	known  bool
	weight int
}

func rankOf(e *Error, known bool) rank {
	switch {
	case e.Class == InternalError && e.Reason == Unclassified:
		return rank{known, 4}
	case e.Reason == Reset || e.Reason == Truncated:
		return rank{known, 3}
	case e.Class == Timeout:
		return rank{known, 2}
	case e.Class == Cancelled:
		return rank{known, 1}
	}
	return rank{known, 0}
}

func (r rank) less(s rank) bool {
	if r.known != s.known {
		return r.known
	}
	return r.weight < s.weight
}

// repaired returns e itself or, where foreign code built it with a class or
// reason that doesn't exist, a copy that can be shown.
func (e *Error) repaired() *Error {
	if e.Class.Valid() && e.Reason.Valid() {
		return e
	}
	c := *e
	if !c.Class.Valid() {
		c.Class = InternalError
	}
	if !c.Reason.Valid() {
		c.Reason = Unclassified
	}
	return &c
}

const (
	// maxNodes, maxDepth and maxChains bound how much of an error's tree is
	// looked at. Real trees have a dozen nodes.
	maxNodes  = 1024
	maxDepth  = 256
	maxChains = 64
)

// tree is what [flatten] makes of an error.
type tree struct {
	chains [][]error // each from the error itself to one leaf
	nodes  int
	cut    bool // there was more than was looked at
}

// flatten lists the ways from err down to what it wraps, in the order of
// errors.As. A classified error is a leaf: what is beneath it has been judged.
func flatten(err error) *tree {
	t := &tree{}
	if err == nil {
		return t
	}
	t.walk(make([]error, 0, 8), err)
	return t
}

func (t *tree) walk(path []error, err error) {
	for {
		if t.full() || len(path) == maxDepth {
			t.cut = true
			t.add(path)
			return
		}
		t.nodes++
		path = append(path, err)
		if _, ok := err.(*Error); ok {
			t.add(path)
			return
		}
		children := unwrap(err)
		switch len(children) {
		case 0:
			t.add(path)
			return
		case 1:
			err = children[0]
			continue
		}
		for _, child := range children {
			if t.full() {
				t.cut = true
				return
			}
			// A full slice makes the branches' appends copy.
			t.walk(path[:len(path):len(path)], child)
		}
		return
	}
}

func (t *tree) full() bool { return t.nodes >= maxNodes || len(t.chains) >= maxChains }

func (t *tree) add(path []error) {
	if len(t.chains) < maxChains && len(path) > 0 {
		t.chains = append(t.chains, path)
	}
}

// unwrap returns what err itself wraps, without nils.
func unwrap(err error) (children []error) {
	defer func() {
		if recover() != nil { // a typed nil pointer, mostly
			children = nil
		}
	}()
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		if child := x.Unwrap(); child != nil {
			return []error{child}
		}
	case interface{ Unwrap() []error }:
		all := x.Unwrap()
		for _, child := range all[:min(len(all), maxNodes)] {
			if child != nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// is reports whether err itself, not what it wraps, is target.
func is(err, target error) (yes bool) {
	if err == target {
		return true
	}
	x, ok := err.(interface{ Is(error) bool })
	if !ok {
		return false
	}
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return x.Is(target)
}

// saysTimeout reports whether err itself claims to be a timeout, as net.Error
// defines it.
func saysTimeout(err error) (yes bool) {
	x, ok := err.(interface{ Timeout() bool })
	if !ok {
		return false
	}
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return x.Timeout()
}
