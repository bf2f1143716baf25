//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is all clients.
type load struct {
	*service
	client *http.Client
	all    []*execution
	acked  atomic.Int64
	done   atomic.Int64

	mu      sync.Mutex
	answers map[string]int // to submissions, by status
}

// execution is one that a client wanted.
type execution struct {
	number       int
	tool         *tool
	organization string
	key          string // idempotency key; may be empty
	call         string // what the upstream sees
	abandoned    []string
	ms           int

	id       string // once it was accepted
	document []byte // once it was done
}

func newLoad(s *service) *load {
	l := &load{service: s, all: make([]*execution, s.executions), answers: make(map[string]int)}
	l.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: s.clients}}
	for i := range l.all {
		random := rand.New(rand.NewPCG(s.seed, 1000+uint64(i)))
		e := &execution{number: i, tool: &tools[random.IntN(len(tools))], call: fmt.Sprint("c", i), ms: random.IntN(301)}
		if random.IntN(5) == 0 {
			e.organization = "acme"
		}
		if random.IntN(8) != 0 {
			e.key = fmt.Sprintf("key %d", i)
		}
		l.all[i] = e
	}
	return l
}

// run submits all and waits for their outcomes.
func (l *load) run(ctx context.Context) error {
	var next atomic.Int64
	var clients sync.WaitGroup
	faults := make([]error, l.clients)
	for c := range l.clients {
		clients.Go(func() {
			for faults[c] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(l.all) {
					return
				}
				faults[c] = l.see(ctx, l.all[i])
			}
		})
	}
	quiet := make(chan struct{})
	go l.tell(quiet)
	clients.Wait()
	close(quiet)
	return errors.Join(faults...)
}

// tell says how far all is.
func (l *load) tell(quiet <-chan struct{}) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-quiet:
			return
		case <-tick.C:
			fmt.Fprintf(l.out, "%6d accepted %6d done   %s\n", l.acked.Load(), l.done.Load(), l.verdict.ends())
		}
	}
}

// see sees one execution through, as a client that has patience.
func (l *load) see(ctx context.Context, e *execution) error {
	random := rand.New(rand.NewPCG(l.seed, 1<<32+uint64(e.number)))
	twins := 1
	if e.key != "" && random.IntN(10) == 0 {
		twins = 3 // a client that is impatient: all at once
	}
	ids := make([]string, twins)
	faults := make([]error, twins)
	var group sync.WaitGroup
	for t := range twins {
		seed := random.Uint64()
		group.Go(func() { ids[t], _, faults[t] = l.submit(ctx, e, rand.New(rand.NewPCG(seed, 0))) })
	}
	group.Wait()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	e.id = ids[0]
	l.acked.Add(1)
	for _, id := range ids[1:] {
		l.same(e, id)
	}
	if e.key != "" && random.IntN(10) == 0 {
		if err := l.repeat(ctx, e, random); err != nil {
			return err
		}
	}
	if err := l.await(ctx, e, random); err != nil {
		return err
	}
	l.done.Add(1)
	if e.key != "" && random.IntN(10) == 0 {
		return l.repeat(ctx, e, random)
	}
	return nil
}

func (l *load) same(e *execution, id string) {
	if id != e.id {
		l.verdict.violation("%s: the key %q stands for two executions, %s and %s", e.call, e.key, e.id, id)
	}
}

// repeat submits once more with the same key.
func (l *load) repeat(ctx context.Context, e *execution, random *rand.Rand) error {
	id, replayed, err := l.submit(ctx, e, random)
	if err != nil {
		return err
	}
	l.same(e, id)
	if !replayed {
		l.verdict.violation("%s: the answer to the repetition doesn't say that it is one", e.call)
	}
	return nil
}

