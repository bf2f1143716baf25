package llmtool

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

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
	// Usage is nil where no provider stated any.
	Usage *Usage
	// Provider and Model are who answered last. Model is as the provider names it.
	Provider string
	Model    string
	// Attempts counts the requests sent.
	Attempts int
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
		Value: value, Usage: r.bill.usage(), Provider: r.provider, Model: r.model, Attempts: r.attempts,
	}
	if err != nil {
		return answer, r.finish(ctx, err)
	}
	return answer, nil
}

// run is one execution of a tool.
type run struct {
	tool     *Tool
	bill     bill
	attempts int
	provider string
	model    string
	upstream errclass.Upstream // who answered last
	stopped  errclass.Stopped

	delivered bool // a piece of an answer is with the caller
}

// finish completes a failure with what the run knows.
func (r *run) finish(ctx context.Context, err error) *errclass.Error {
	e := *errclass.Classify(err)
	e.Attempts, e.Stopped = r.attempts, r.stopped
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
	for i, id := range r.tool.providerIDs {
		value, failed := r.ask(ctx, c, in, id, i > 0, prompt)
		if failed == nil {
			return value, nil
		}
		if err = failed; r.delivered || !elsewhere(ctx, failed) {
			break
		}
	}
	return nil, err
}

// elsewhere reports whether another provider may do better.
func elsewhere(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	e := errclass.Classify(err)
	switch e.Class {
	case errclass.ConnectionRefused, errclass.Timeout:
		return true
	case errclass.LLMError:
		return slices.Contains([]errclass.Reason{
			errclass.Overloaded, errclass.RateLimit, errclass.Quota, errclass.ServerError,
		}, e.Reason)
	}
	return false
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
	images, err := t.showing(scope)
	if err != nil {
		return Request{}, err
	}
	return Request{
		System:      strings.TrimSpace(system + "\n\n" + t.format.instruction()),
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
	r.provider, r.model = id, model
	turn := prompt
	turn.Model, turn.Delta = model, in.Delta
	answer, err := r.turn(ctx, p, turn)
	if err != nil {
		return nil, err
	}
	if !r.tool.json {
		return marshalText(answer.Text)
	}
	value, faults := r.tool.parse(answer.Text)
	if value != nil {
		return value, nil
	}
	turn.Delta = nil
	turn.Messages = append(slices.Clone(prompt.Messages),
		Message{Role: RoleAssistant, Text: answer.Text}, Message{Role: RoleUser, Text: complaint(faults)})
	if answer, err = r.turn(ctx, p, turn); err != nil {
		return nil, err
	}
	if value, faults = r.tool.parse(answer.Text); value != nil {
		return value, nil
	}
	e := unfit(faults)
	e.Upstream = r.upstream
	return nil, e
}

// modelFor chooses the model: the tool's at its first choice, and a provider's
// own at a fallback, which may not know the tool's.
func modelFor(tool, provider string, fallback bool) string {
	if tool == "" || fallback && provider != "" {
		return provider
	}
	return tool
}

func marshalText(text string) (json.RawMessage, error) {
	return strictjson.Marshal(text)
}

// turn is one answer of the model, with retries.
func (r *run) turn(ctx context.Context, p *provider, in Request) (*Reply, error) {
	for attempt := 0; ; attempt++ {
		answer, err := r.attempt(ctx, p, in)
		if err == nil {
			return answer, nil
		}
		r.stopped = ""
		e := errclass.Classify(err)
		if !e.Retryable || attempt >= r.tool.retries || ctx.Err() != nil {
			return nil, err
		}
		if r.delivered && in.Delta != nil {
			r.stopped = errclass.StoppedNotRetryable
			return nil, err
		}
		if !pause(ctx, e.RetryAfter, attempt) {
			if ctx.Err() == nil {
				r.stopped = errclass.StoppedDeadline
				return nil, err
			}
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

const (
	firstPause = 500 * time.Millisecond
	longPause  = 30 * time.Second
)

// pause waits before the next attempt, and reports whether there may be one. It
// doesn't begin a wait that the deadline would cut.
func pause(ctx context.Context, asked time.Duration, attempt int) bool {
	wait := asked
	if wait <= 0 {
		wait = min(firstPause<<attempt, longPause)
		wait = wait/2 + rand.N(wait/2)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
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
	if answer != nil {
		r.bill.add(answer.Usage, p.prices, in.Model, answer.Model)
		if answer.Model != "" {
			r.model = errclass.OneLine(answer.Model, 100)
		}
	}
	if err != nil {
		return nil, err
	}
	if e := r.judge(p, answer, in); e != nil {
		e.Upstream = r.upstream
		return nil, e
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
	if t.timeout > 0 && t.timeout < p.timeout {
		return &limit{t.timeout, "the tool's request timeout"}
	}
	return &limit{p.timeout, "the provider's timeout"}
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
