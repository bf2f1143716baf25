package llmtool

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Input is what a run works on. Values are those of encoding/json, with int64
// for integers. It is only read.
type Input struct {
	Parameters map[string]any
	// Env and Credentials are what prompts and the apiKey and headers of
	// providers read. For providers, they win over those of [NewClients].
	Env         map[string]string
	Credentials map[string]any
	// Delta, where not nil, is called with each piece of the answer's text as it
	// comes, before Run returns and by its goroutine, which waits for it. In the
	// output mode "json" that is the model's raw text. Once there was a piece,
	// there is no retry and no fallback, whose answer would follow half of another;
	// a turn to repair the answer is not streamed. Only [Answer] says what became of
	// it all. Nothing is redacted.
	Delta func(text string)
}

// Answer is what a run returns, also with a failure.
type Answer struct {
	// Value is the result as JSON; nil with a failure.
	Value json.RawMessage
	// Usage is the sum over all Tries; nil where no provider stated any.
	Usage *Usage
	// Provider and Model are who answered last. Model is as the provider names it.
	Provider string
	Model    string
	// Upstream is where the last request went and what came back.
	Upstream errclass.Upstream
	// Attempts counts the requests sent.
	Attempts int
	// Tries are those requests in turn, and the providers that couldn't be asked.
	Tries []Try
}

// Run fills the prompts, asks the model and returns its answer. The Answer is
// never nil; it holds the usage of failed runs too. The error, where there is
// one, is an [*errclass.Error].
//
// ctx should have a deadline: it is what bounds the run with all its requests.
// When it passes, that is a [errclass.Timeout]; where its cause is an
// [*errclass.Error], that is the error.
func (t *Tool) Run(ctx context.Context, c *Clients, in Input) (*Answer, error) {
	r := &run{tool: t}
	value, err := r.execute(ctx, c, in)
	answer := &Answer{
		Value: value, Usage: total(r.tries), Upstream: r.upstream, Attempts: r.attempts, Tries: r.tries,
	}
	if n := len(r.tries); n > 0 {
		answer.Provider, answer.Model = r.tries[n-1].Provider, r.tries[n-1].Model
	}
	if err != nil {
		return answer, r.finish(ctx, err)
	}
	return answer, nil
}

// run is one execution of a tool.
type run struct {
	tool     *Tool
	tries    []Try
	attempts int
	upstream errclass.Upstream // who answered last

	delivered bool // a piece of an answer is with the caller
}

// finish completes a failure with what the run knows.
func (r *run) finish(ctx context.Context, err error) *errclass.Error {
	e := *errclass.Classify(err)
	e.Attempts = r.attempts
	switch {
	case r.attempts == 0: // nothing was sent, so there is nothing to repeat
	case e.Class == errclass.Cancelled:
		e.Stopped = errclass.StoppedCancelled
	case ctx.Err() != nil:
		e.Stopped = errclass.StoppedDeadline
	case e.Stopped == "" && !e.Retryable:
		e.Stopped = errclass.StoppedNotRetryable
	case e.Stopped == "":
		e.Stopped = errclass.StoppedMaxAttempts
	}
	return &e
}

func (r *run) execute(ctx context.Context, c *Clients, in Input) (json.RawMessage, error) {
	prompt, err := r.tool.prompt(in)
	if err != nil {
		return nil, err
	}
	var failures []*errclass.Error
	for i, id := range r.tool.providerIDs {
		before := len(r.tries)
		value, err := r.ask(ctx, c, in, id, i > 0, prompt)
		if err == nil {
			return value, nil
		}
		e := errclass.Classify(err)
		if len(r.tries) == before && ctx.Err() == nil {
			r.tries = append(r.tries, Try{Provider: id, Err: e})
		}
		failures = append(failures, e)
		if r.delivered || !r.tool.elsewhere(ctx, e) {
			break
		}
	}
	return nil, decisive(ctx, failures)
}

