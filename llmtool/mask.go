package llmtool

import (
	"regexp"
	"strconv"
	"strings"
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

// mask removes keys and account ids from a provider's words: the provider's own
// key by its value, others by their shape.
func (p *provider) mask(text string) string {
	text = p.secrets.String(text)
	text = secrets.ReplaceAllStringFunc(text, maskWord)
	return afterKey.ReplaceAllString(text, "${1}"+redact.Marker)
}

// maskWord spares words that only look like a key: "key-value", "user-defined".
func maskWord(word string) string {
	if natural.MatchString(word) && len(word) < 16 {
		return word
	}
	kept := strings.TrimRight(word, ".")
	return redact.Marker + word[len(kept):]
}

var natural = regexp.MustCompile(`^(key|user|org|proj|acct|hf)[-_][a-z_\-]+\.?$`)

// maxSaid bounds a provider's words in a detail, in characters.
const maxSaid = 400

// detail is what a failure's error says: the status and the provider's own words
// without secrets and without the prompt.
func (p *provider) detail(status int, message string, prompt []string) string {
	message = strings.TrimRight(p.clean(message, prompt), ". ")
	switch {
	case message == "":
		return statusLine(status)
	case status == 0 || status == 200:
		return message
	}
	return strconv.Itoa(status) + ": " + message
}

// clean makes a provider's words fit to be shown.
func (p *provider) clean(message string, prompt []string) string {
	message = errclass.OneLine(message, 4*maxSaid)
	message = p.mask(message) // before the cut: half a key is no longer seen as one
	return errclass.OneLine(withoutEchoes(message, prompt), maxSaid)
}

// minEcho is the length from which a stretch of a message that also stands in the
// prompt is its echo, in bytes.
const minEcho = 20

// minQuotedEcho is minEcho for what a message quotes: a quote that also stands in
// the prompt is hardly chance.
const minQuotedEcho = 8

const quotes = "`\"'“”"

// withoutEchoes takes out of a message what it repeats of the prompt.
func withoutEchoes(message string, prompt []string) string {
	whole := strings.Join(strings.Fields(strings.Join(prompt, " ")), " ")
	message = quoted.ReplaceAllStringFunc(message, func(quote string) string {
		start, end := strings.IndexAny(quote, quotes), strings.LastIndexAny(quote, quotes)
		_, size := utf8.DecodeRuneInString(quote[start:])
		if inner := quote[start+size : end]; len(inner) >= minQuotedEcho && strings.Contains(whole, inner) {
			return quote[:start+size] + "[…]" + quote[end:]
		}
		return quote
	})
	var b strings.Builder
	for at := 0; at < len(message); {
		if n := echo(message[at:], whole); n > 0 && message[at] != ' ' {
			b.WriteString("[…]")
			at += n
			continue
		}
		_, size := utf8.DecodeRuneInString(message[at:])
		b.WriteString(message[at : at+size])
		at += size
	}
	return b.String()
}

// echo is the length of the longest start of s that occurs in whole, or zero if
// that is below minEcho.
func echo(s, whole string) int {
	if len(s) < minEcho || !strings.Contains(whole, s[:minEcho]) {
		return 0
	}
	low, high := minEcho, len(s)
	for low < high { // a start that occurs has only starts that occur
		middle := (low + high + 1) / 2
		if strings.Contains(whole, s[:middle]) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	for low < len(s) && !utf8.RuneStart(s[low]) {
		low--
	}
	return low
}
