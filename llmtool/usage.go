package llmtool

import "math"

// Usage is what a run consumed: the sum over all its requests, repaired, retried
// and failed ones included, as the providers state it.
type Usage struct {
	PromptTokens     int `json:"promptTokens"`
	CompletionTokens int `json:"completionTokens"`
	TotalTokens      int `json:"totalTokens"`
	// EstimatedCost is in USD, by the providers' price tables. It is nil where
	// the price of any request is unknown: a sum that leaves one out would lie.
	EstimatedCost *float64 `json:"estimatedCost,omitempty"`
}

// Price is what a model costs, in USD per million tokens.
type Price struct {
	Prompt     float64 `json:"prompt"`
	Completion float64 `json:"completion"`
}

// tokens is what one request consumed.
type tokens struct{ prompt, completion, total int }

// bill sums up the requests of one run.
type bill struct {
	sum      tokens
	cost     float64
	requests int
	unpriced bool
}

// add books one request; names are those that its model may have in prices, the
// likeliest first.
func (b *bill) add(t tokens, prices map[string]Price, names ...string) {
	t.prompt, t.completion, t.total = max(t.prompt, 0), max(t.completion, 0), max(t.total, 0)
	if t == (tokens{}) {
		return // the provider doesn't say
	}
	if t.total == 0 {
		t.total = t.prompt + t.completion
	}
	b.requests++
	b.sum.prompt += t.prompt
	b.sum.completion += t.completion
	b.sum.total += t.total
	for _, name := range names {
		if price, ok := prices[name]; ok {
			b.cost += (float64(t.prompt)*price.Prompt + float64(t.completion)*price.Completion) / 1e6
			return
		}
	}
	b.unpriced = true
}

// usage is nil if no provider said anything.
func (b *bill) usage() *Usage {
	if b.requests == 0 {
		return nil
	}
	u := &Usage{PromptTokens: b.sum.prompt, CompletionTokens: b.sum.completion, TotalTokens: b.sum.total}
	if !b.unpriced {
		cost := math.Round(b.cost*1e12) / 1e12 // sheds what adding binary fractions leaves
		u.EstimatedCost = &cost
	}
	return u
}