// prompt fills the templates: a request without a model.
func (t *Tool) prompt(in Input) (Request, error) {
	scope := &expression.Scope{Parameters: in.Parameters, Env: in.Env, Credentials: in.Credentials}
	system, err := t.system.Fill(scope)
	if err != nil {
		return Request{}, err
	}
	user, err := t.user.Fill(scope)
	if err != nil {
		return Request{}, err
	}
	if strings.TrimSpace(user) == "" {
		return Request{}, errclass.New(errclass.ConfigurationError, errclass.BadExpression,
			"promptTemplate yields an empty prompt; give the parameters that it names")
	}
	if instruction := t.format.instruction(); instruction != "" {
		system += "\n\n" + instruction
	}
	images, err := t.showing(scope)
	if err != nil {
		return Request{}, err
	}
	return Request{
		System:      strings.TrimSpace(system),
		Messages:    []Message{{Role: RoleUser, Text: user, Images: images}},
		Temperature: t.temperature, MaxTokens: t.maxTokens, Seed: t.seed, Stop: t.stop, Format: t.format,
	}, nil
}

// ask has one provider answer, with one turn to repair the answer.
func (r *run) ask(ctx context.Context, c *Clients, in Input, id string, fallback bool, prompt Request) (json.RawMessage, error) {
	p := c.find(id)
	if p == nil {
		return nil, errclass.Newf(errclass.ConfigurationError, errclass.UnknownProvider, "provider %q is not configured", id)
	}
	if p = p.forRun(in); p.missing != nil {
		return nil, p.missing
	}
	model := modelFor(r.tool.model, p.model, fallback)
	if model == "" {
		return nil, errclass.Newf(errclass.ConfigurationError, errclass.BadDefinition,
			"the tool names no model, and provider %s has no default", id)
	}
	turn := prompt
	turn.Model, turn.Delta = model, in.Delta
	answer, err := r.turn(ctx, p, turn)
	if err != nil {
		return nil, err
	}
	if !r.tool.json {
		return strictjson.Quote(answer.Text)
	}
	value, faults := r.tool.parse(answer.Text)
	if value != nil {
		return value, nil
	}
	r.missed(faults)
	turn.Delta = nil
	turn.Messages = append(slices.Clone(prompt.Messages),
		Message{Role: RoleAssistant, Text: answer.Text}, Message{Role: RoleUser, Text: complaint(faults)})
	if answer, err = r.turn(ctx, p, turn); err != nil {
		return nil, err
	}
	if value, faults = r.tool.parse(answer.Text); value != nil {
		return value, nil
	}
	return nil, r.missed(faults)
}

// missed is the failure of an answer, the last one, that isn't what the tool
// promises.
func (r *run) missed(faults []errclass.FieldError) *errclass.Error {
	e := unfit(faults)
	e.Upstream = r.upstream
	r.tries[len(r.tries)-1].Err = e
	return e
}

// modelFor chooses the model: the tool's at its first choice, and a provider's
// own at a fallback, which may not know the tool's.
func modelFor(tool, provider string, fallback bool) string {
	if tool == "" || fallback && provider != "" {
		return provider
	}
	return tool
}

// turn is one answer of the model, with retries.
func (r *run) turn(ctx context.Context, p *provider, in Request) (*Reply, error) {
	for attempt := 0; ; attempt++ {
		answer, err := r.attempt(ctx, p, in)
		if err == nil {
			return answer, nil
		}
		e := *errclass.Classify(err)
		if !e.Retryable || attempt >= r.tool.retries || ctx.Err() != nil {
			return nil, err
		}
		if r.delivered && in.Delta != nil {
			e.Stopped = errclass.StoppedNotRetryable
			return nil, &e
		}
		wait := e.RetryAfter
		if wait <= 0 {
			wait = backoff(attempt)
		}
		if wait > longestWait || !inTime(ctx, wait) {
			e.Stopped = errclass.StoppedDeadline
			return nil, &e
		}
		if !sleep(ctx, wait) {
			return nil, ended(ctx, err)
		}
	}
}