// submit goes on until the execution is accepted. Without a key, a try whose fate is
// unknown is given up: the next one is another call.
func (l *load) submit(ctx context.Context, e *execution, random *rand.Rand) (id string, replayed bool, err error) {
	for {
		resp, body, err := l.do(ctx, http.MethodPost, l.anyFront(random), e.path("/tools/"+e.tool.name+"/execute?mode=async"), e)
		answer := "no answer"
		if err == nil {
			answer = fmt.Sprint(resp.StatusCode)
		}
		l.count(answer)
		switch {
		case err == nil && resp.StatusCode == http.StatusAccepted:
			return resp.Header.Get("X-Execution-Id"), resp.Header.Get("Idempotent-Replayed") == "true", nil
		case err == nil && resp.StatusCode != http.StatusServiceUnavailable:
			l.verdict.violation("%s: a submission got %d: %s", e.call, resp.StatusCode, body)
		}
		if e.key == "" {
			e.abandoned = append(e.abandoned, e.call)
			e.call = fmt.Sprintf("c%d-%d", e.number, len(e.abandoned))
		}
		if !sleep(ctx, time.Duration(50+random.IntN(450))*time.Millisecond) {
			return "", false, context.Cause(ctx)
		}
	}
}

// await asks until the execution is done.
func (l *load) await(ctx context.Context, e *execution, random *rand.Rand) error {
	for {
		if !sleep(ctx, time.Duration(200+random.IntN(600))*time.Millisecond) {
			return context.Cause(ctx)
		}
		if document := l.read(ctx, e, random); document != nil {
			e.document = document
			return nil
		}
	}
}

// read is the execution's document if it is done, else nil.
func (l *load) read(ctx context.Context, e *execution, random *rand.Rand) []byte {
	resp, body, err := l.do(ctx, http.MethodGet, l.anyFront(random), e.path("/executions/"+e.id), nil)
	if err != nil || resp.StatusCode == http.StatusServiceUnavailable {
		return nil
	}
	if resp.StatusCode != http.StatusOK {
		l.verdict.violation("%s: GET of the execution %s got %d: %s", e.call, e.id, resp.StatusCode, body)
		return nil
	}
	if !bytes.Contains(body, []byte(`"state":"done"`)) {
		return nil
	}
	return body
}

// readAgain holds the outcomes against what was seen before.
func (l *load) readAgain(ctx context.Context) error {
	var next atomic.Int64
	var readers sync.WaitGroup
	for r := range 16 {
		random := rand.New(rand.NewPCG(l.seed, 1<<33+uint64(r)))
		readers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(l.all) {
					return
				}
				l.compare(ctx, l.all[i], random)
			}
		})
	}
	readers.Wait()
	return context.Cause(ctx)
}

func (l *load) compare(ctx context.Context, e *execution, random *rand.Rand) {
	for range 20 {
		document := l.read(ctx, e, random)
		if document != nil {
			if !bytes.Equal(document, e.document) {
				l.verdict.violation("%s: the outcome of %s changed:\n  %s\n  %s", e.call, e.id, e.document, document)
			}
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
	l.verdict.violation("%s: %s was done, and isn't any more", e.call, e.id)
}

func (l *load) anyFront(random *rand.Rand) string { return l.fronts[random.IntN(len(l.fronts))].url }

func (e *execution) path(rest string) string {
	if e.organization == "" {
		return rest
	}
	return "/organizations/" + e.organization + rest
}

// do sends a request; e is what a submission submits.
func (l *load) do(ctx context.Context, method, base, path string, e *execution) (*http.Response, []byte, error) {
	var body io.Reader
	if e != nil {
		body = strings.NewReader(fmt.Sprintf(`{"parameters":{"call":%q,"ms":%d}}`, e.call, e.ms))
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return nil, nil, err
	}
	if e != nil {
		req.Header.Set("Content-Type", "application/json")
		if e.key != "" {
			req.Header.Set("Idempotency-Key", e.key)
		}
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, text, err
}

func (l *load) count(answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[answer]++
}

// shown is the document of an execution, as far as it is looked at.
type shown struct {
	Data struct {
		ID                            string
		CreatedAt, StartedAt, EndedAt time.Time
		Attempts                      int
		Class, Reason                 string
		Outcome                       json.RawMessage
	}
}
