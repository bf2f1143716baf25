package llmtool

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// classify turns a response that tells of a failure into the error that the
// caller sees. What the provider states exactly outranks what its status implies,
// and that what its words suggest; the words are asked only where a provider is
// known to say nothing better.
func classify(x *exchange, s said, p *provider, prompt []string) *errclass.Error {
	status := x.status
	if (status < 400 || status > 599) && s.status != 0 {
		status = s.status
	}
	s.message = p.own(s.message, prompt) // what it repeats of the request says nothing of the failure
	class, reason := errclass.LLMError, reasonOf(status, s)
	if reason == errclass.NotJSON {
		class = errclass.InvalidResponse
	}
	e := errclass.New(class, reason, p.detail(x.status, s.message))
	e.Upstream = errclass.Upstream{
		Host: p.host, Provider: p.id, Status: x.status,
		Code: errclass.OneLine(p.own(s.code, prompt), 100), RequestID: requestID(x.header),
	}
	if e.Upstream.RequestID == "" {
		e.Upstream.RequestID = errclass.OneLine(s.request, 100)
	}
	e.RetryAfter = retryAfter(x.header, s, reason, time.Now())
	refine(e, x, s)
	return e
}

// refine corrects what the reason alone implies.
func refine(e *errclass.Error, x *exchange, s said) {
	switch {
	case e.Reason == errclass.RateLimit && (x.status == 413 || strings.Contains(spoken(s.message), "request too large")):
		// The request alone exceeds a minute's allowance: waiting can't help.
		e.Retryable, e.Hint = false, "Shorten the input: it alone exceeds what the account may send in a minute."
	case e.Reason == errclass.Quota && x.status == 402 && e.RetryAfter > 0:
		e.Retryable = true // OpenRouter names the time at which there is credit again
	case e.Reason == errclass.NotFound:
		e.Origin, e.Hint = errclass.OriginTool, "Check the provider's baseUrl."
	case e.Reason == errclass.NotJSON:
		e.Retryable, e.Hint = true, "The model failed to write JSON; try again or make the prompt clearer."
	}
	switch x.header.Get("X-Should-Retry") {
	case "true":
		e.Retryable = true
	case "false":
		e.Retryable = false
	}
	if !e.Retryable {
		e.RetryAfter = 0
	}
}

// reasonOf finds the reason: exact codes, structured details, words where the
// status allows them, then the status itself.
func reasonOf(status int, s said) errclass.Reason {
	words := spoken(s.message)
	for _, code := range s.codes {
		switch reason, ok := byCode[code]; {
		case ok:
			return reason
		case code == "resource_exhausted":
			return exhausted(s)
		case code == "rate_limit_error" && spent.MatchString(words):
			return errclass.Quota // Anthropic's limit of a month
		case code == "rate_limit_error":
			return errclass.RateLimit
		}
	}
	if s.details.moderated {
		return errclass.ContentFilter
	}
	for _, rule := range byWords {
		if slices.Contains(rule.statuses, status) && rule.words.MatchString(words) {
			return rule.reason
		}
	}
	return byStatus(status)
}

// exhausted tells Google's two meanings of one code apart: a limit per minute,
// and an allowance that is spent or was never given.
func exhausted(s said) errclass.Reason {
	if s.details.perDay || strings.Contains(spoken(s.message), "limit: 0") {
		return errclass.Quota
	}
	return errclass.RateLimit
}

// byCode maps what providers write as code or type, in lower case. Generic words
// are missing on purpose: OpenAI's invalid_request_error and Groq's
// internal_server_error, for two, come with all kinds of statuses.
var byCode = invert(map[errclass.Reason][]string{
	errclass.Quota: {
		"insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
		"project_spend_limit_exceeded", "billing_hard_limit_reached", "billing_not_active", "billing_error",
		"insufficient_credits", "insufficient_balance", "insufficient_user_quota", "exceeded_current_quota_error",
		"quota_exceeded", "payment_required", "usage_limit_reached", "budget_exceeded", "credit_limit", "blocked_api_access",
	},
	errclass.RateLimit: {
		"rate_limit_exceeded", "rate_limited", "rate_limit_reached_error", "model_rate_limit", "too_many_requests",
		"toomanyrequests", "slow_down", "throttling",
	},
	errclass.Auth: {
		"invalid_api_key", "incorrect_api_key", "missing_api_key", "api_key_invalid", "api_key_expired", "expired_api_key",
		"authentication_error", "invalid_authentication_error", "invalid_authentication", "unauthorized", "unauthenticated",
		"invalid_token", "invalid_issuer", "account_deactivated", "invalid_organization", "no_such_organization",
	},
	errclass.Permission: {
		"permission_error", "permission_denied", "permissiondenied", "access_denied", "forbidden", "insufficient_permissions",
		"unsupported_country_region_territory", "ip_not_authorized", "model_terms_required", "organization_restricted",
		"missing_scope", "service_disabled", "key_model_access_denied", "team_model_access_denied",
	},
	errclass.ContextLength: {
		"context_length_exceeded", "context_window_exceeded", "model_context_window_exceeded", "exceed_context_size_error",
		"string_above_max_length", "request_too_large", "prompt_too_long", "input_too_long", "tokens_limit_reached",
	},
	errclass.ContentFilter: {
		"content_filter", "content_filtered", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked",
		"data_inspection_failed", "invalid_prompt", "guardrail_blocked", "safety",
	},
	errclass.Overloaded: {
		"overloaded_error", "overloaded", "server_overloaded", "server_is_overloaded", "engine_overloaded",
		"engine_overloaded_error", "model_overloaded", "unavailable", "service_unavailable", "service_unavailable_error",
		"service_tier_capacity_exceeded", "capacity_exceeded", "3505",
	},
	errclass.ModelNotFound: {
		"model_not_found", "deploymentnotfound", "deployment_not_found", "unknown_model", "invalid_model",
		"model_not_available", "model_decommissioned", "model_deprecated", "model_not_active",
	},
	errclass.ServerError: {
		"bad_gateway", "gateway_timeout", "request_timeout", "timeout_error", "deadline_exceeded",
	},
	errclass.BadRequest: {
		"unsupported_parameter", "unsupported_value", "invalid_value", "invalid_type", "unknown_parameter",
		"missing_required_parameter", "integer_below_min_value", "integer_above_max_value", "decimal_above_max_value",
		"invalid_json_schema", "out_of_range",
	},
	errclass.NotJSON: {"json_validate_failed"}, // Groq: the model's own failure in JSON mode
	errclass.Empty:   {"tool_use_failed"},      // Groq: the model called a tool that it wasn't given
})

