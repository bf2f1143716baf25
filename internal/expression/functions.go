package expression

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// function is one that expressions can call, with min to max arguments. An
// absent argument makes the call absent before it happens.
type function struct {
	min, max int
	call     func(r *run, args []any) (any, error)
}

// variadic bounds the arguments of functions that take any number.
const variadic = 100

// functions are all there are besides default, which is lazy.
var functions = map[string]function{
	"base64":       {1, 1, texts(encodeBase64)},
	"base64Decode": {1, 1, texts(decodeBase64)},
	"urlEncode":    {1, 1, texts(func(r *run, s ...string) (any, error) { return percentEncode(r, s[0]) })},
	"hmacSha256":   {2, 2, texts(hmacSHA256)},
	"sha256":       {1, 1, texts(hash)},
	"json":         {1, 1, toJSON},
	"parseJson":    {1, 1, texts(parseJSON)},
	"string":       {1, 1, toString},

	"upper":     {1, 1, texts(func(r *run, s ...string) (any, error) { return r.letters(s[0], strings.ToUpper) })},
	"lower":     {1, 1, texts(func(r *run, s ...string) (any, error) { return r.letters(s[0], strings.ToLower) })},
	"trim":      {1, 1, texts(func(_ *run, s ...string) (any, error) { return strings.TrimSpace(s[0]), nil })},
	"replace":   {3, 3, texts(replace)},
	"split":     {2, 2, texts(split)},
	"join":      {1, 2, join},
	"substring": {2, 3, substring},
	"len":       {1, 1, length},

	"int":    {1, 1, toInteger},
	"float":  {1, 1, toFloat},
	"number": {1, 1, toNumber},
	"round":  {1, 2, round},
	"floor":  {1, 1, rounding(math.Floor)},
	"ceil":   {1, 1, rounding(math.Ceil)},
	"abs":    {1, 1, abs},
	"min":    {1, variadic, extreme(-1)},
	"max":    {1, variadic, extreme(1)},
}

const nameDefault = "default"

func functionNames() []string {
	return append(slices.Collect(maps.Keys(functions)), nameDefault)
}

func (c *compiler) call(n *ast.CallNode) (operand, error) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return operand{}, c.errorAt(n, "values have no methods: call a function, as in upper(x)")
	}
	f, known := functions[callee.Value]
	if callee.Value == nameDefault {
		f, known = function{min: 2, max: 2}, true
	}
	if !known {
		return operand{}, c.errorAt(n, unknownFunction(callee.Value))
	}
	if got := len(n.Arguments); got < f.min || got > f.max {
		return operand{}, c.errorAt(n, fmt.Sprintf("%s takes %s, not %d", callee.Value, f.arity(), got))
	}
	args, err := c.values(n.Arguments)
	if err != nil {
		return operand{}, err
	}
	if callee.Value == nameDefault {
		return operand{eval: fallback(args[0], args[1])}, nil
	}
	name := callee.Value
	return operand{eval: func(r *run) (any, error) {
		values := make([]any, len(args))
		for i, arg := range args {
			v, err := arg(r)
			if v == nil || err != nil {
				return nil, err
			}
			values[i] = v
		}
		v, err := f.call(r, values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return v, nil
	}}, nil
}

func unknownFunction(name string) string {
	message := fmt.Sprintf("there is no function %q", shown(name))
	if hint := didYouMean(name, functionNames()); hint != "" {
		return message + hint
	}
	return message + ": there are " + strings.Join(slices.Sorted(slices.Values(functionNames())), ", ")
}

func (f function) arity() string {
	switch {
	case f.min == 1 && f.max == 1:
		return "1 argument"
	case f.min == f.max:
		return fmt.Sprintf("%d arguments", f.min)
	case f.max == variadic:
		return "at least 1 argument"
	}
	return fmt.Sprintf("%d to %d arguments", f.min, f.max)
}

