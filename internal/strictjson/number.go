package strictjson

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// number is the value of a valid JSON number.
func number(text []byte) any {
	if !bytes.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return i
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !same(text, f) {
		return json.Number(text)
	}
	return f
}

// same reports whether the shortest decimal that reads as f is the number that
// text writes.
func same(text []byte, f float64) bool {
	// A double holds every decimal of 15 digits within its normal range.
	if abs := math.Abs(f); len(text) <= 16 && abs > 1e-290 && abs < 1e290 {
		return true
	}
	digits, exponent, ok := decimal(string(text))
	if !ok {
		return false
	}
	fDigits, fExponent, ok := decimal(strconv.FormatFloat(math.Abs(f), 'e', -1, 64))
	return ok && digits == fDigits && exponent == fExponent
}

// decimal takes a number apart: its significant digits without zeros at either
// end, and the power of ten that the first of them is multiplied by. ok is false
// for an exponent beyond all doubles.
func decimal(text string) (digits string, exponent int, ok bool) {
	mantissa := strings.TrimPrefix(text, "-")
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		e, err := strconv.Atoi(mantissa[i+1:])
		if err != nil || e > 1e9 || e < -1e9 {
			e = 0
			ok = strings.Trim(mantissa[:i], "0.") == "" // zero is zero at any power
			if !ok {
				return "", 0, false
			}
		}
		mantissa, exponent = mantissa[:i], e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	digits = strings.TrimLeft(all, "0")
	exponent += len(whole) - 1 - (len(all) - len(digits))
	digits = strings.TrimRight(digits, "0")
	if digits == "" {
		exponent = 0
	}
	return digits, exponent, true
}
