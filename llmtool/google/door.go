package google

import (
	"errors"
	"io"
	"net/http"

	"github.com/almyty-inc/toolrun/llmtool"
)

// call is one request: in whose name it is sent, and what befell its answer.
type call struct {
	account llmtool.Account
	err     error // why the body of the answer ended early
}

type callKey struct{}

// door sends a request in the name of its call's account.
type door struct{}

// RoundTrip implements [http.RoundTripper].
func (door) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(callKey{}).(*call)
	if !ok {
		return nil, errors.New("google: request without a call")
	}
	req = req.Clone(req.Context())
	req.Header.Del("X-Goog-Api-Key")
	if c.account.APIKey != "" {
		req.Header.Set("X-Goog-Api-Key", c.account.APIKey)
	}
	res, err := c.account.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	res.Body = quiet{res.Body, c}
	return res, nil
}

// quiet keeps errors from the SDK, which tells them to the standard logger when it
// reads a stream.
type quiet struct {
	io.ReadCloser
	call *call
}

func (q quiet) Read(p []byte) (int, error) {
	n, err := q.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		q.call.err, err = err, io.EOF
	}
	return n, err
}

func (q quiet) Close() error {
	_ = q.ReadCloser.Close() // says nothing that reading hasn't
	return nil
}
