package service_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
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
	crowdSize = 100
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

// crowds are clients that the service has to get rid of. What net/http and the
// handlers answer to a single one of them is in client_test.go and wireerror_test.go.
var crowds = []struct {
	name, begin string
	behave      func(net.Conn) // after begin was sent
	silent      bool           // it doesn't read either
	answer      string         // how the answer begins, where the client is sure to get it
}{
	{"header byte by byte", "", func(c net.Conn) { drip(c, healthLine, "X: y\r\n") }, false, ""},
	{"body byte by byte", executeLine + "Content-Length: 60000\r\n\r\n", func(c net.Conn) { drip(c, "", " ") }, false, ""},
	{"chunks byte by byte", executeLine + chunked, func(c net.Conn) { drip(c, "", "1\r\n \r\n") }, false, ""},
	{"silent", "", func(net.Conn) {}, false, ""},
	{"header only", executeLine + "Content-Length: 10\r\n\r\n", func(net.Conn) {}, false, "HTTP/1.1 408 "},
	{"too many headers", healthLine, func(c net.Conn) { pour(c, "X: y\r\n") }, false, ""},
	{"endless header", healthLine + "X: ", func(c net.Conn) { pour(c, "y") }, false, ""},
	{"endless path", "GET /", func(c net.Conn) { pour(c, "y") }, false, ""},
	{"body longer than allowed", executeLine + "Content-Length: 1000000000\r\n\r\n", func(c net.Conn) { pour(c, " ") }, false, ""},
	{"endless chunks", executeLine + chunked, func(c net.Conn) { pour(c, "1\r\n \r\n") }, false, ""},
	{"endless trailer", executeLine + chunked + "0\r\n", func(c net.Conn) { pour(c, "X: y\r\n") }, false, ""},
	{"never reads answers", "", func(c net.Conn) { pour(c, "GET /tools/large HTTP/1.1\r\nHost: localhost\r\n\r\n") }, true, ""},
}

// overTLS are the kinds that also come over TLS: those that end by different limits. All
// of them would take minutes of handshakes.
var overTLS = map[string]bool{"header byte by byte": true, "body byte by byte": true, "silent": true, "never reads answers": true}

// A hundred clients of each bad kind, in the clear and over TLS: the service rids itself
// of all of them, they take memory within bounds, and whoever behaves is served
// throughout.
func TestCrowdsOfBadClients(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, secured := range []bool{false, true} {
		settings := impatient
		if secured {
			settings.TLS = certified(t)
		}
		s := serve(t, slowTools(t), settings)
		s.trust(secured)
		for _, crowd := range crowds {
			if secured && !overTLS[crowd.name] {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %v", crowd.name, secured), func(t *testing.T) {
				s.besides(t, func() {
					s.endure(t, func(c net.Conn) {
						if _, err := io.WriteString(c, crowd.begin); err == nil {
							crowd.behave(c)
						}
					}, crowd.silent, crowd.answer)
				})
			})
		}
	}
}

// A handshake that isn't finished is given up like a header that isn't.
func TestCrowdsOfUnfinishedHandshakes(t *testing.T) {
	t.Parallel()
	settings := impatient
	settings.TLS = certified(t)
	s := serve(t, slowTools(t), settings)
	s.trust(true)
	hello := clientHello(t)
	s.plain = true // the crowd speaks by itself
	for name, behave := range map[string]func(net.Conn){
		"nothing":                  func(net.Conn) {},
		"half a ClientHello":       func(c net.Conn) { _, _ = c.Write(hello[:len(hello)/2]) },
		"ClientHello byte by byte": func(c net.Conn) { drip(c, string(hello), "\x00") },
		"only a ClientHello":       func(c net.Conn) { _, _ = c.Write(hello) },
		"record of 16 KiB, slowly": func(c net.Conn) { drip(c, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", "\x00") },
		"plain HTTP":               func(c net.Conn) { pour(c, healthLine) },
	} {
		t.Run(name, func(t *testing.T) {
			s.besides(t, func() { s.endure(t, behave, false, "") })
		})
	}
}

// Followers of executions who never read are sent away, too.
func TestCrowdOfFollowersThatNeverRead(t *testing.T) {
	t.Parallel()
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
	s.crowd = 20 // each is sent the whole outcome
	s.besides(t, func() { s.endure(t, func(c net.Conn) { pour(c, follow) }, true, "") })
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
	flood := define(t, "name: flood\ntype: javascript\ncode: return 'x'.repeat(400000)\n")
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

// endure has a crowd behave badly and waits until the service has closed all its
// connections.
func (s *standalone) endure(t *testing.T, behave func(net.Conn), silent bool, answer string) {
	t.Helper()
	before := memory()
	size := cmp.Or(s.crowd, crowdSize)
	faults := make(chan error, size)
	var all, there sync.WaitGroup
	there.Add(size)
	for range size {
		all.Go(func() {
			c, err := s.enter()
			there.Done()
			if err != nil {
				faults <- err
				return
			}
			defer c.Close()
			if c, ok := c.(*tls.Conn); ok && !c.ConnectionState().HandshakeComplete {
				return // the service, on a busy machine, got rid of it already
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if err := misbehave(c, behave, silent, answer); err != nil {
				faults <- err
			}
		})
	}
	there.Wait()
	most := memory() - before
	all.Wait()
	close(faults)
	for err := range faults {
		require.NoError(t, err)
	}
	require.Less(t, max(most, memory()-before), int64(crowdSize*crowdMemory)) // with what other tests hold
}

// misbehave is one of a crowd. The error says that the service kept it, or told it
// something else.
func misbehave(c net.Conn, behave func(net.Conn), silent bool, answer string) error {
	told := make(chan error, 1)
	var first string
	if !silent {
		go func() {
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n')
			if first = line; err == nil {
				_, err = io.Copy(io.Discard, in)
			}
			told <- err
		}()
	}
	behave(c)
	var err error
	if silent {
		_, err = c.Write([]byte("x")) // fails, as the one before did
	} else {
		err = <-told
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || silent && err == nil {
		return fmt.Errorf("the service keeps the connection: %v", err)
	}
	// On a busy machine a handshake may have taken all the time there was.
	if _, secured := c.(*tls.Conn); !strings.HasPrefix(first, answer) && !(secured && first == "") {
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
		default:
		}
	}
}

// memory is what this process holds.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
