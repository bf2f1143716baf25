package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/llmtool"
)

// execution is one run of a tool on its way through the steps below.
type execution struct {
	runner         *Runner
	tool           *tool
	id             string
	organization   string
	start          time.Time
	timeout        time.Duration  // of the request; 0: none
	parametersJSON []byte         // as validated, defaults applied
	parameters     map[string]any // the same, decoded
	credentials    map[string]any
	secrets        *secrets
	invoked        *invocations
	depth          int                // 0 for the outermost
	stream         func(delta string) // nil: nobody listens
	started        func(ctx context.Context, executionID string)
	log            func(errclass.LogLine)
	rateSpent      bool
}

// Execute runs a tool. A tool that ran, whether it succeeded or failed, is a
// [Result]; a request that was turned away (unknown tool, wrong parameters,
// rate limit, full queue, shutdown) is an [*errclass.APIError]. Nothing panics
// through it. It returns at the latest shortly after the shortest of the
// definition's, the request's and ctx's deadline.
func (r *Runner) Execute(ctx context.Context, req Request) (result *Result, err error) {
	if req.Timeout < 0 {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "The timeout is negative; leave it out to take the tool's")
	}
	if err := r.begin(); err != nil {
		return nil, err
	}
	defer r.end()
	defer func() {
		if v := recover(); v != nil { // outside of run, which has a recover of its own
			result, err = nil, unexpected(errclass.FromPanic(v))
		}
	}()
	x := &execution{
		runner: r, id: req.ExecutionID, organization: req.Organization, start: time.Now(), timeout: req.Timeout,
		credentials: r.opts.Credentials, secrets: &secrets{runner: r, credentials: req.Credentials}, invoked: &invocations{},
		stream: req.Stream, started: req.Started, log: req.Log, rateSpent: req.RateSpent,
	}
	if x.id == "" {
		x.id = newID()
	}
	if len(req.Credentials) > 0 {
		x.credentials = maps.Clone(r.opts.Credentials)
		if x.credentials == nil {
			x.credentials = make(map[string]any, len(req.Credentials))
		}
		maps.Copy(x.credentials, req.Credentials)
	}
	return x.execute(ctx, req.Tool, req.Parameters)
}

// execute is the way of an execution, outermost and nested alike.
func (x *execution) execute(ctx context.Context, id string, parameters []byte) (*Result, error) {
	if err := x.find(id); err != nil {
		return nil, err
	}
	ctx, ended := x.observe(ctx)
	var result *Result
	var err error = unexpected(nil) // of a panic, which Execute catches
	defer func() { ended(result, err) }()
	result, err = x.proceed(ctx, parameters)
	return result, err
}

func unexpected(cause error) *errclass.APIError {
	return &errclass.APIError{Code: errclass.CodeInternal, Message: "An unexpected error occurred", Cause: cause}
}