// ended is the failure of a run whose context ended while it waited to try
// again: a cancel is one, a deadline leaves the failure that was waited upon.
func ended(ctx context.Context, err error) error {
	known, ok := errors.AsType[*errclass.Error](context.Cause(ctx))
	switch {
	case ok:
		return known
	case ctx.Err() == context.Canceled:
		return cancelled(ctx)
	}
	return err
}

// attempt sends one request and judges its answer.
func (r *run) attempt(ctx context.Context, p *provider, in Request) (*Reply, error) {
	if ctx.Err() != nil {
		x := exchange{err: ctx.Err()}
		return nil, x.failure(ctx, p)
	}
	r.attempts++
	ctx, x, stop := record(ctx, r.tool.requestLimit(p), in.Delta != nil)
	defer stop()
	answer, err := p.client.Chat(ctx, r.delivering(in, x))
	answer, err = p.settle(ctx, x, answer, err, in)
	r.upstream = p.upstream(x)
	try := Try{Provider: p.id, Model: in.Model}
	if answer != nil {
		try.Usage = p.charge(answer.Usage, answer.Model, in.Model)
		if answer.Model != "" {
			try.Model = errclass.OneLine(answer.Model, 100)
		}
	}
	if err == nil {
		if e := r.judge(p, answer, in); e != nil {
			e.Upstream, err = r.upstream, e
		}
	}
	try.Err = errclass.Classify(err)
	r.tries = append(r.tries, try)
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// delivering passes the pieces of an answer on and notes that there are some.
func (r *run) delivering(in Request, x *exchange) Request {
	deliver := in.Delta
	if deliver == nil {
		return in
	}
	in.Delta = func(text string) {
		if text == "" {
			return
		}
		r.delivered = true
		x.stream.delivered()
		deliver(text)
	}
	return in
}

// requestLimit is how long one request to the provider may take.
func (t *Tool) requestLimit(p *provider) *limit {
	if t.limit.after > 0 && t.limit.after < p.limit.after {
		return t.limit
	}
	return p.limit
}

// judge finds what is no error by status and yet no answer.
func (r *run) judge(p *provider, a *Reply, in Request) *errclass.Error {
	switch {
	case a.Finish == FinishFilter:
		return errclass.Newf(errclass.LLMError, errclass.ContentFilter, "the filter of provider %s stopped the answer", p.id)
	case a.Refusal != "":
		return errclass.New(errclass.LLMError, errclass.Refusal, p.clean(a.Refusal, in.texts()))
	case a.Finish == FinishLength:
		e := errclass.Newf(errclass.InvalidResponse, errclass.Truncated, "the answer was cut at maxTokens (%d)", r.tool.maxTokens)
		e.Origin, e.Retryable, e.Hint = errclass.OriginTool, false, "Raise maxTokens, or ask for a shorter answer."
		return e
	case a.Finish == "insufficient_system_resource": // DeepSeek
		return errclass.Newf(errclass.LLMError, errclass.Overloaded, "provider %s broke the answer off: %s", p.id, a.Finish)
	case a.Finish == "abort": // SGLang
		return errclass.Newf(errclass.LLMError, errclass.ServerError, "provider %s broke the answer off: %s", p.id, a.Finish)
	case a.Finish == FinishContext:
		return errclass.New(errclass.LLMError, errclass.ContextLength, "the prompt left too little of the model's context window for the answer")
	case a.CalledTool && strings.TrimSpace(a.Text) == "":
		return errclass.New(errclass.LLMError, errclass.Empty, "the model called a tool, which it wasn't given, and answered nothing")
	case strings.TrimSpace(a.Text) == "":
		return errclass.Newf(errclass.LLMError, errclass.Empty, "the model answered nothing")
	}
	return nil
}
