package sandbox

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxClassDepth bounds classes within classes.
const maxClassDepth = 100

// class writes a class of characters. One of flag u without a property stays as
// it is.
func (r *patternReader) class() error {
	start := r.at
	set, negated, err := r.classSet()
	if err != nil {
		return err
	}
	if text := r.text[start:r.at]; !r.sets && !mentionsProperties(text) {
		r.out.WriteString(text)
		return nil
	}
	// The caret stays, rather than a complement: with flag i they differ.
	set.write(&r.out, negated)
	return nil
}

// classSet reads a class, from bracket to bracket.
func (r *patternReader) classSet() (set runeSet, negated bool, err error) {
	if r.depth++; r.depth > maxClassDepth {
		return nil, false, errors.New("classes are nested too deeply")
	}
	defer func() { r.depth-- }()
	r.at++
	if negated = r.skip("^"); negated && r.at == len(r.text) {
		return nil, false, errUnterminated
	}
	for r.at < len(r.text) {
		var operand runeSet
		switch {
		case r.skip("]"):
			return set.union(nil), negated, nil
		case r.count > maxSets:
			return nil, false, errPatternTooLong
		case r.sets && r.skip("--"):
			r.count++
			if operand, _, err = r.operand(); err == nil {
				set = set.union(nil).intersect(operand.complement())
			}
		case r.sets && r.skip("&&"):
			r.count++
			if operand, _, err = r.operand(); err == nil {
				set = set.union(nil).intersect(operand)
			}
		default:
			// Put in order at the end: a class may have a hundred thousand members.
			if operand, err = r.classRange(); err == nil {
				set = append(set, operand...)
			}
		}
		if err != nil {
			return nil, false, err
		}
	}
	return nil, false, errUnterminated
}

var errUnterminated = errors.New("unterminated character class")

func (r *patternReader) skip(text string) bool {
	if !strings.HasPrefix(r.text[r.at:], text) {
		return false
	}
	r.at += len(text)
	return true
}

// classRange reads one member of a class, or two with a hyphen between.
func (r *patternReader) classRange() (runeSet, error) {
	low, first, err := r.operand()
	rest := r.text[r.at:]
	if err != nil || !strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "-]") || r.sets && strings.HasPrefix(rest, "--") {
		return low, err
	}
	r.at++
	_, last, err := r.operand()
	if err != nil {
		return nil, err
	}
	if first < 0 || last < 0 {
		return nil, errClass
	}
	if first > last {
		return nil, errors.New("range out of order in character class")
	}
	return runeSet{{first, last}}, nil
}

// operand reads a character, an escape or a class; what is one character comes
// as such as well, else -1.
func (r *patternReader) operand() (runeSet, rune, error) {
	rest := r.text[r.at:]
	switch {
	case rest == "":
		return nil, -1, errUnterminated
	case isProperty(rest):
		set, err := r.readProperty()
		return set, -1, err
	case rest[0] == '\\':
		return r.escape()
	case r.sets && rest[0] == '[':
		set, negated, err := r.classSet()
		if negated {
			set = set.complement()
		}
		return set, -1, err
	case r.sets && strings.IndexByte("(){}/-|", rest[0]) >= 0:
		return nil, -1, errClass
	}
	char, width := utf8.DecodeRuneInString(rest)
	r.at += width
	return runeSet{{char, char}}, char, nil
}

var (
	digits = runeSet{{'0', '9'}}
	words  = runeSet{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}
	spaces = runeSet{
		{'\t', '\r'}, {' ', ' '}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029},
		{0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff},
	}
)

// controlEscapes are the letters that stand for a control character.
var controlEscapes = map[byte]rune{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '0': 0}

// escape reads what follows a backslash in a class.
func (r *patternReader) escape() (runeSet, rune, error) {
	if r.at+1 >= len(r.text) {
		return nil, -1, errUnterminated
	}
	letter := r.text[r.at+1]
	r.at += 2
	one := func(char rune) (runeSet, rune, error) { return runeSet{{char, char}}, char, nil }
	switch letter {
	case 'd':
		return digits, -1, nil
	case 'D':
		return digits.complement(), -1, nil
	case 'w':
		return words, -1, nil
	case 'W':
		return words.complement(), -1, nil
	case 's':
		return spaces, -1, nil
	case 'S':
		return spaces.complement(), -1, nil
	case 'x':
		char, ok := r.hex(2)
		if !ok {
			return nil, -1, errEscape
		}
		return one(char)
	case 'u':
		return r.unicodeEscape()
	case 'c':
		if r.at < len(r.text) && (r.text[r.at]|0x20) >= 'a' && (r.text[r.at]|0x20) <= 'z' {
			r.at++
			return one(rune(r.text[r.at-1] & 31))
		}
		return nil, -1, errEscape
	case 'q':
		if r.sets {
			return r.strings()
		}
		return nil, -1, errEscape
	}
	if char, ok := controlEscapes[letter]; ok {
		return one(char)
	}
	if wordByte(letter) && letter != '_' && letter != '$' {
		return nil, -1, errEscape
	}
	r.at--
	char, width := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += width
	return one(char)
}

var errEscape = errors.New("invalid escape")

// hex reads that many hexadecimal digits.
func (r *patternReader) hex(n int) (rune, bool) {
	if r.at+n > len(r.text) {
		return 0, false
	}
	value, err := strconv.ParseUint(r.text[r.at:r.at+n], 16, 32)
	if err != nil {
		return 0, false
	}
	r.at += n
	return rune(value), true
}

func (r *patternReader) unicodeEscape() (runeSet, rune, error) {
	if r.skip("{") {
		end := strings.IndexByte(r.text[r.at:], '}')
		if end < 0 {
			return nil, -1, errEscape
		}
		value, err := strconv.ParseUint(r.text[r.at:r.at+end], 16, 32)
		if err != nil || value > utf8.MaxRune {
			return nil, -1, errEscape
		}
		r.at += end + 1
		return runeSet{{rune(value), rune(value)}}, rune(value), nil
	}
	char, ok := r.hex(4)
	if !ok {
		return nil, -1, errEscape
	}
	if before := r.at; utf16.IsSurrogate(char) && r.skip(`\u`) {
		low, ok := r.hex(4)
		if pair := utf16.DecodeRune(char, low); ok && pair != utf8.RuneError {
			char = pair
		} else {
			r.at = before
		}
	}
	return runeSet{{char, char}}, char, nil
}

// strings reads \q{a|b}, of which each must be one character.
func (r *patternReader) strings() (set runeSet, single rune, err error) {
	if !r.skip("{") {
		return nil, -1, errEscape
	}
	for {
		operand, char, err := r.setString()
		if err != nil {
			return nil, -1, err
		}
		if char < 0 {
			return nil, -1, errSetStrings
		}
		set = append(set, operand...)
		switch {
		case r.skip("|"):
		case r.skip("}"):
			return set.union(nil), -1, nil
		default:
			return nil, -1, errSetStrings
		}
	}
}

// setString is one character of \q, where an empty string is none.
func (r *patternReader) setString() (runeSet, rune, error) {
	if r.at < len(r.text) && (r.text[r.at] == '|' || r.text[r.at] == '}') {
		return nil, -1, errSetStrings
	}
	return r.operand()
}
