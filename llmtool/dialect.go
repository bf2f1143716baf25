package llmtool

import (
	"context"
	"encoding/json"
	"net/http"
)

// Dialect is the API that the providers of one type speak. This package knows
// OpenAI's and what imitates it; the sub-packages have the others, so that only a
// host that wants those carries their SDKs. See [NewClients].
type Dialect struct {
	// Type is what [Provider.Type] names.
	Type string
	// BaseURL is that of a provider that names none; empty means it must.
	BaseURL string
	// APIVersion is that of a provider that names none; empty means that the API has
	// no version beside the one in its base URL, and a provider must name none.
	APIVersion string
	// Connect makes a client for an account. It sends nothing.
	Connect func(Account) (Client, error)
}

// Account is in whose name a client asks.
type Account struct {
	BaseURL    string // without a slash at its end
	APIKey     string // empty: none
	APIVersion string // empty unless the [Dialect] has one
	// HTTP is the client's only way to the network. It adds the provider's headers,
	// follows no redirect, sets no timeout and records what comes back, from which
	// failures are classified.
	HTTP *http.Client
}

// Client is what a run needs of a provider: one answer to a chat. It must not
// retry, and must be safe for concurrent use.
//
// Where the provider answered with a failure, the error's words don't matter: what
// was recorded decides. An answer that holds no text, or stopped early, is a
// [Reply] and no error; a stream that ends without a word of why is an error,
// [io.ErrUnexpectedEOF] say. Beside the error of a stream may stand a Reply with the
// usage until there.
type Client interface {
	Chat(ctx context.Context, r Request) (*Reply, error)
}

// Request is one turn of a chat.
type Request struct {
	Model       string
	System      string // empty: none
	Messages    []Message
	Temperature float64
	MaxTokens   int
	Seed        *int     // nil: none; left out where the API knows none
	Stop        []string // texts that end the answer and are no part of it, at most 4
	Format      Format
	// Delta, where not nil, wants the answer as a stream and is called with each
	// piece of its text as it comes, by the goroutine that called Chat and that
	// reads the body. The Reply has the whole text all the same, and with an error
	// what of it and of the usage has come. Where the provider doesn't stream, one
	// piece is the whole.
	Delta func(text string)
}

// The roles of a [Message].
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is what the user or the model said.
type Message struct {
	Role, Text string
	Images     []Image // only of the user
}

// Image is what a message shows: either a URL, which the provider fetches, or the
// data itself.
type Image struct {
	URL       string
	MediaType string // "image/png", of Data
	Data      []byte
}

// texts is all that the request tells the model.
func (r Request) texts() []string {
	texts := []string{r.System}
	for _, m := range r.Messages {
		texts = append(texts, m.Text)
	}
	return texts
}

// Reply is what a provider answered.
type Reply struct {
	Text    string
	Refusal string // the model's words in place of an answer
	// Finish is why the answer ends: one of the constants, or what the provider
	// says. A stream without it, and without OpenAI's "[DONE]", was cut off.
	Finish     string
	CalledTool bool
	Model      string // who answered, as the provider names it
	Usage      Tokens
	// Nothing means that the body was read and is not an answer of this API at all.
	Nothing bool
}

// Values of [Reply.Finish] that mean something to a run.
const (
	FinishLength = "length"         // the answer reached its most tokens
	FinishFilter = "content_filter" // the provider's filter stopped it
	FinishError  = "error"          // the provider broke off; the body says why
	// The answer filled what the model's context window left for it.
	FinishContext = "model_context_window_exceeded"
)

// Tokens is what one request consumed, as the provider states it.
type Tokens struct{ Prompt, Completion, Total int }

// Format is the shape that a provider is asked to answer in.
type Format struct {
	Kind FormatKind
	// Schema is the JSON Schema that the answer must fit, of an object; for
	// [FormatSchema].
	Schema json.RawMessage
	// Strict means that the schema keeps to what OpenAI enforces: its objects are
	// closed and all of their members required.
	Strict bool

	asked   json.RawMessage // the tool's schema, where the prompt only asks for it
	wrapped bool            // the answer stands in the member "value": see [wrapper]
}

// FormatKind says what of a [Format] counts.
type FormatKind int

// The kinds of a [Format].
const (
	FormatText   FormatKind = iota
	FormatObject            // any JSON object
	FormatSchema            // JSON that fits a schema
	FormatAsked             // JSON, asked for in the prompt only
)
