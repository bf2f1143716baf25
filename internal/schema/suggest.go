package schema

// maxEdits is how many edits apart a suggestion may be.
const maxEdits = 2

// maxCandidates is how many values of an enum are compared: each fault pays for
// all of them.
const maxCandidates = 200

// notAllowed refuses a property, naming the declared one that was probably
// meant.
func notAllowed(name string, declared []string) string {
	return "is not allowed" + didYouMean(name, declared)
}

// notListed refuses a value that an enum lacks, naming the one that was probably
// meant. That one is the schema's: the value itself is never quoted.
func notListed(got any, want []any) string {
	name, ok := got.(string)
	if !ok {
		return oneOf(want)
	}
	var texts []string
	for _, v := range want[:min(len(want), maxCandidates)] {
		if text, ok := v.(string); ok {
			texts = append(texts, text)
		}
	}
	return oneOf(want) + didYouMean(name, texts)
}

// didYouMean names the candidate nearest to a misspelt name, if one is near.
func didYouMean(name string, candidates []string) string {
	best, distance := "", maxEdits+1
	for _, candidate := range candidates {
		if d := edits(name, candidate); d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + quote(best) + "?)"
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that make b of a (optimal string alignment); more than maxEdits for all that
// is further, or too long to be a typo.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > maxEdits || len(y)-len(x) > maxEdits || len(x) > 64 {
		return maxEdits + 1
	}
	before := make([]int, len(y)+1)
	last := make([]int, len(y)+1)
	row := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
