package llmtool

import "regexp"

// price looks a model up by its names in the provider's own table.
func (p *provider) price(names []string) (Price, bool) {
	for _, name := range append(names, undated(names)...) {
		if price, ok := p.prices[name]; ok {
			return price, true
		}
	}
	return Price{}, false
}

// dated matches a model's name with the date of its version, as OpenAI
// (gpt-4o-mini-2024-07-18) and Anthropic (claude-haiku-4-5-20251001) write it.
var dated = regexp.MustCompile(`^(.+)-\d{4}-?\d{2}-?\d{2}$`)

// undated are the names of those models whose name has a date, without it.
func undated(names []string) []string {
	var short []string
	for _, name := range names {
		if m := dated.FindStringSubmatch(name); m != nil {
			short = append(short, m[1])
		}
	}
	return short
}
