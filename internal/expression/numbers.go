package expression

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

const tooLarge = fault("the number is too large")

// number is an int64 or a float64.
type number struct {
	integer bool
	i       int64
	f       float64 // also set for an integer
}

func integer(i int64) number  { return number{integer: true, i: i, f: float64(i)} }
func float(f float64) number  { return number{f: f} }
func finite(f float64) bool   { return !math.IsNaN(f) && !math.IsInf(f, 0) }
func numeric(s string) number { f, _ := strconv.ParseFloat(s, 64); return float(f) }

// numberOf is v as a number. A json.Number that neither type holds can be passed
// on but not computed with.
func numberOf(v any) (number, error) {
	switch v := v.(type) {
	case int64:
		return integer(v), nil
	case float64:
		return float(v), nil
	case json.Number:
		return parseNumber(string(v))
	}
	return number{}, fault("a number is needed")
}

// parseNumber reads a number as JSON writes it.
func parseNumber(s string) (number, error) {
	if !jsonNumber(s) {
		return number{}, fault("the text isn't a number")
	}
	if !strings.ContainsAny(s, ".eE") {
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return number{}, tooLarge
		}
		return integer(i), nil
	}
	n := numeric(s)
	if !finite(n.f) {
		return number{}, tooLarge
	}
	return n, nil
}

// jsonNumber reports whether s is a number of RFC 8259.
func jsonNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	digits := func() bool {
		rest := strings.TrimLeft(s, "0123456789")
		some := len(rest) < len(s)
		s = rest
		return some
	}
	leadingZero := len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9'
	if leadingZero || !digits() {
		return false
	}
	if strings.HasPrefix(s, ".") {
		if s = s[1:]; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// value is n as expressions hold it.
func (n number) value() (any, error) {
	if n.integer {
		return n.i, nil
	}
	if !finite(n.f) {
		return nil, tooLarge
	}
	return n.f, nil
}

// wholeNumber is v as an int64 where it is a float without a fraction, so that
// an index may come out of a division; any other value stays as it is.
func wholeNumber(v any) any {
	if f, ok := v.(float64); ok {
		if i, exact := toInt(f); exact {
			return i
		}
	}
	return v
}

// toInt is f as an int64, and whether that is the same number.
func toInt(f float64) (int64, bool) {
	if f != math.Trunc(f) || f < -(1<<63) || f >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

// compare orders two numbers exactly, without rounding integers to floats.
func (n number) compare(m number) int {
	switch {
	case n.integer && m.integer:
		return order(n.i, m.i)
	case n.integer:
		return -m.compare(n)
	case !m.integer:
		return order(n.f, m.f)
	}
	if i, exact := toInt(n.f); exact {
		return order(i, m.i)
	}
	return order(n.f, m.f)
}

func order[T int64 | float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func arithmetic(operator string, a, b number) (any, error) {
	if a.integer && b.integer {
		return integers(operator, a.i, b.i)
	}
	switch operator {
	case "+":
		return float(a.f + b.f).value()
	case "-":
		return float(a.f - b.f).value()
	case "*":
		return float(a.f * b.f).value()
	case "/":
		if b.f == 0 {
			return nil, divisionByZero
		}
		return float(a.f / b.f).value()
	case "%":
		if b.f == 0 {
			return nil, divisionByZero
		}
		return float(math.Mod(a.f, b.f)).value()
	}
	return power(a.f, b.f)
}

const (
	divisionByZero = fault("division by zero")
	overflow       = fault("the result is too large for an integer")
)

func integers(operator string, a, b int64) (any, error) {
	switch operator {
	case "+":
		if sum := a + b; (sum > a) == (b > 0) {
			return sum, nil
		}
		return nil, overflow
	case "-":
		if difference := a - b; (difference < a) == (b > 0) {
			return difference, nil
		}
		return nil, overflow
	case "*":
		if a == 0 || b == 0 {
			return int64(0), nil
		}
		product := a * b
		if product/b != a || (a == -1 && b == math.MinInt64) || (b == -1 && a == math.MinInt64) {
			return nil, overflow
		}
		return product, nil
	case "/":
		if b == 0 {
			return nil, divisionByZero
		}
		if a == math.MinInt64 && b == -1 {
			return nil, overflow
		}
		if a%b == 0 {
			return a / b, nil
		}
		return float64(a) / float64(b), nil
	case "%":
		if b == 0 {
			return nil, divisionByZero
		}
		if b == -1 { // MinInt64 % -1
			return int64(0), nil
		}
		return a % b, nil
	}
	v, err := power(float64(a), float64(b))
	if f, ok := v.(float64); ok && math.Abs(f) <= 1<<53 {
		return wholeNumber(f), err
	}
	return v, err
}

func power(a, b float64) (any, error) {
	f := math.Pow(a, b)
	if math.IsNaN(f) {
		return nil, fault("the power isn't a real number")
	}
	return float(f).value()
}

// roundDecimals rounds the decimal that f is written as, so that 1.005 becomes
// 1.01 although its double lies below; halves go away from zero.
func roundDecimals(f float64, decimals int) (any, error) {
	text := strconv.FormatFloat(math.Abs(f), 'f', -1, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) <= decimals {
		return f, nil
	}
	up := fraction[decimals] >= '5'
	digits := []byte(whole + fraction[:decimals])
	for i := len(digits) - 1; up && i >= 0; i-- {
		if up = digits[i] == '9'; up {
			digits[i] = '0'
		} else {
			digits[i]++
		}
	}
	rounded := string(digits)
	if up {
		rounded = "1" + rounded
	}
	cut := len(rounded) - decimals
	n := numeric(rounded[:cut] + "." + rounded[cut:])
	return float(math.Copysign(n.f, f)).value()
}