// texts adapts a function all of whose arguments are texts. Numbers and booleans
// pass as JSON writes them.
func texts(call func(r *run, s ...string) (any, error)) func(*run, []any) (any, error) {
	return func(r *run, args []any) (any, error) {
		s := make([]string, len(args))
		for i, arg := range args {
			switch arg.(type) {
			case []any, map[string]any:
				return nil, fault("a text is needed, not an array or object")
			}
			var err error
			if s[i], err = textOf(arg, maxString); err != nil {
				return nil, err
			}
		}
		return call(r, s...)
	}
}

func encodeBase64(r *run, s ...string) (any, error) {
	if err := r.room(base64.StdEncoding.EncodedLen(len(s[0]))); err != nil {
		return nil, err
	}
	return r.made(base64.StdEncoding.EncodeToString([]byte(s[0])))
}

// decodeBase64 takes both alphabets, padded or not.
func decodeBase64(r *run, s ...string) (any, error) {
	text := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s[0], "="))
	if err := r.room(base64.RawStdEncoding.DecodedLen(len(text))); err != nil {
		return nil, err
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault("the text isn't base64")
	}
	if !utf8.Valid(b) {
		return nil, fault("what is encoded isn't text")
	}
	return r.made(string(b))
}

func hmacSHA256(r *run, s ...string) (any, error) {
	mac := hmac.New(sha256.New, []byte(s[0]))
	mac.Write([]byte(s[1]))
	return r.made(hex.EncodeToString(mac.Sum(nil)))
}

func hash(r *run, s ...string) (any, error) {
	sum := sha256.Sum256([]byte(s[0]))
	return r.made(hex.EncodeToString(sum[:]))
}

func toJSON(r *run, args []any) (any, error) {
	b, err := appendJSON(nil, args[0], maxString, 0)
	if err != nil {
		return nil, err
	}
	return r.made(string(b))
}

func parseJSON(r *run, s ...string) (any, error) {
	if err := r.room(len(s[0])); err != nil {
		return nil, err
	}
	// Values take up several times the text they are written as.
	if err := r.spend(8 * len(s[0])); err != nil {
		return nil, err
	}
	v, err := strictjson.Decode([]byte(s[0]))
	if err != nil {
		return nil, fault("the text isn't valid JSON")
	}
	return v, nil
}

func toString(r *run, args []any) (any, error) {
	if s, ok := args[0].(string); ok {
		return s, nil
	}
	s, err := textOf(args[0], maxString)
	if err != nil {
		return nil, err
	}
	return r.made(s)
}

// letters maps a text by a function that may lengthen it threefold.
func (r *run) letters(s string, mapping func(string) string) (any, error) {
	if err := r.room(len(s)); err != nil {
		return nil, err
	}
	return r.made(mapping(s))
}

func replace(r *run, s ...string) (any, error) {
	text, old, with := s[0], s[1], s[2]
	if old == "" {
		return nil, fault("the text to replace is empty")
	}
	if err := r.room(len(text) + strings.Count(text, old)*(len(with)-len(old))); err != nil {
		return nil, err
	}
	return r.made(strings.ReplaceAll(text, old, with))
}

// elementSize is what an element of an array is taken to cost, in bytes.
const elementSize = 32

// split cuts a text at each separator; an empty one separates characters.
func split(r *run, s ...string) (any, error) {
	if err := r.spend(len(s[0]) + elementSize*(strings.Count(s[0], s[1])+1)); err != nil {
		return nil, err
	}
	parts := strings.Split(s[0], s[1])
	all := make([]any, len(parts))
	for i, p := range parts {
		all[i] = p
	}
	return all, nil
}

// join writes the elements of an array one after another, separated by the
// second argument or a comma.
func join(r *run, args []any) (any, error) {
	array, ok := args[0].([]any)
	separator := ","
	if len(args) == 2 {
		var text bool
		separator, text = args[1].(string)
		ok = ok && text
	}
	if !ok {
		return nil, fault("an array and a text are needed")
	}
	var b strings.Builder
	for i, element := range array {
		if i > 0 {
			b.WriteString(separator)
		}
		element, err := plain(element)
		if err != nil {
			return nil, err
		}
		text, err := scalarText(element)
		if err != nil {
			return nil, fault("an element is an array or object")
		}
		if err := r.room(b.Len() + len(text)); err != nil {
			return nil, err
		}
		b.WriteString(text)
	}
	return r.made(b.String())
}

