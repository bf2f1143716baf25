package llmtool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/almyty-inc/toolrun/errclass"
)

// settle judges one request by what was seen of it on the wire, and by what the
// client made of that where it was a success. A reply may come with an error, for
// its usage.
func (p *provider) settle(ctx context.Context, x *exchange, reply *Reply, err error, r Request) (*Reply, error) {
	if err != nil && x.streamed() && x.err == nil && context.Cause(ctx) != errLeft {
		x.err = ctx.Err() // a client may look at its context before it reads on
	}
	if failed := x.failure(ctx, p); failed != nil {
		return reply, failed
	}
	switch {
	case x.status == 0:
		return nil, p.blame(unsent(err, r.Model), x)
	case x.status < 200:
		return nil, p.blame(errclass.Newf(errclass.InvalidResponse, errclass.Malformed,
			"provider %s answered %d, which is no answer to this request", p.id, x.status), x)
	case x.status >= 300 && x.status < 400:
		return nil, p.blame(errclass.Newf(errclass.InvalidResponse, errclass.Redirect,
			"provider %s answered with a redirect (%s); check its baseUrl", p.id, statusLine(x.status)), x)
	case x.status > 299:
		return nil, classify(x, readError(x.body), p, r.texts())
	case x.streamed() && x.stream.told.found:
		return reply, classify(x, x.stream.told, p, r.texts())
	case x.streamed() && (errors.Is(err, io.ErrUnexpectedEOF) || err == nil && reply.Finish == "" && !x.stream.done):
		return reply, p.blame(errclass.Newf(errclass.InvalidResponse, errclass.Truncated,
			"the stream of provider %s ended before its answer was complete", p.id), x)
	case err != nil && x.streamed():
		return reply, p.garbled(x, err)
	case err != nil:
		return nil, p.unreadable(x, err, r)
	case reply.Finish == FinishError:
		return reply, classify(x, readChoiceError(x.body), p, r.texts())
	case reply.Text == "" && reply.Refusal == "":
		if s := readError(x.body); s.found {
			return reply, classify(x, s, p, r.texts())
		}
	}
	if reply.Nothing {
		if !x.streamed() && !json.Valid(x.body) { // the client reads events, and passed over all else
			return reply, p.unreadable(x, nil, r)
		}
		e := errclass.Newf(errclass.InvalidResponse, errclass.NoData, "the answer of provider %s isn't a chat completion: it lacks what makes one", p.id)
		e.Retryable, e.Hint = false, checkBaseURL
		return reply, p.blame(e, x)
	}
	return reply, nil
}

const checkBaseURL = "Check that the provider's baseUrl is that of the API that its type names."

// unsent classifies a request that the client refused to send.
func unsent(err error, model string) *errclass.Error {
	if known, ok := errors.AsType[*errclass.Error](err); ok {
		copied := *known
		return &copied
	}
	return errclass.Newf(errclass.LLMError, errclass.BadRequest, "no valid request can be made for model %q", model).WithCause(err)
}

// unreadable classifies a success that the client can't read.
func (p *provider) unreadable(x *exchange, err error, r Request) *errclass.Error {
	if s := readError(x.body); s.found {
		return classify(x, s, p, r.texts())
	}
	e := errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "the answer of provider %s isn't valid JSON", p.id)
	mistyped, isMistyped := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case len(bytes.TrimSpace(x.body)) == 0:
		e = errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "the answer of provider %s has no body", p.id)
	case htmlStart.Match(x.body):
		e = errclass.Newf(errclass.InvalidResponse, errclass.NotJSON,
			"provider %s answered with an HTML page; check its baseUrl", p.id)
	case endsMidway(x.body):
		e = errclass.Newf(errclass.InvalidResponse, errclass.Truncated, "the answer of provider %s ends in mid-JSON", p.id)
	case isMistyped || json.Valid(x.body):
		what := "it is no object"
		if isMistyped && mistyped.Field != "" {
			what = errclass.OneLine(`"`+mistyped.Field+`" has the wrong type`, 80)
		}
		e = errclass.Newf(errclass.InvalidResponse, errclass.NoData, "the answer of provider %s isn't a chat completion: %s", p.id, what)
		e.Hint = checkBaseURL
	}
	return p.blame(e.WithCause(err), x)
}

// garbled classifies a stream that the client can't read.
func (p *provider) garbled(x *exchange, err error) *errclass.Error {
	e := errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "a chunk in the stream of provider %s isn't valid JSON", p.id)
	if _, mistyped := errors.AsType[*json.UnmarshalTypeError](err); mistyped {
		e = errclass.Newf(errclass.InvalidResponse, errclass.NoData, "a chunk in the stream of provider %s isn't one of a chat completion", p.id)
		e.Hint = checkBaseURL
	}
	return p.blame(e.WithCause(err), x)
}

// endsMidway reports whether a body is the beginning of JSON.
func endsMidway(body []byte) bool {
	var v json.RawMessage
	return errors.Is(json.NewDecoder(bytes.NewReader(body)).Decode(&v), io.ErrUnexpectedEOF)
}

// blame says who answered.
func (p *provider) blame(e *errclass.Error, x *exchange) *errclass.Error {
	e.Upstream = p.upstream(x)
	return e
}

func (p *provider) upstream(x *exchange) errclass.Upstream {
	return errclass.Upstream{Host: p.host, Provider: p.id, Status: x.status, RequestID: requestID(x.header)}
}

// readChoiceError reads the error that OpenRouter puts into a choice.
func readChoiceError(body []byte) said {
	var answer struct {
		Choices []json.RawMessage `json:"choices"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Choices) == 0 {
		return said{}
	}
	return readError(answer.Choices[0])
}
