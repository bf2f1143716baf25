package llmtool

import "time"

// PricesOf is the day at which the default price table was put together.
const PricesOf = "2026-11-26"

// listPrices are the vendors' list prices by provider type, for models that cost
// the same however long the prompt is. A provider's own table wins. Models whose
// price depends on the prompt's length, or is announced to change, are left out:
// no cost is better than a wrong one. So are Mistral's, of whose prices no two
// sources agreed.
//
// Sources, read on [PricesOf]: the vendors' pricing pages as
// github.com/github/docs (models-and-pricing.yml), docs.rs/openai-cost,
// docs.rs/synaps (of 2026-10-10), deploybase.ai/articles/openai-pricing and
// morphllm.com/gemini-api-pricing quote them.
var listPrices = map[string]map[string]Price{
	"openai": {
		"gpt-4o":       {2.50, 10},
		"gpt-4o-mini":  {0.15, 0.60},
		"gpt-4.1":      {2, 8},
		"gpt-4.1-mini": {0.40, 1.60},
		"gpt-4.1-nano": {0.10, 0.40},
		"gpt-5":        {1.25, 10},
		"gpt-5-mini":   {0.25, 2},
		"gpt-5-nano":   {0.05, 0.40},
		"gpt-5.1":      {1.25, 10},
		"gpt-5.2":      {1.75, 14},
		"gpt-5.4-mini": {0.75, 4.50},
		"gpt-5.4-nano": {0.20, 1.25},
		"o3":           {2, 8},
		"o3-mini":      {1.10, 4.40},
		"o4-mini":      {1.10, 4.40},
		// Dearer than the model of that name without a date.
		"gpt-4o-2024-05-13": {5, 15},
	},
	"anthropic": {
		"claude-haiku-4-5":  {1, 5},
		"claude-sonnet-4-5": {3, 15},
		"claude-sonnet-4-6": {3, 15},
		"claude-sonnet-5":   {2, 10},
		"claude-sonnet-5-5": {2, 10},
		"claude-opus-4-5":   {5, 25},
		"claude-opus-4-6":   {5, 25},
		"claude-opus-4-7":   {5, 25},
		"claude-opus-4-8":   {5, 25},
		"claude-opus-5":     {5, 25},
		"claude-opus-5-5":   {4, 20},
	},
	"google": {
		"gemini-2.5-flash":      {0.30, 2.50},
		"gemini-2.5-flash-lite": {0.10, 0.40},
		"gemini-3.1-flash-lite": {0.25, 1.50},
		"gemini-3.5-flash":      {1.50, 9},
	},
}

// price looks a model up by its names, each as it is and then without its date,
// in the provider's own table and then in the vendor's.
func (p *provider) price(names []string) (Price, bool) {
	for _, table := range []map[string]Price{p.prices, listPrices[p.dialect.Type]} {
		if len(table) == 0 {
			continue
		}
		for _, name := range names {
			if price, ok := table[name]; ok {
				return price, true
			}
		}
		for _, name := range names {
			if price, ok := table[undated(name)]; ok {
				return price, true
			}
		}
	}
	return Price{}, false
}

// undated is a model's name without the date of its version at the end, as OpenAI
// (gpt-4o-mini-2024-07-18) and Anthropic (claude-haiku-4-5-20251001) write it.
func undated(name string) string {
	if name == "" || name[len(name)-1] < '0' || name[len(name)-1] > '9' {
		return name
	}
	for _, form := range []string{"-2006-01-02", "-20060102"} {
		at := len(name) - len(form)
		if at <= 0 {
			continue
		}
		if _, err := time.Parse(form, name[at:]); err == nil {
			return name[:at]
		}
	}
	return name
}
