package llmtool

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/redact"
)

// secrets are the shapes of keys and account ids, whole or starred out as
// providers echo them.
var secrets = regexp.MustCompile(
	`(?i)\b(?:sk|pk|rk|key|gsk|xai|pplx|tgp|nvapi|hf|r8|aiza|org|proj|ocid|user|acct)[-_][A-Za-z0-9*_\-.]{4,}[A-Za-z0-9*_\-]` +
		`|\bAIza[A-Za-z0-9_\-]{10,}` +
		`|[A-Za-z0-9_\-.]*\*{3,}[A-Za-z0-9_\-.*]*` +
		`|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-.]+`)

// afterKey finds what a message says is a key.
var afterKey = regexp.MustCompile(`(?i)(\b(?:api[ _-]?key|bearer|token|secret)(?: provided| given| sent)?\s*[:=]\s*["'` + "`" + `]?)([A-Za-z0-9_\-.+/=]{8,})`)

// ids are what names accounts without a prefix: UUIDs (Anthropic, xAI, Azure), hashes
// of keys (LiteLLM), and numbers of projects (Google). A request's id is spared.
var ids = regexp.MustCompile(
	`(?i)(\brequest[ _-]?id\W{1,3})?\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,}|(projects?[ /=])\d{6,})\b`)

// mask removes keys and account ids from a provider's words: the provider's own
// key by its value, others by their shape.
func (p *provider) mask(text string) string {
	text = p.secrets.String(text)
	text = secrets.ReplaceAllStringFunc(text, maskWord)
	text = p.keyParts(text)
	text = ids.ReplaceAllStringFunc(text, func(id string) string {
		m := ids.FindStringSubmatch(id)
		if m[1] != "" {
			return id
		}
		return m[2] + redact.Marker
	})
	return afterKey.ReplaceAllString(text, "${1}"+redact.Marker)
}

// shortened finds words with their middle or beginning left out: "sk-a...wxyz",
// "…wxyz".
var shortened = regexp.MustCompile(`[A-Za-z0-9_\-+/=]*(?:\.{3}|…)([A-Za-z0-9_\-+/=]{3,})`)

// endOfKey finds the end of a key that a message only speaks of.
var endOfKey = regexp.MustCompile(`(?i)(\bending (?:in|with) ["'` + "`" + `]?)([A-Za-z0-9_\-]{3,8})\b`)

// keyWord finds words as long as the part of a key that is worth hiding.
var keyWord = regexp.MustCompile(`[A-Za-z0-9_\-+/=]{6,}`)

// keyParts removes what shows the beginning or the end of the provider's own key.
func (p *provider) keyParts(text string) string {
	if p.apiKey == "" {
		return text
	}
	text = shortened.ReplaceAllStringFunc(text, func(word string) string {
		if strings.HasSuffix(p.apiKey, shortened.FindStringSubmatch(word)[1]) {
			return redact.Marker
		}
		return word
	})
	text = endOfKey.ReplaceAllString(text, "${1}"+redact.Marker)
	return keyWord.ReplaceAllStringFunc(text, func(word string) string {
		if strings.HasPrefix(p.apiKey, word) || strings.HasSuffix(p.apiKey, word) {
			return redact.Marker
		}
		return word
	})
}

// maskWord spares words that only look like a key: "key-value", "user-defined".
func maskWord(word string) string {
	if natural.MatchString(word) {
		return word
	}
	kept := strings.TrimRight(word, ".")
	return redact.Marker + word[len(kept):]
}

var natural = regexp.MustCompile(`^(key|user|org|proj|acct|hf)([-_][a-z]{1,12})+\.?$`)

// maxSaid bounds a provider's words in a detail, in characters.
const maxSaid = 400

// detail is what a failure's error says: the status and the provider's own words.
func (p *provider) detail(status int, own string) string {
	own = strings.TrimRight(errclass.OneLine(own, maxSaid), ". ")
	switch {
	case own == "" && status == 200:
		return "provider " + p.id + " failed and didn't say why"
	case own == "":
		return statusLine(status)
	case status == 0 || status == 200:
		return own
	}
	return strconv.Itoa(status) + ": " + own
}

// own is what of a message are the provider's own words: no secrets, and nothing
// of the prompt. Its length is bounded, though beyond what is shown.
func (p *provider) own(message string, prompt []string) string {
	message = errclass.OneLine(message, 4*maxSaid)
	message = p.mask(message) // before any cut: half a key is no longer seen as one
	return withoutEchoes(message, prompt)
}

// clean makes a provider's words fit to be shown.
func (p *provider) clean(message string, prompt []string) string {
	return errclass.OneLine(p.own(message, prompt), maxSaid)
}

// minEcho is the length from which a stretch of a message that also stands in the
// prompt is its echo, in bytes.
const minEcho = 20

// minQuotedEcho is minEcho for what a message quotes: a quote that also stands in
// the prompt is hardly chance.
const minQuotedEcho = 8

const quotes = "`\"'“”"

// withoutEchoes takes out of a message what it repeats of the prompt. It goes over
// the prompt, which may be long, once, and once more for each quote.
func withoutEchoes(message string, prompt []string) string {
	if len(message) < minQuotedEcho {
		return message
	}
	whole := strings.Join(strings.Fields(strings.Join(prompt, " ")), " ")
	message = quoted.ReplaceAllStringFunc(message, func(quote string) string {
		start, end := strings.IndexAny(quote, quotes), strings.LastIndexAny(quote, quotes)
		_, size := utf8.DecodeRuneInString(quote[start:])
		if inner := quote[start+size : end]; len(inner) >= minQuotedEcho && strings.Contains(whole, inner) {
			return quote[:start+size] + "[…]" + quote[end:]
		}
		return quote
	})
	repeated := echoes(message, whole)
	var b strings.Builder
	for at, r := range message {
		switch {
		case !repeated[at]:
			b.WriteRune(r)
		case at == 0 || !repeated[at-1]:
			b.WriteString("[…]")
		}
	}
	return b.String()
}

// echoes marks the bytes of a message that stand in whole: every stretch of minEcho
// that begins with a letter or digit, and so all longer ones.
func echoes(message, whole string) []bool {
	starts := map[string][]int{}
	for at, r := range message {
		if at+minEcho <= len(message) && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			stretch := message[at : at+minEcho]
			starts[stretch] = append(starts[stretch], at)
		}
	}
	repeated := make([]bool, len(message))
	for i := 0; len(starts) > 0 && i+minEcho <= len(whole); i++ {
		stretch := whole[i : i+minEcho]
		for _, at := range starts[stretch] {
			for k := range minEcho {
				repeated[at+k] = true
			}
		}
		delete(starts, stretch)
	}
	return repeated
}