// proceed is the way from the tool on.
func (x *execution) proceed(ctx context.Context, parameters []byte) (*Result, error) {
	if err := x.validate(parameters); err != nil {
		return nil, err
	}
	if err := x.spendRate(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := x.limitTime(ctx)
	defer cancel()
	release, err := x.takeSlot(ctx)
	if turnedAway, ok := errors.AsType[*errclass.APIError](err); ok {
		return nil, turnedAway
	}
	if err != nil {
		return x.finish(ctx, output{}, queueFailure(err)), nil
	}
	defer release()
	if x.started != nil {
		x.started(ctx, x.id)
	}
	out, err := x.once(x.onBehalf(ctx), x.runChecked)
	if full, ok := err.(*errclass.APIError); ok { // the sandbox's queue is; what lies deeper is a tool's failure
		return nil, full
	}
	return x.finish(ctx, out, err), nil
}

// find looks the tool up as the organization sees it.
func (x *execution) find(id string) error {
	t, err := x.runner.find(x.organization, id)
	if err != nil {
		return err
	}
	if s := t.def.status(); s != Active && s != Deprecated {
		return errclass.NewAPIError(errclass.CodeConflict, "Tool '%s' is not active (its status is %s)", id, s)
	}
	x.tool = t
	x.secrets.add(t)
	return nil
}

// validate decodes the parameters, holds them to the tool's schema and applies
// its defaults.
func (x *execution) validate(parameters []byte) error {
	if len(parameters) == 0 {
		parameters = []byte("{}")
	}
	if limit := x.runner.opts.ParameterBytes; len(parameters) > limit {
		return errclass.NewAPIError(errclass.CodePayloadTooLarge, "The parameters exceed %d bytes", limit)
	}
	value, err := strictjson.Decode(parameters)
	if err != nil {
		return errclass.NewAPIError(errclass.CodeBadRequest, "The parameters are not valid JSON: %v", err)
	}
	x.parametersJSON = parameters
	if x.tool.input != nil {
		var changed bool
		if value, changed = x.tool.input.WithDefaults(value); changed {
			if x.parametersJSON, err = strictjson.Marshal(value); err != nil {
				return errclass.NewAPIError(errclass.CodeBadRequest, "The parameters can't be completed with defaults: %v", err)
			}
		}
		if faults := x.tool.input.Validate(value); len(faults) > 0 {
			return rejected(faults)
		}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return rejected([]errclass.FieldError{{Message: "must be object"}})
	}
	x.parameters = object
	return nil
}

// rejected is the 400 that lists what is wrong with parameters.
func rejected(faults []errclass.FieldError) error {
	return &errclass.APIError{Code: errclass.CodeBadRequest, Message: schema.Message(faults), Fields: faults}
}

func (x *execution) spendRate(ctx context.Context) error {
	limit := x.tool.def.Configuration.RateLimit
	if limit == (RateLimit{}) || x.rateSpent {
		return nil
	}
	state := x.runner.rates.Spend(ctx, x.tool.def.id(), x.organization, limit)
	if state.RetryAfter <= 0 {
		return nil
	}
	e := errclass.RateLimited(state.RetryAfter)
	e.RateLimit = state.Limit
	return e
}

// limitTime puts the execution under the shortest of its deadlines. A nested
// execution keeps its caller's besides its own.
func (x *execution) limitTime(ctx context.Context) (context.Context, context.CancelFunc) {
	r := x.runner
	limit, setBy := x.timeLimit()
	ctx, cancel := context.WithDeadlineCause(ctx, x.start.Add(limit), &timeLimit{limit, setBy})
	unlink := context.AfterFunc(r.life, cancel) // classify says why
	return ctx, func() {
		unlink()
		cancel()
	}
}

// timeLimit is the cause of a deadline of ours. It names who set it.
type timeLimit struct {
	limit time.Duration
	setBy string
}

func (t *timeLimit) Error() string { return fmt.Sprintf("%s is %s", t.setBy, t.limit) }

// Unwrap keeps what asks for a deadline's own error working: the standard
// library returns a context's cause in place of it.
func (t *timeLimit) Unwrap() error { return context.DeadlineExceeded }

// timeLimit returns the shortest limit and who set it.
func (x *execution) timeLimit() (limit time.Duration, setBy string) {
	limit, setBy = x.tool.timeout, "the tool's timeout"
	if limit == 0 {
		limit, setBy = x.runner.opts.DefaultTimeout, "the default timeout"
		if x.tool.inner > limit { // so that nobody has to say it twice
			limit, setBy = x.tool.inner, "the timeout of executionConfig"
		}
	}
	if x.timeout > 0 && x.timeout < limit {
		limit, setBy = x.timeout, "the request's timeout"
	}
	if most := x.runner.opts.MaxTimeout; most < limit {
		limit, setBy = most, "the service's maximum timeout"
	}
	return limit, setBy
}

// takeSlot waits for a slot; nested executions run in their caller's.
func (x *execution) takeSlot(ctx context.Context) (release func(), err error) {
	if x.depth > 0 {
		return func() {}, nil
	}
	if err := x.runner.slots.acquire(ctx, x.organization); err != nil {
		return nil, err
	}
	return func() { x.runner.slots.release(x.organization) }, nil
}

// queueFailure classifies a wait for a slot that ended without one.
func queueFailure(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errclass.New(errclass.Timeout, errclass.Queue, "no free slot").WithCause(err)
	}
	return err
}

