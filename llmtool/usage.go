package llmtool

import "math"

// Usage is what a run consumed: the sum over all its requests, repaired, retried
// and failed ones included, as the providers state it.
type Usage struct {
	PromptTokens     int `json:"promptTokens"`
	CompletionTokens int `json:"completionTokens"`
	TotalTokens      int `json:"totalTokens"`
	// EstimatedCost is in USD, by the providers' price tables and then by the
	// vendors' list prices of [PricesOf]; discounts for cached prompts aren't known.
	// It is nil where the price of any request is unknown: a sum that leaves one out
	// would lie.
	EstimatedCost *float64 `json:"estimatedCost,omitempty"`
}

// Price is what a model costs, in USD per million tokens.
type Price struct {
	Prompt     float64 `json:"prompt"`
	Completion float64 `json:"completion"`
}

// charge is what one request consumed; nil where the provider doesn't say. names
// are those that its model may have in a price table, the likeliest first.
func (p *provider) charge(t Tokens, names ...string) *Usage {
	t.Prompt, t.Completion, t.Total = max(t.Prompt, 0), max(t.Completion, 0), max(t.Total, 0)
	if t == (Tokens{}) {
		return nil
	}
	if t.Total == 0 {
		t.Total = t.Prompt + t.Completion
	}
	u := &Usage{PromptTokens: t.Prompt, CompletionTokens: t.Completion, TotalTokens: t.Total}
	if price, ok := p.price(names); ok {
		cost := exact((float64(t.Prompt)*price.Prompt + float64(t.Completion)*price.Completion) / 1e6)
		u.EstimatedCost = &cost
	}
	return u
}

// total sums up the requests of one run; nil if no provider said anything.
func total(tries []Try) *Usage {
	if len(tries) == 1 {
		return tries[0].Usage
	}
	var sum *Usage
	var cost float64
	priced := true
	for _, t := range tries {
		if t.Usage == nil {
			continue
		}
		if sum == nil {
			sum = &Usage{}
		}
		sum.PromptTokens += t.Usage.PromptTokens
		sum.CompletionTokens += t.Usage.CompletionTokens
		sum.TotalTokens += t.Usage.TotalTokens
		if t.Usage.EstimatedCost == nil {
			priced = false
			continue
		}
		cost += *t.Usage.EstimatedCost
	}
	if sum != nil && priced {
		cost = exact(cost)
		sum.EstimatedCost = &cost
	}
	return sum
}

// exact sheds what adding binary fractions leaves.
func exact(usd float64) float64 { return math.Round(usd*1e12) / 1e12 }
