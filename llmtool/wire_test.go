package llmtool_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// wireCase is one answer of a provider as it stands on the wire, and what becomes
// of it. Unless json is set, the tool is a text tool.
type wireCase struct {
	name    string
	status  int
	headers string // "Name: value; Name: value"
	body    string
	reason  Reason
	retry   bool
	wait    time.Duration
	detail  string // the whole detail
	class   Class  // LLMError if empty
	json    bool
}

const sec = time.Second

var wireCases = []wireCase{
	// OpenAI
	{"openai wrong key", 401, "", `{"error":{"message":"Incorrect API key provided: sk-abcd************************wxyz. You can find your API key at https://platform.openai.com/account/api-keys.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, Auth, false, 0, `401: Incorrect API key provided: [redacted]. You can find your API key at https://platform.openai.com/account/api-keys`, "", false},
	{"openai key echoed whole", 401, "", `{"error":{"message":"Incorrect API key provided: zz9-Plural.Z-Alpha+42/Q==","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, Auth, false, 0, `401: Incorrect API key provided: [redacted]`, "", false},
	{"openai no key", 401, "", `{"error":{"message":"You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.","type":"invalid_request_error","param":null,"code":null}}`, Auth, false, 0, `401: You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth`, "", false},
	{"openai wrong organization", 401, "", `{"error":{"message":"No such organization: org-AbCdEf123456.","type":"invalid_request_error","param":null,"code":"invalid_organization"}}`, Auth, false, 0, `401: No such organization: [redacted]`, "", false},
	{"openai rate limit, wait in words", 429, "", `{"error":{"message":"Rate limit reached for gpt-4o in organization org-AbCdEf123456 on tokens per min (TPM): Limit 30000, Used 29000, Requested 2170. Please try again in 2.34s. Visit https://platform.openai.com/account/rate-limits to learn more.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, RateLimit, true, 2340 * time.Millisecond, `429: Rate limit reached for gpt-4o in organization [redacted] on tokens per min (TPM): Limit 30000, Used 29000, Requested 2170. Please try again in 2.34s. Visit https://platform.openai.com/account/rate-limits to learn more`, "", false},
	{"openai rate limit, wait in minutes", 429, "", `{"error":{"message":"Rate limit reached for requests. Please try again in 6m2s.","type":"requests","code":"rate_limit_exceeded"}}`, RateLimit, true, 362 * sec, `429: Rate limit reached for requests. Please try again in 6m2s`, "", false},
	{"openai retry-after", 429, "Retry-After: 20", `{"error":{"message":"Too many","type":"requests","code":"rate_limit_exceeded"}}`, RateLimit, true, 20 * sec, `429: Too many`, "", false},
	{"openai retry-after-ms wins", 429, "Retry-After: 20; Retry-After-Ms: 1500", `{"error":{"message":"Too many","code":"rate_limit_exceeded"}}`, RateLimit, true, 1500 * time.Millisecond, `429: Too many`, "", false},
	{"openai reset of what is used up", 429, "X-Ratelimit-Remaining-Requests: 12; X-Ratelimit-Reset-Requests: 120ms; X-Ratelimit-Remaining-Tokens: 0; X-Ratelimit-Reset-Tokens: 6m0s", `{"error":{"message":"Too many","code":"rate_limit_exceeded"}}`, RateLimit, true, 360 * sec, `429: Too many`, "", false},
	{"openai reset of requests only", 429, "X-Ratelimit-Remaining-Requests: 0; X-Ratelimit-Reset-Requests: 120ms; X-Ratelimit-Remaining-Tokens: 10; X-Ratelimit-Reset-Tokens: 6m0s", `{"error":{"message":"Too many","code":"rate_limit_exceeded"}}`, RateLimit, true, 120 * time.Millisecond, `429: Too many`, "", false},
	{"openai quota", 429, "Retry-After: 20", `{"error":{"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, Quota, false, 0, `429: You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors`, "", false},
	{"openai quota by type only", 429, "", `{"error":{"message":"Spent.","type":"insufficient_quota","param":null,"code":null}}`, Quota, false, 0, `429: Spent`, "", false},
	{"openai credit balance", 429, "", `{"error":{"message":"No balance.","type":"x","code":"credit_balance_exhausted"}}`, Quota, false, 0, `429: No balance`, "", false},
	{"openai project spend limit", 429, "", `{"error":{"message":"Project limit.","type":"x","code":"project_spend_limit_exceeded"}}`, Quota, false, 0, `429: Project limit`, "", false},
	{"openai request larger than a minute allows", 429, "", `{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully.","type":"tokens","code":"rate_limit_exceeded"}}`, RateLimit, false, 0, `429: Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully`, "", false},
	{"openai context length", 400, "", `{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 130011 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, ContextLength, false, 0, `400: This model's maximum context length is 128000 tokens. However, your messages resulted in 130011 tokens. Please reduce the length of the messages`, "", false},
	{"openai model not found", 404, "", "{\"error\":{\"message\":\"The model `gpt-9` does not exist or you do not have access to it.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}}", ModelNotFound, false, 0, "404: The model `gpt-9` does not exist or you do not have access to it", "", false},
	{"openai model not for this project", 403, "", "{\"error\":{\"message\":\"Project `proj_AbC123456` does not have access to model `gpt-4o`\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}}", ModelNotFound, false, 0, "403: Project `[redacted]` does not have access to model `gpt-4o`", "", false},
	{"openai region", 403, "", `{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}`, Permission, false, 0, `403: Country, region, or territory not supported`, "", false},
	{"openai unsupported parameter", 400, "", `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`, BadRequest, false, 0, `400: Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead`, "", false},
	{"openai message as array", 400, "", `{"error":{"message":["Invalid schema","missing items"],"type":"invalid_request_error","param":null,"code":null}}`, BadRequest, false, 0, `400: Invalid schema, missing items`, "", false},
	{"openai invalid prompt", 400, "", `{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}`, ContentFilter, false, 0, `400: Invalid prompt: your prompt was flagged as potentially violating our usage policy`, "", false},
	{"openai server error", 500, "X-Request-Id: req_123", `{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}`, ServerError, true, 0, `500: The server had an error while processing your request. Sorry about that!`, "", false},
	{"openai overloaded", 503, "Retry-After: 5", `{"error":{"message":"The server is overloaded or not ready yet.","type":"server_error","param":null,"code":"server_is_overloaded"}}`, Overloaded, true, 5 * sec, `503: The server is overloaded or not ready yet`, "", false},
	{"openai engine overloaded at 429", 429, "", `{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}`, Overloaded, true, 0, `429: The engine is currently overloaded, please try again later`, "", false},
	{"openai slow down", 503, "", `{"error":{"message":"Slow down","type":"x","code":"slow_down"}}`, RateLimit, true, 0, `503: Slow down`, "", false},
	{"x-should-retry false outranks status", 500, "X-Should-Retry: false; Retry-After: 3", `{"error":{"message":"no","type":"server_error"}}`, ServerError, false, 0, `500: no`, "", false},
	{"x-should-retry true outranks status", 400, "X-Should-Retry: true; Retry-After: 3", `{"error":{"message":"odd","type":"invalid_request_error"}}`, BadRequest, true, 3 * sec, `400: odd`, "", false},
	{"lock timeout", 409, "", `{"error":{"message":"lock timeout","type":"conflict"}}`, ServerError, true, 0, `409: lock timeout`, "", false},

	// Echoes of the request are not the provider's word.
	{"echo of a rate limit", 400, "", `{"error":{"message":"Invalid value: 'rate limit exceeded, insufficient_quota, 429'. Supported values are: 'a'.","type":"invalid_request_error","param":"x","code":null}}`, BadRequest, false, 0, `400: Invalid value: 'rate limit exceeded, insufficient_quota, 429'. Supported values are: 'a'`, "", false},
	{"echo of a context length", 400, "", `{"error":{"message":"Invalid input \"maximum context length\"","type":"invalid_request_error"}}`, BadRequest, false, 0, `400: Invalid input "maximum context length"`, "", false},
	{"words of quota at a status that excludes them", 500, "", `{"error":{"message":"exceeded your current quota","type":"x"}}`, ServerError, true, 0, `500: exceeded your current quota`, "", false},
	{"echo of the prompt is cut out", 400, "", `{"error":{"message":"bad content: Say hello. Say hello. Say hello. please","type":"x"}}`, BadRequest, false, 0, `400: bad content: […] please`, "", false},

	// Azure
	{"azure code as text", 429, "Retry-After: 26", `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current pricing tier."}}`, RateLimit, true, 26 * sec, `429: Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your current pricing tier`, "", false},
	{"azure wait in words only", 429, "", `{"error":{"code":"429","message":"Rate limited. Please retry after 26 seconds."}}`, RateLimit, true, 26 * sec, `429: Rate limited. Please retry after 26 seconds`, "", false},
	{"azure day-long wait", 429, "Retry-After: 86400", `{"error":{"code":"429","message":"Too many"}}`, RateLimit, true, 24 * time.Hour, `429: Too many`, "", false},
	{"azure api management", 401, "", `{"statusCode":401,"message":"Access denied due to invalid subscription key."}`, Auth, false, 0, `401: Access denied due to invalid subscription key`, "", false},
	{"azure content filter", 400, "", `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}`, ContentFilter, false, 0, `400: The response was filtered due to the prompt triggering Azure OpenAI's content management policy`, "", false},
	{"azure filter by inner error", 400, "", `{"error":{"message":"Filtered.","code":null,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, ContentFilter, false, 0, `400: Filtered`, "", false},
	{"azure deployment", 404, "", `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, ModelNotFound, false, 0, `404: The API deployment for this resource does not exist`, "", false},
	{"azure retired model", 410, "", `{"error":{"code":"x","message":"Gone for good."}}`, ModelNotFound, false, 0, `410: Gone for good`, "", false},

	// Anthropic's shape, as compatible endpoints have it
	{"anthropic overloaded", 529, "", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`, Overloaded, true, 0, `529: Overloaded`, "", false},
	{"anthropic credit", 400, "", `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`, Quota, false, 0, `400: Your credit balance is too low to access the Anthropic API`, "", false},
	{"anthropic prompt too long", 400, "", `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, ContextLength, false, 0, `400: prompt is too long: 210000 tokens > 200000 maximum`, "", false},
	{"anthropic too large", 413, "", `{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, ContextLength, false, 0, `413: Request exceeds the maximum size`, "", false},

	// Gemini's compatible endpoint
	{"gemini wrong key in an array", 400, "", `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}]`, Auth, false, 0, `400: API key not valid. Please pass a valid API key`, "", false},
	{"gemini per minute", 429, "", `[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 34.07s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}]`, RateLimit, true, 34 * sec, `429: You exceeded your current quota, please check your plan and billing details. Please retry in 34.07s`, "", false},
	{"gemini no quota at all", 429, "", `[{"error":{"code":429,"message":"You exceeded your current quota. Quota exceeded for metric: x, limit: 0","status":"RESOURCE_EXHAUSTED"}}]`, Quota, false, 0, `429: You exceeded your current quota. Quota exceeded for metric: x, limit: 0`, "", false},
	{"gemini unavailable", 503, "", `[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]`, Overloaded, true, 0, `503: The model is overloaded`, "", false},

	// Mistral
	{"mistral unauthorized", 401, "", `{"message":"Unauthorized","request_id":"abc"}`, Auth, false, 0, `401: Unauthorized`, "", false},
	{"mistral detail as text", 401, "", `{"detail":"Unauthorized"}`, Auth, false, 0, `401: Unauthorized`, "", false},
	{"mistral capacity", 429, "", `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}`, Overloaded, true, 0, `429: Service tier capacity exceeded for this model`, "", false},
	{"mistral unknown field", 422, "", `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","foo"],"msg":"Extra inputs are not permitted","input":"SECRET INPUT"}]},"type":"invalid_request_error","param":null,"code":null}`, BadRequest, false, 0, `422: body.foo: Extra inputs are not permitted`, "", false},
	{"fastapi detail", 422, "", `{"detail":[{"loc":["body","messages",0],"msg":"field required","type":"value_error.missing","input":"SECRET INPUT"}]}`, BadRequest, false, 0, `422: body.messages.0: field required`, "", false},

	// Groq
	{"groq request larger than a minute allows", 413, "Retry-After: 8", `{"error":{"message":"Request too large for model on tokens per minute (TPM): Limit 6000, Requested 8000","type":"tokens","code":"rate_limit_exceeded"}}`, RateLimit, false, 0, `413: Request too large for model on tokens per minute (TPM): Limit 6000, Requested 8000`, "", false},
	{"groq flex capacity", 498, "", `{"error":{"message":"Flex tier capacity exceeded","type":"x"}}`, Overloaded, true, 0, `498: Flex tier capacity exceeded`, "", false},
	{"groq json failed", 400, "", `{"error":{"message":"Failed to generate JSON. Please adjust your prompt.","type":"invalid_request_error","code":"json_validate_failed","failed_generation":"{"}}`, NotJSON, true, 0, `400: Failed to generate JSON. Please adjust your prompt`, InvalidResponse, false},
	{"groq tool use", 400, "", `{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed"}}`, Empty, true, 0, `400: Failed to call a function`, "", false},
	{"groq decommissioned", 400, "", "{\"error\":{\"message\":\"The model `llama2-70b` has been decommissioned and is no longer supported.\",\"type\":\"invalid_request_error\",\"code\":\"model_decommissioned\"}}", ModelNotFound, false, 0, "400: The model `llama2-70b` has been decommissioned and is no longer supported", "", false},

	// Servers of one's own
	{"ollama no model", 404, "", `{"error":"model \"llama9\" not found, try pulling it first"}`, ModelNotFound, false, 0, `404: model "llama9" not found, try pulling it first`, "", false},
	{"ollama busy", 503, "", `{"error":"server busy, please try again.  maximum pending requests exceeded"}`, Overloaded, true, 0, `503: server busy, please try again. maximum pending requests exceeded`, "", false},
	{"vllm unauthorized", 401, "", `{"error":"Unauthorized"}`, Auth, false, 0, `401: Unauthorized`, "", false},
	{"old vllm context", 400, "", `{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}`, ContextLength, false, 0, `400: This model's maximum context length is 4096 tokens`, "", false},
	{"old vllm model", 404, "", "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\",\"type\":\"NotFoundError\",\"param\":null,\"code\":404}", ModelNotFound, false, 0, "404: The model `x` does not exist", "", false},
	{"tgi validation", 422, "", "{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000\",\"error_type\":\"validation\"}", ContextLength, false, 0, "422: Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", "", false},
	{"tgi overloaded", 429, "", `{"error":"Model is overloaded","error_type":"overloaded"}`, Overloaded, true, 0, `429: Model is overloaded`, "", false},
	{"llama.cpp context", 400, "", `{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}`, ContextLength, false, 0, `400: the request exceeds the available context size, try increasing it`, "", false},
	{"llama.cpp context at 500", 500, "", `{"error":{"code":500,"message":"the request exceeds the available context size","type":"x"}}`, ContextLength, false, 0, `500: the request exceeds the available context size`, "", false},
	{"llama.cpp error at 200", 200, "", `{"error":{"code":400,"message":"the request exceeds the available context size","type":"invalid_request_error"}}`, ContextLength, false, 0, `the request exceeds the available context size`, "", false},
	{"llama.cpp loading", 503, "", `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, Overloaded, true, 0, `503: Loading model`, "", false},

	// OpenRouter, xAI, DeepSeek, Cohere
	{"openrouter no credit", 402, "", `{"error":{"code":402,"message":"Insufficient credits. Add more."}}`, Quota, false, 0, `402: Insufficient credits. Add more`, "", false},
	{"openrouter credit soon", 402, "Retry-After: 60", `{"error":{"code":402,"message":"Insufficient credits for now"}}`, Quota, true, 60 * sec, `402: Insufficient credits for now`, "", false},
	{"openrouter moderation", 403, "", `{"error":{"code":403,"message":"Input was flagged","metadata":{"reasons":["violence"],"flagged_input":"SECRET INPUT","provider_name":"OpenAI"}}}`, ContentFilter, false, 0, `403: Input was flagged`, "", false},
	{"openrouter provider behind", 429, "", `{"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"model is temporarily rate-limited upstream","provider_name":"X"}}}`, RateLimit, true, 0, `429: Provider returned error: model is temporarily rate-limited upstream`, "", false},
	{"openrouter error at 200", 200, "", `{"error":{"code":502,"message":"Upstream is down"}}`, ServerError, true, 0, `Upstream is down`, "", false},
	{"openrouter error in the choice", 200, "", `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Hel"},"finish_reason":"error","error":{"code":429,"message":"Too busy"}}]}`, RateLimit, true, 0, `Too busy`, "", false},
	{"xai wrong key", 400, "", `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: ab***cd. You can obtain an API key from https://console.x.ai."}`, Auth, false, 0, `400: Incorrect API key provided: [redacted]. You can obtain an API key from https://console.x.ai`, "", false},
	{"xai no credit", 429, "", `{"code":"Some resource has been exhausted","error":"Your team has either used all available credits or reached its monthly spending limit."}`, Quota, false, 0, `429: Your team has either used all available credits or reached its monthly spending limit`, "", false},
	{"deepseek balance", 402, "", `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`, Quota, false, 0, `402: Insufficient Balance`, "", false},
	{"cohere message", 404, "", `{"message":"model 'command-x' not found, make sure the correct model ID was used"}`, ModelNotFound, false, 0, `404: model 'command-x' not found, make sure the correct model ID was used`, "", false},

	// What stands between
	{"proxy page", 502, "", "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>", ServerError, true, 0, `502: Bad Gateway (an HTML page, probably of a proxy)`, "", false},
	{"proxy page unavailable", 503, "Retry-After: Wed, 01 Jan 2020 00:00:00 GMT", `<!DOCTYPE html><title>Down</title>`, Overloaded, true, 0, `503: Down (an HTML page, probably of a proxy)`, "", false},
	{"proxy page gateway timeout", 504, "", `<html></html>`, ServerError, true, 0, `504: (an HTML page, probably of a proxy)`, "", false},
	{"cloudflare", 524, "", `error code: 524`, ServerError, true, 0, `524: error code: 524`, "", false},
	{"empty body", 500, "", ``, ServerError, true, 0, `500 Internal Server Error`, "", false},
	{"empty body, unknown status", 599, "", ``, ServerError, true, 0, `599`, "", false},
	{"plain text", 404, "", "404 page not found\n", NotFound, false, 0, `404: 404 page not found`, "", false},
	{"json that is cut", 500, "", `{"error":{"mess`, ServerError, true, 0, `500 Internal Server Error`, "", false},
	{"duplicate members", 429, "", `{"error":{"message":"a"},"error":{"message":"b"}}`, RateLimit, true, 0, `429 Too Many Requests`, "", false},
	{"null error", 400, "", `{"error":null,"message":"Bad thing"}`, BadRequest, false, 0, `400: Bad thing`, "", false},
	{"wait that is negative", 429, "Retry-After: -1", `{}`, RateLimit, true, 0, `429 Too Many Requests`, "", false},
	{"wait that is absurd", 429, "Retry-After: 99999999", `{}`, RateLimit, true, 24 * time.Hour, `429 Too Many Requests`, "", false},
	{"wait that is no number", 429, "Retry-After: NaN", `{}`, RateLimit, true, 0, `429 Too Many Requests`, "", false},
	{"redirect", 307, "Location: http://192.0.2.1/", ``, Redirect, false, 0, `provider main answered with a redirect (307 Temporary Redirect); check its baseUrl`, InvalidResponse, false},

	// Successes that are none
	{"page at 200", 200, "Content-Type: text/html", `<!doctype html><html><title>App</title></html>`, NotJSON, false, 0, `provider main answered with an HTML page; check its baseUrl`, InvalidResponse, false},
	{"nothing at 200", 200, "", ``, NotJSON, false, 0, `the answer of provider main has no body`, InvalidResponse, false},
	{"text at 200", 200, "", `OK`, NotJSON, false, 0, `the answer of provider main isn't valid JSON`, InvalidResponse, false},
	{"cut JSON at 200", 200, "", `{"choices":[{"message":{"content":"Hel`, Truncated, true, 0, `the answer of provider main ends in mid-JSON`, InvalidResponse, false},
	{"wrong type at 200", 200, "", `{"choices":"none"}`, NoData, false, 0, `the answer of provider main isn't a chat completion: "choices" has the wrong type`, InvalidResponse, false},
	{"no choices", 200, "", `{"choices":[]}`, Empty, true, 0, `the model answered nothing`, "", false},
	{"other JSON", 200, "", `{"hello":"world"}`, NoData, false, 0, `the answer of provider main isn't a chat completion: it lacks what makes one`, InvalidResponse, false},
	{"a list at 200", 200, "", `[]`, NoData, false, 0, `the answer of provider main isn't a chat completion: it is no object`, InvalidResponse, false},
	{"choices null", 200, "", `{"choices":null}`, NoData, false, 0, `the answer of provider main isn't a chat completion: it lacks what makes one`, InvalidResponse, false},
	{"empty content", 200, "", completion("", "stop"), Empty, true, 0, `the model answered nothing`, "", false},
	{"blank content", 200, "", completion(" \n", "stop"), Empty, true, 0, `the model answered nothing`, "", false},
	{"refusal", 200, "", `{"choices":[{"message":{"role":"assistant","content":null,"refusal":"I'm sorry, I can't help with that."},"finish_reason":"stop"}]}`, Refusal, false, 0, `I'm sorry, I can't help with that.`, "", false},
	{"filter", 200, "", completion("Hel", "content_filter"), ContentFilter, false, 0, `the filter of provider main stopped the answer`, "", false},
	{"length, text", 200, "", completion("Hel", "length"), Truncated, false, 0, `the answer was cut at maxTokens (1024)`, InvalidResponse, false},
	{"length, JSON", 200, "", completion(`{"a":1`, "length"), Truncated, false, 0, `the answer was cut at maxTokens (1024)`, InvalidResponse, true},
	{"length, all of it thought", 200, "", completion("", "length"), Truncated, false, 0, `the answer was cut at maxTokens (1024)`, InvalidResponse, false},
	{"tool call", 200, "", `{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"x","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`, Empty, true, 0, `the model called a tool, which it wasn't given, and answered nothing`, "", false},
	{"no JSON, even after repair", 200, "", says("I'd rather not."), NotJSON, false, 0, `the model's answer isn't JSON`, InvalidResponse, true},
}

func TestWire(t *testing.T) {
	t.Parallel()
	for _, c := range wireCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for pair := range strings.SplitSeq(c.headers, "; ") {
					if name, value, ok := strings.Cut(pair, ": "); ok {
						w.Header().Set(name, value)
					}
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			cfg := llmtool.Config{PromptTemplate: "Say hello. Say hello. Say hello."}
			if c.json {
				cfg.OutputMode = llmtool.OutputJSON
			}
			_, e := run(t, cfg, clients(t, provider(up.URL)))
			require.NotNil(t, e)
			class := c.class
			if class == "" {
				class = LLMError
			}
			require.Equal(t, class, e.Class)
			require.Equal(t, c.reason, e.Reason)
			require.Equal(t, c.detail, e.Detail)
			require.Equal(t, c.retry, e.Retryable)
			require.Equal(t, c.wait, e.RetryAfter)
			require.Equal(t, "main", e.Upstream.Provider)
			require.Equal(t, c.status, e.Upstream.Status)
			require.Equal(t, strings.TrimPrefix(up.URL, "http://"), e.Upstream.Host)
			require.NotContains(t, e.Message(), "SECRET INPUT")
		})
	}
}