// onBehalf gives the organization circuit breakers and access tokens of its own.
func (x *execution) onBehalf(ctx context.Context) context.Context {
	if x.organization == "" {
		return ctx
	}
	return httptool.WithOrganization(ctx, x.organization)
}

// runChecked runs the tool and holds its result to the output schema.
func (x *execution) runChecked(ctx context.Context) (output, error) {
	out, err := x.run(ctx)
	if err == nil {
		err = x.checkOutput(out.value)
	}
	return out, err
}

// run hands over to the executor and turns a panic in it into an error.
func (x *execution) run(ctx context.Context) (out output, err error) {
	defer func() {
		if v := recover(); v != nil {
			x.runner.log.ErrorContext(ctx, "executor panicked", "execution", x.id, "tool", x.tool.def.id(),
				"panic", x.secrets.String(fmt.Sprint(v)), "stack", x.secrets.String(string(debug.Stack())))
			out, err = output{}, errclass.FromPanic(v)
		}
	}()
	return x.tool.run(ctx, x)
}

// checkOutput holds the result to the tool's output schema.
func (x *execution) checkOutput(value json.RawMessage) error {
	if x.tool.output == nil {
		return nil
	}
	decoded, err := strictjson.Decode(value)
	if err != nil && x.tool.def.Type == JavaScript {
		return errclass.Newf(errclass.SandboxError, errclass.Unserializable, "the result is not valid JSON: %v", err)
	}
	if err != nil {
		return errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "the result is not valid JSON: %v", err)
	}
	faults := x.tool.output.Validate(decoded)
	if len(faults) == 0 {
		return nil
	}
	detail := strings.TrimPrefix(schema.Message(faults), "Validation failed: ")
	e := errclass.Newf(errclass.InvalidResponse, errclass.SchemaMismatch, "the result breaks outputSchema: %s", detail)
	if x.tool.def.Type == JavaScript {
		e.Origin = errclass.OriginTool
	}
	return e
}

// finish classifies, redacts and records.
func (x *execution) finish(ctx context.Context, out output, err error) *Result {
	result := &Result{
		ExecutionID: x.id, Tool: x.tool.def.id(), Usage: x.invoked.usage.add(out.usage, x.depth),
		Tries: x.redactTries(out.tries), Upstream: x.redactUpstream(out.upstream),
		Logs: x.redactLogs(out.logs), LogsTruncated: out.logsTruncated, Cached: out.cached,
	}
	if err == nil {
		result.Value = out.value
	} else {
		result.Failure = x.redact(x.classify(ctx, err))
	}
	result.Duration = time.Since(x.start)
	x.record(ctx, result, err)
	return result
}

// classify turns err into the failure that the caller sees.
func (x *execution) classify(ctx context.Context, err error) *errclass.Error {
	e := *errclass.Classify(err)
	switch e.Class {
	case errclass.Cancelled:
		if stopped, ok := errors.AsType[*errclass.Error](context.Cause(ctx)); ok {
			e = *stopped
		} else if x.runner.life.Err() != nil {
			e = *errShutdown
		}
	case errclass.Timeout:
		nameDeadline(ctx, &e)
	case errclass.InternalError:
		e.Detail = "execution " + x.id
	}
	return &e
}

// nameDeadline adds to a timeout whose deadline fired, if one of the whole
// execution did and nothing further in has said so.
func nameDeadline(ctx context.Context, e *errclass.Error) {
	if ctx.Err() == nil || strings.Contains(e.Detail, setByPhrase) {
		return
	}
	who := "the caller's deadline"
	if ours, ok := errors.AsType[*timeLimit](context.Cause(ctx)); ok {
		who, e.Limit = ours.Error(), ours.limit
	}
	e.Detail = strings.TrimPrefix(e.Detail+" ("+setByPhrase+who+")", " ")
}