// substring is the part of a text from a start to before an end, both counted in
// characters and, where negative, from the end.
func substring(_ *run, args []any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		return nil, fault("a text is needed first")
	}
	count := int64(utf8.RuneCountInString(text))
	bounds := []int64{0, count}
	for i, arg := range args[1:] {
		n, ok := wholeNumber(arg).(int64)
		if !ok {
			return nil, fault("start and end are whole numbers")
		}
		if n < 0 {
			n += count
		}
		bounds[i] = min(max(n, 0), count)
	}
	if bounds[0] >= bounds[1] {
		return "", nil
	}
	from := byteOffset(text, int(bounds[0]))
	return text[from : from+byteOffset(text[from:], int(bounds[1]-bounds[0]))], nil
}

// length counts characters, elements or members.
func length(_ *run, args []any) (any, error) {
	switch v := args[0].(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), nil
	case []any:
		return int64(len(v)), nil
	case map[string]any:
		return int64(len(v)), nil
	}
	return nil, fault("a text, array or object is needed")
}

// toNumber reads texts as JSON reads numbers, with white space around.
func toNumber(_ *run, args []any) (any, error) {
	if s, ok := args[0].(string); ok {
		n, err := parseNumber(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		return n.value()
	}
	n, err := numberOf(args[0])
	if err != nil {
		return nil, err
	}
	return n.value()
}

// toInteger cuts the fraction off.
func toInteger(r *run, args []any) (any, error) {
	v, err := toNumber(r, args)
	if err != nil {
		return nil, err
	}
	return rounding(math.Trunc)(r, []any{v})
}

func toFloat(r *run, args []any) (any, error) {
	v, err := toNumber(r, args)
	if i, ok := v.(int64); ok {
		return float64(i), nil
	}
	return v, err
}

// rounding makes an integer of a number.
func rounding(to func(float64) float64) func(*run, []any) (any, error) {
	return func(_ *run, args []any) (any, error) {
		n, err := numberOf(args[0])
		if err != nil {
			return nil, err
		}
		if n.integer {
			return n.i, nil
		}
		i, exact := toInt(to(n.f))
		if !exact {
			return nil, overflow
		}
		return i, nil
	}
}

// round goes to the nearest integer, halves away from zero; with a second
// argument to that many decimals, from 0 to 15.
func round(r *run, args []any) (any, error) {
	if len(args) == 1 {
		return rounding(math.Round)(r, args)
	}
	n, err := numberOf(args[0])
	if err != nil {
		return nil, err
	}
	decimals, ok := wholeNumber(args[1]).(int64)
	if !ok || decimals < 0 || decimals > 15 {
		return nil, fault("decimals are a whole number from 0 to 15")
	}
	if n.integer {
		return n.i, nil
	}
	return roundDecimals(n.f, int(decimals))
}

func abs(_ *run, args []any) (any, error) {
	n, err := numberOf(args[0])
	if err != nil {
		return nil, err
	}
	if n.f >= 0 {
		return n.value()
	}
	return arithmetic("*", n, integer(-1))
}

// extreme is the least (-1) or greatest (1) of its arguments or of one array.
func extreme(sign int) func(*run, []any) (any, error) {
	return func(_ *run, args []any) (any, error) {
		if array, ok := args[0].([]any); ok && len(args) == 1 {
			args = array
		}
		var best number
		for i, arg := range args {
			arg, err := plain(arg)
			if err != nil {
				return nil, err
			}
			n, err := numberOf(arg)
			if err != nil {
				return nil, err
			}
			if i == 0 || n.compare(best) == sign {
				best = n
			}
		}
		if len(args) == 0 {
			return nil, nil
		}
		return best.value()
	}
}
