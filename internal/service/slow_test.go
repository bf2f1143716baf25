package service_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	// crowdSize is how many bad clients come at once.
	crowdSize = 50
	// crowdMemory bounds what one of them may take, with its side of the connection,
	// which is in this process too.
	crowdMemory = 1 << 20
	// answeredWithin bounds each execution of the good client: generous, as the machine
	// may be busy, and far below what it takes to wait for one bad client after another.
	answeredWithin = 10 * time.Second
)

// impatient are the limits that bad clients run into.
var impatient = service.Options{
	ReadHeaderTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second, IdleTimeout: 2 * time.Second, BodyBytes: 64 << 10,
}

// drip sends text byte by byte, then end for ever, until the service hangs up.
func drip(c net.Conn, text, end string) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for {
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			<-pace.C
		}
		text = end
	}
}

// pour sends text for ever, until the service hangs up.
func pour(c net.Conn, text string) {
	text = strings.Repeat(text, 1+(4<<10)/len(text))
	for err := error(nil); err == nil; {
		_, err = io.WriteString(c, text)
	}
}

const (
	healthLine = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
	chunked    = "Transfer-Encoding: chunked\r\n\r\n"
)

// badClient is one that the service has to get rid of. What net/http and the handlers answer
// to a single one is in client_test.go and wireerror_test.go.
type badClient struct {
	name, begin string
	behave      func(net.Conn) // after begin was sent
	silent      bool           // it doesn't read either
	answer      string         // how the answer begins, where the client is sure to get it
}

var (
	slowHeader  = badClient{name: "header byte by byte", behave: func(c net.Conn) { drip(c, healthLine, "X: y\r\n") }}
	slowBody    = badClient{name: "body byte by byte", begin: executeLine + "Content-Length: 60000\r\n\r\n", behave: func(c net.Conn) { drip(c, "", " ") }}
	slowChunks  = badClient{name: "chunks byte by byte", begin: executeLine + chunked, behave: func(c net.Conn) { drip(c, "", "1\r\n \r\n") }}
	silent      = badClient{name: "silent", behave: func(net.Conn) {}}
	headerOnly  = badClient{name: "header only", begin: executeLine + "Content-Length: 10\r\n\r\n", behave: func(net.Conn) {}, answer: "HTTP/1.1 408 "}
	neverReads  = badClient{name: "never reads", behave: func(c net.Conn) { pour(c, "GET /tools/large HTTP/1.1\r\nHost: localhost\r\n\r\n") }, silent: true}
	manyHeaders = badClient{name: "too many headers", begin: healthLine, behave: func(c net.Conn) { pour(c, "X: y\r\n") }}
	longHeader  = badClient{name: "endless header", begin: healthLine + "X: ", behave: func(c net.Conn) { pour(c, "y") }}
	longPath    = badClient{name: "endless path", begin: "GET /", behave: func(c net.Conn) { pour(c, "y") }}
	longBody    = badClient{name: "body longer than allowed", begin: executeLine + "Content-Length: 1000000000\r\n\r\n", behave: func(c net.Conn) { pour(c, " ") }}
	manyChunks  = badClient{name: "endless chunks", begin: executeLine + chunked, behave: func(c net.Conn) { pour(c, "400\r\n"+strings.Repeat(" ", 1<<10)+"\r\n") }}
	longTrailer = badClient{name: "endless trailer", begin: executeLine + chunked + "0\r\n", behave: func(c net.Conn) { pour(c, "X: y\r\n") }}
)

// Crowds of each bad kind, in the clear and over TLS: the service rids itself of all of
// them, they take memory within bounds, and whoever behaves is served throughout. Those
// that wait for a timeout come together; so do, over TLS, those that end by different limits.
// Where a size is the limit, there is all the time to fill the memory.
func TestCrowdsOfBadClients(t *testing.T) {
	for _, round := range []struct {
		name    string
		secured bool
		reading time.Duration // how long a request may take to arrive
		clients []badClient
	}{
		{"slow", false, time.Second, []badClient{slowHeader, slowBody, slowChunks, silent, headerOnly}},
		{"never reads", false, time.Second, []badClient{neverReads}},
		{"headers", false, patience, []badClient{manyHeaders, longHeader, longPath, longTrailer}},
		{"bodies", false, patience, []badClient{longBody, manyChunks}},
		{"over TLS", true, time.Second, []badClient{slowHeader, slowBody, silent, neverReads}},
	} {
		t.Run(round.name, func(t *testing.T) {
			settings := impatient
			settings.ReadHeaderTimeout, settings.ReadTimeout = round.reading, round.reading
			if round.secured {
				settings.TLS = certified(t)
			}
			s := serve(t, slowTools(t), settings)
			s.trust(round.secured)
			s.besides(t, func() { s.endure(t, round.clients...) })
		})
	}
}