func invert(byReason map[errclass.Reason][]string) map[string]errclass.Reason {
	codes := map[string]errclass.Reason{}
	for reason, list := range byReason {
		for _, code := range list {
			codes[code] = reason
		}
	}
	return codes
}

// spent are words for an allowance that no short wait renews.
var spent = regexp.MustCompile(
	`credit balance|(out of|insufficient|not enough|no|any|available) credits?\b|insufficient (balance|funds|quota)|exceeded your current quota|` +
		`spend(ing)? limit|(daily|weekly|monthly) (usage )?limit|usage limits?\b|billing hard limit|call volume quota`)

// byWords reads a provider's message, for the statuses that leave open what
// happened. The first match counts.
var byWords = []struct {
	reason   errclass.Reason
	statuses []int
	words    *regexp.Regexp
}{
	{errclass.ContextLength, []int{200, 400, 413, 422, 500}, regexp.MustCompile(
		`context ?(length|window|size|limit)|(prompt|input) is too long|prompt too long|input is longer|too many (input )?tokens|` +
			`maximum (input )?(number of )?tokens|maximum (prompt|model) length|input tokens exceed|less than \d+ tokens|` +
			`reduce the length|tokens \+ +must be <=|input token count|exceeds the model'?s? max`)},
	{errclass.Quota, []int{400, 403, 429, 503}, spent},
	{errclass.Auth, []int{400, 403}, regexp.MustCompile(
		`(incorrect|invalid|missing|expired|unknown) api[ _-]?key|api[ _-]?key (is |was )?(not valid|not found|invalid|expired|missing|incorrect)|` +
			`(incorrect|invalid|missing) (bearer token|credentials)`)},
	{errclass.ContentFilter, []int{400, 403, 422}, regexp.MustCompile(
		`content (management )?policy|content filter|content exists risk|usage (polic|guidelines)|inappropriate content|(was|been|is|were) flagged|requires moderation|safety system|guardrail`)},
	{errclass.ModelNotFound, []int{400, 403, 404, 410, 422}, regexp.MustCompile(
		`\bmodels?\b.*(does not exist|doesn't exist|not found|not exist|is not available|isn't available|is not supported|decommissioned|deprecated|not served)|` +
			`(unknown|invalid|unsupported|no such|no) (model|deployment)\b|deployment .*(does not exist|not found)|not a (valid|chat) model|model not|` +
			`no endpoints found for|^model: \S+$`)},
	{errclass.Permission, []int{400}, regexp.MustCompile(`(user )?location is not supported`)},
	{errclass.Overloaded, []int{429, 500, 502}, regexp.MustCompile(`overloaded|capacity (exceeded|limit)|(at|over|no) capacity|high demand`)},
	{errclass.RateLimit, []int{403, 413, 503}, regexp.MustCompile(`rate limit (reached|exceeded)|too many requests|requests? rate`)},
}

// byStatus is the reason that a status alone implies.
func byStatus(status int) errclass.Reason {
	switch status {
	case 401, 407:
		return errclass.Auth
	case 402:
		return errclass.Quota
	case 403, 451:
		return errclass.Permission
	case 404:
		return errclass.NotFound
	case 410:
		return errclass.ModelNotFound
	case 413:
		return errclass.ContextLength
	case 429:
		return errclass.RateLimit
	case 425, 498, 503, 529: // 498: Groq's flex tier has no capacity
		return errclass.Overloaded
	case 408, 409, 424, 499: // the provider gave up, or two requests met; it is not the request's fault
		return errclass.ServerError
	}
	if status >= 400 && status < 500 {
		return errclass.BadRequest
	}
	return errclass.ServerError
}

var quoted = regexp.MustCompile("`[^`]*`|\"[^\"]*\"|“[^”]*”|(^|[\\s(:=])'[^']*'($|[\\s).,;:])")

// spoken is a message in lower case without what it quotes: quotes are echoes of
// the request, and must not be taken for the provider's word.
func spoken(message string) string {
	return strings.ToLower(quoted.ReplaceAllString(message, "$1$2"))
}
