package llmtool

import (
	"context"

	"github.com/almyty-inc/toolrun/errclass"
)

// Verdict is what a [Check] found of one thing.
type Verdict string

// The values of [Verdict].
const (
	CheckOK     Verdict = "ok"
	CheckFailed Verdict = "failed"
	Unchecked   Verdict = "unchecked" // it didn't come to that, or the provider doesn't say
)

// Check is what one short request to a provider showed.
type Check struct {
	Provider string
	Type     string
	Host     string
	Model    string // as the provider names it, or as it was asked for
	// Reachable says whether something answers at the provider's address, Key
	// whether it takes the credential, and ModelKnown whether it has the model.
	Reachable, Key, ModelKnown Verdict
	// Err is why the provider can't be used as it is; nil where it can.
	Err *errclass.Error
}

// checkTokens bounds the answer to a check. Models that think before they answer
// may need all of it for that: a cut answer is one.
const checkTokens = 64

// Check asks a provider for a word and tells from the outcome what is amiss. An
// empty model means the provider's default. It costs some twenty tokens.
func (c *Clients) Check(ctx context.Context, id, model string) Check {
	p := c.find(id)
	if p == nil {
		return Check{
			Provider: id, Reachable: Unchecked, Key: Unchecked, ModelKnown: Unchecked,
			Err: errclass.Newf(errclass.ConfigurationError, errclass.UnknownProvider, "provider %q is not configured", id),
		}
	}
	k := Check{Provider: id, Type: p.dialect.Type, Host: p.host, Model: modelFor(model, p.model, false)}
	if k.Model == "" {
		k.judge(errclass.Newf(errclass.ConfigurationError, errclass.BadDefinition, "provider %s has no default model: name one to ask", id))
		return k
	}
	r := &run{tool: &Tool{model: model, maxTokens: checkTokens, limit: &limit{}}}
	_, err := r.ask(ctx, c, Input{}, id, false, Request{
		Messages:    []Message{{Role: RoleUser, Text: "Answer with the word OK."}},
		Temperature: DefaultTemperature, MaxTokens: checkTokens,
	})
	if n := len(r.tries); n > 0 {
		k.Model = r.tries[n-1].Model
	}
	k.judge(errclass.Classify(err))
	return k
}

// judge tells the three things apart by how the request failed; nil is a success.
func (k *Check) judge(e *errclass.Error) {
	k.Reachable, k.Key, k.ModelKnown, k.Err = Unchecked, Unchecked, Unchecked, e
	switch {
	case e == nil:
		k.Reachable, k.Key, k.ModelKnown = CheckOK, CheckOK, CheckOK
		return
	case e.Class == errclass.InvalidResponse && e.Reason == errclass.Truncated && !e.Retryable: // cut by checkTokens
		k.judge(nil)
		return
	case e.Reason == errclass.MissingCredential:
		k.Key = CheckFailed
		return
	case e.Class == errclass.ConnectionRefused, e.Class == errclass.Timeout, e.Class == errclass.RequestBlocked:
		k.Reachable = CheckFailed
		return
	case e.Class != errclass.LLMError && e.Class != errclass.InvalidResponse:
		return
	}
	k.Reachable = CheckOK
	switch e.Reason {
	case errclass.Auth, errclass.Permission:
		k.Key = CheckFailed
	case errclass.ModelNotFound:
		k.Key, k.ModelKnown = CheckOK, CheckFailed
	case errclass.RateLimit, errclass.Quota: // an account has these
		k.Key = CheckOK
	case errclass.ContentFilter, errclass.Refusal, errclass.Empty:
		k.Key, k.ModelKnown = CheckOK, CheckOK
	}
}
