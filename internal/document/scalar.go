package document

import (
	"math/big"
	"regexp"
	"strings"
)

// kind is what a plain scalar stands for.
type kind int

const (
	isString kind = iota
	isLiteral
	notANumber
	tooLong
)

// maxDigits bounds the digits of a number.
const maxDigits = 1000

// The core schema of YAML 1.2.2, section 10.3.2.
var (
	decimalInt = regexp.MustCompile(`^[-+]?[0-9]+$`)
	octalInt   = regexp.MustCompile(`^0o[0-7]+$`)
	hexInt     = regexp.MustCompile(`^0x[0-9a-fA-F]+$`)
	float      = regexp.MustCompile(`^([-+]?)(?:\.([0-9]+)|([0-9]+)(?:\.([0-9]*))?)([eE][-+]?[0-9]+)?$`)
	infinite   = regexp.MustCompile(`^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// resolve is the JSON text of a plain scalar; empty for all but [isLiteral].
func resolve(text string) (string, kind) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return "null", isLiteral
	case "true", "True", "TRUE":
		return "true", isLiteral
	case "false", "False", "FALSE":
		return "false", isLiteral
	}
	switch c := text[0]; {
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.':
	default:
		return "", isString
	}
	switch {
	case infinite.MatchString(text):
		return "", notANumber
	case octalInt.MatchString(text):
		return based(text[2:], 8)
	case hexInt.MatchString(text):
		return based(text[2:], 16)
	case decimalInt.MatchString(text), float.MatchString(text):
		if len(text) > maxDigits {
			return "", tooLong
		}
		return number(text), isLiteral
	}
	return "", isString
}

func based(digits string, base int) (string, kind) {
	if len(digits) > maxDigits {
		return "", tooLong
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return "", isString
	}
	return n.String(), isLiteral
}

// number writes a decimal number as JSON does, without changing its digits.
func number(text string) string {
	parts := float.FindStringSubmatch(text)
	sign, whole, fraction, exponent := parts[1], parts[3], parts[2]+parts[4], parts[5]
	if sign == "+" {
		sign = ""
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction == "" && strings.Contains(text, ".") {
		fraction = "0" // 1. is a float
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction + exponent
}
