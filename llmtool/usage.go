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

// bill sums up the requests of one run.
type bill struct {
	sum      Tokens
	cost     float64
	requests int
	unpriced bool
}

// add books one request; names are those that its model may have in prices, the
// likeliest first.
func (b *bill) add(t Tokens, prices map[string]Price, names ...string) {
	t.Prompt, t.Completion, t.Total = max(t.Prompt, 0), max(t.Completion, 0), max(t.Total, 0)
	if t == (Tokens{}) {
		return // the provider doesn't say
	}
	if t.Total == 0 {
		t.Total = t.Prompt + t.Completion
	}
	b.requests++
	b.sum.Prompt += t.Prompt
	b.sum.Completion += t.Completion
	b.sum.Total += t.Total
	for _, name := range names {
		if price, ok := prices[name]; ok {
			b.cost += (float64(t.Prompt)*price.Prompt + float64(t.Completion)*price.Completion) / 1e6
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
	u := &Usage{PromptTokens: b.sum.Prompt, CompletionTokens: b.sum.Completion, TotalTokens: b.sum.Total}
	if !b.unpriced {
		cost := math.Round(b.cost*1e12) / 1e12 // sheds what adding binary fractions leaves
		u.EstimatedCost = &cost
	}
	return u
}