// A handshake that isn't finished is given up like a header that isn't.
func TestCrowdOfUnfinishedHandshakes(t *testing.T) {
	settings := impatient
	settings.TLS = certified(t)
	s := serve(t, slowTools(t), settings)
	s.trust(true)
	hello := clientHello(t)
	s.plain = true // the crowd speaks by itself
	s.besides(t, func() {
		s.endure(t,
			silent,
			badClient{name: "half a ClientHello", behave: func(c net.Conn) { _, _ = c.Write(hello[:len(hello)/2]) }},
			badClient{name: "ClientHello byte by byte", behave: func(c net.Conn) { drip(c, string(hello), "\x00") }},
			badClient{name: "only a ClientHello", behave: func(c net.Conn) { _, _ = c.Write(hello) }},
			badClient{name: "record of 16 KiB, slowly", behave: func(c net.Conn) { drip(c, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", "\x00") }},
			badClient{name: "plain HTTP", behave: func(c net.Conn) { pour(c, healthLine) }},
		)
	})
}

// Followers of executions who never read are sent away, too.
func TestCrowdOfFollowersThatNeverRead(t *testing.T) {
	engine, err := queue.Open(t.Context(), queue.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	executions, err := engine.Executions(t.Context(), queue.ExecutionsOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, executions.Close()) })
	settings := impatient
	settings.Executions = executions
	s := serve(t, slowTools(t), settings)
	response, body := s.do(t, "POST", "/tools/flood/execute", "", "")
	require.Equal(t, http.StatusOK, response.StatusCode, body)
	id := response.Header.Get("X-Execution-Id")
	require.Eventually(t, func() bool { // it is kept behind the answer
		response, _ := s.do(t, "GET", "/executions/"+id, "", "")
		return response.StatusCode == http.StatusOK
	}, patience, 5*time.Millisecond)

	follow := "GET /executions/" + id + "/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
	s.besides(t, func() {
		s.endure(t, badClient{name: "follower", behave: func(c net.Conn) { pour(c, follow) }, silent: true})
	})
}

// Connections up to the bound that are opened, used once and then left: who has one is
// served, and who comes later gets in.
func TestIdleConnectionsUpToTheBound(t *testing.T) {
	const connections = 2000
	settings := impatient
	settings.Connections, settings.IdleTimeout = connections+1, time.Hour
	settings.ReadHeaderTimeout, settings.ReadTimeout = 10*time.Second, 10*time.Second
	s := serve(t, slowTools(t), settings)
	_, body := s.do(t, "POST", "/tools/echo/execute", "", "") // the good client's connection
	require.Equal(t, success("{}"), settled(body))
	before := memory()
	idle := make([]*wire, connections)
	for i := range idle {
		idle[i] = s.dial(t)
		idle[i].send(t, healthRequest)
	}
	s.besides(t, func() {
		for _, w := range idle {
			response, _ := w.answer(t, "GET")
			require.Equal(t, http.StatusOK, response.StatusCode)
		}
	})
	require.Less(t, memory()-before, int64(connections)*64<<10)
	late := s.dial(t)
	late.send(t, healthRequest)
	response, _ := late.answer(t, "GET")
	require.Equal(t, http.StatusOK, response.StatusCode)
}

// slowTools are "echo", one whose definition is large, and one whose result is.
func slowTools(t testing.TB) runner.Options {
	options := plainTools(t)
	large := &runner.Definition{Name: "large", Type: runner.JavaScript, Code: "return 1", Description: strings.Repeat("x", 64<<10)}
	flood := define(t, "name: flood\ntype: javascript\ncode: return 'x'.repeat(100000)\n")
	options.Tools = append(options.Tools, large, flood)
	return options
}

func certified(t *testing.T) *tls.Config {
	p := validPair(t, "crowd")
	certificate, err := tls.X509KeyPair(p.cert, p.key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{certificate}}
}

// trust makes the client speak TLS, with whoever answers.
func (s *standalone) trust(secured bool) {
	if secured {
		s.url = "https://" + s.addr
		s.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
}

// clientHello is the first message of a handshake.
func clientHello(t *testing.T) []byte {
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		_ = tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake()
		client.Close()
	}()
	hello := make([]byte, 16<<10)
	n, err := server.Read(hello)
	require.NoError(t, err)
	return hello[:n]
}

// enter opens a connection as one of a crowd.
func (s *standalone) enter() (net.Conn, error) {
	c, err := net.Dial("tcp", s.addr)
	if err == nil {
		err = c.(*net.TCPConn).SetReadBuffer(4 << 10) // soon full
	}
	if err != nil || s.plain || !strings.HasPrefix(s.url, "https:") {
		return c, err
	}
	secured := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := secured.HandshakeContext(ctx); ctx.Err() != nil {
		return nil, errors.Join(err, c.Close())
	}
	return secured, nil
}

// endure has a crowd behave badly, in turns as each of these, and waits until the service
// has closed all its connections.
func (s *standalone) endure(t *testing.T, kinds ...badClient) {
	t.Helper()
	before := memory()
	faults := make(chan error, crowdSize)
	var all sync.WaitGroup
	for i := range crowdSize {
		bad := kinds[i%len(kinds)]
		all.Go(func() {
			if err := s.misbehave(bad); err != nil {
				faults <- fmt.Errorf("%s: %w", bad.name, err)
			}
		})
	}
	gone := make(chan struct{})
	go func() {
		all.Wait()
		close(gone)
	}()
	most := (peak(gone) - before) / crowdSize
	close(faults)
	for err := range faults {
		require.NoError(t, err)
	}
	t.Logf("%d KiB a client", most>>10)
	require.Less(t, most, int64(crowdMemory))
}

// peak is the most memory that this process holds until done.
func peak(done <-chan struct{}) (most int64) {
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for {
		most = max(most, memory())
		select {
		case <-done:
			return most
		case <-pace.C:
		}
	}
}

// misbehave is one of a crowd. The error says that the service kept it, or told it
// something else.
func (s *standalone) misbehave(bad badClient) error {
	c, err := s.enter()
	if err != nil {
		return err
	}
	defer c.Close()
	if c, ok := c.(*tls.Conn); ok && !c.ConnectionState().HandshakeComplete {
		return nil // the service, on a busy machine, got rid of it already
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	told := make(chan error, 1)
	var first string
	if !bad.silent {
		go func() {
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n')
			if first = line; err == nil {
				_, err = io.Copy(io.Discard, in)
			}
			told <- err
		}()
	}
	if _, err := io.WriteString(c, bad.begin); err == nil {
		bad.behave(c)
	}
	if bad.silent {
		_, err = c.Write([]byte("x")) // fails, as the one before did
	} else {
		err = <-told
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || bad.silent && err == nil {
		return fmt.Errorf("the service keeps the connection: %v", err)
	}
	// On a busy machine a handshake may have taken all the time there was.
	if _, secured := c.(*tls.Conn); !strings.HasPrefix(first, bad.answer) && !(secured && first == "") {
		return fmt.Errorf("the service said %q", first)
	}
	return nil
}

// besides executes a tool over and over while a crowd is there.
func (s *standalone) besides(t *testing.T, crowd func()) {
	t.Helper()
	gone := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- s.keepExecuting(gone) }()
	func() {
		defer close(gone)
		crowd()
	}()
	require.NoError(t, <-ended)
}

// keepExecuting says what went wrong, or took too long, until gone. It tries again on a
// new connection, as any client does: on a busy machine it too may meet the limits that
// are meant for the others.
func (s *standalone) keepExecuting(gone <-chan struct{}) error {
	pace := time.NewTicker(10 * time.Millisecond) // the crowd needs the processor, too
	defer pace.Stop()
	for n := 0; ; n++ {
		began := time.Now()
		response, body, err := s.try("POST", "/tools/echo/execute", "application/json", `{"parameters":{}}`)
		for err != nil && time.Since(began) < answeredWithin {
			response, body, err = s.try("POST", "/tools/echo/execute", "application/json", `{"parameters":{}}`)
		}
		switch took := time.Since(began); {
		case err != nil:
			return fmt.Errorf("execution %d: %w", n, err)
		case response.StatusCode != http.StatusOK || settled(body) != success("{}"):
			return fmt.Errorf("execution %d: %s", n, body)
		case took > answeredWithin:
			return fmt.Errorf("execution %d took %s", n, took)
		}
		select {
		case <-gone:
			return nil
		case <-pace.C:
		}
	}
}

// memory is what lives in this process: garbage, of which a busy machine has much, doesn't
// count.
func memory() int64 {
	runtime.GC()
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
}