// setByPhrase marks a detail that names its deadline.
const setByPhrase = "limit: "

// redact takes secrets out of all that callers see.
func (x *execution) redact(e *errclass.Error) *errclass.Error {
	return x.redactDeep(e, maxCauses)
}

// maxCauses bounds how far down causes are kept, as many as details show.
const maxCauses = 5

func (x *execution) redactDeep(e *errclass.Error, depth int) *errclass.Error {
	clean := *e
	clean.Detail = x.secrets.String(e.Detail)
	clean.Upstream = x.redactUpstream(e.Upstream)
	clean.Stack = make([]string, len(e.Stack))
	for i, frame := range e.Stack {
		clean.Stack[i] = x.secrets.String(frame)
	}
	// Only classified causes are for callers; the text of any other is not.
	clean.Cause = nil
	if inner, ok := errors.AsType[*errclass.Error](e.Cause); ok && depth > 0 {
		clean.Cause = x.redactDeep(inner, depth-1)
	}
	return &clean
}

func (x *execution) redactUpstream(up errclass.Upstream) errclass.Upstream {
	for _, field := range []*string{&up.Host, &up.Code, &up.RequestID} {
		*field = x.secrets.String(*field)
	}
	return up
}

func (x *execution) redactTries(tries []llmtool.Try) []llmtool.Try {
	for i, t := range tries {
		tries[i].Model = x.secrets.String(t.Model)
		if t.Err != nil {
			tries[i].Err = x.redact(t.Err)
		}
	}
	return tries
}

func (x *execution) redactLogs(logs []errclass.LogLine) []errclass.LogLine {
	for i := range logs {
		logs[i].Message = x.secrets.String(logs[i].Message)
	}
	return logs
}

// record writes the execution's one log line.
func (x *execution) record(ctx context.Context, result *Result, cause error) {
	level, outcome := slog.LevelDebug, "success"
	if result.Failure != nil {
		level, outcome = slog.LevelInfo, string(result.Failure.Class)
	}
	if outcome == string(errclass.InternalError) {
		level = slog.LevelError
	}
	log := x.runner.log
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("execution", x.id), slog.String("tool", result.Tool),
		slog.String("organization", x.organization), slog.String("outcome", outcome),
		slog.Duration("duration", result.Duration),
	}
	if result.Failure != nil {
		attrs = append(attrs, slog.String("reason", string(result.Failure.Reason)), x.failureAttr(errclass.Classify(cause)))
	}
	if level == slog.LevelError {
		attrs = append(attrs, slog.String("cause", x.secrets.String(causeText(cause))))
	}
	log.LogAttrs(ctx, level, "execution finished", attrs...)
}

// failureAttr is a failure as the log has it. What a model or its provider says may
// repeat the prompt, which must not be logged: of such a failure there is only who
// said it, under which name the provider can find it.
func (x *execution) failureAttr(e *errclass.Error) slog.Attr {
	if e.Class != errclass.LLMError && (e.Class != errclass.InvalidResponse || e.Upstream.Provider == "") {
		return slog.String("error", x.secrets.String(e.Error()))
	}
	return slog.Group("upstream", slog.String("provider", e.Upstream.Provider), slog.Int("status", e.Upstream.Status),
		slog.String("request", x.secrets.String(e.Upstream.RequestID)))
}

// causeText is the text of the innermost error that Classify kept.
func causeText(err error) string {
	if inner := errors.Unwrap(errclass.Classify(err)); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

// newID names an execution: a UUID of version 7 (RFC 9562, section 5.7), so
// that ids sort by time.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}

// credentialsJSON is what javascript tools see as credentials.
func (x *execution) credentialsJSON() ([]byte, error) {
	if len(x.credentials) == 0 {
		return []byte("{}"), nil
	}
	data, err := strictjson.Marshal(x.credentials)
	if err != nil {
		return nil, errclass.New(errclass.ConfigurationError, errclass.BadDefinition, "the credentials can't be written as JSON").WithCause(err)
	}
	return data, nil
}
