package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client sends one request over and over, on connections that stay. It reads just what
// it needs of an answer: net/http's client would take as long as the service.
type client struct {
	address string
	request []byte                   // without a key, or with a place for one
	status  string                   // what must be answered
	prefix  []byte                   // what the answer's body must begin with
	next    func(into []byte) []byte // the request with a key of its own; nil: as it is
	idle    chan *connection
}

// connection is a connection to the service and what is used again for each request.
type connection struct {
	net.Conn
	in        *bufio.Reader
	out, body []byte
	id        string // of the last execution
}

// answerTime bounds how long an answer may take.
const answerTime = time.Minute

func newClient(address, head, body, status string) *client {
	return &client{
		address: address, status: status, idle: make(chan *connection, 512),
		request: fmt.Appendf(nil, "%s\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body),
	}
}

// do is one request. The answer's body holds until the next one.
func (c *client) do() ([]byte, error) {
	conn, err := c.take()
	if err != nil {
		return nil, err
	}
	if err := c.exchange(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.idle <- conn
	return conn.body, nil
}

func (c *client) take() (*connection, error) {
	select {
	case conn := <-c.idle:
		return conn, nil
	default:
	}
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, in: bufio.NewReader(conn)}, nil
}

func (c *client) close() {
	for len(c.idle) > 0 {
		_ = (<-c.idle).Close()
	}
}

func (c *client) exchange(conn *connection) error {
	request := c.request
	if c.next != nil {
		conn.out = c.next(conn.out[:0])
		request = conn.out
	}
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	line, err := conn.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	good := bytes.HasPrefix(line, []byte("HTTP/1.1 "+c.status))
	if err := conn.readAnswer(); err != nil {
		return err
	}
	if !good || !bytes.HasPrefix(conn.body, c.prefix) {
		return fmt.Errorf("unexpected answer: %.300s", conn.body)
	}
	return nil
}

// readAnswer reads what follows the status line.
func (c *connection) readAnswer() error {
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		} else if value, ok := bytes.CutPrefix(line, []byte("X-Execution-Id: ")); ok {
			c.id = string(value)
		}
	}
	if length < 0 {
		return errors.New("an answer without a length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err := io.ReadFull(c.in, c.body)
	return err
}
