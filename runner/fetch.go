package runner

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/sandbox"
)

// fetch sends a request of a tool's code on the way of all others: by the
// transport that the egress policy guards. The sandbox bounds its number and the
// execution's deadline its time.
func (r *Runner) fetch(ctx context.Context, req *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
	header := make(http.Header, len(req.Header))
	for _, field := range req.Header {
		header.Add(field[0], toBytes(field[1]))
	}
	resp, err := httptool.Fetch(ctx, r.carrier, httptool.FetchRequest{
		Method: req.Method, URL: req.URL, Header: header, Body: req.Body, Redirect: req.Redirect,
		MaxResponseBytes: int64(r.opts.Sandbox.Defaults.ParameterBytes),
	})
	if err != nil {
		return nil, err
	}
	answer := &sandbox.FetchResponse{
		Status: resp.Status, StatusText: fromBytes(resp.StatusText), URL: resp.URL, Redirected: resp.Redirected, Body: resp.Body,
	}
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		for _, value := range resp.Header[name] {
			answer.Header = append(answer.Header, [2]string{fromBytes(name), fromBytes(value)})
		}
	}
	return answer, nil
}

// toBytes makes a byte of each character, as the fetch standard has it for
// headers; fromBytes is its inverse.
func toBytes(text string) string {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = append(b, byte(r))
	}
	return string(b)
}

func fromBytes(text string) string {
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}
