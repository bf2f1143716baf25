package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// runeRange is a range of characters, both ends within.
type runeRange struct{ first, last rune }

// runeSet is a set of characters: ranges in order, with gaps between. Surrogates
// are characters here.
type runeSet []runeRange

func (s runeSet) union(other runeSet) runeSet {
	all := append(slices.Clone(s), other...)
	slices.SortFunc(all, func(a, b runeRange) int { return int(a.first - b.first) })
	var merged runeSet
	for _, r := range all {
		if n := len(merged); n > 0 && r.first <= merged[n-1].last+1 {
			merged[n-1].last = max(merged[n-1].last, r.last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

func (s runeSet) complement() runeSet {
	var gaps runeSet
	next := rune(0)
	for _, r := range s {
		if r.first > next {
			gaps = append(gaps, runeRange{next, r.first - 1})
		}
		next = r.last + 1
	}
	if next <= utf8.MaxRune {
		gaps = append(gaps, runeRange{next, utf8.MaxRune})
	}
	return gaps
}

func (s runeSet) intersect(other runeSet) runeSet {
	return s.complement().union(other.complement()).complement()
}

// write renders the set as a class of flag u.
func (s runeSet) write(b *strings.Builder, negated bool) {
	if len(s) == 0 {
		s, negated = runeSet{{0, utf8.MaxRune}}, !negated
	}
	b.WriteByte('[')
	if negated {
		b.WriteByte('^')
	}
	for _, r := range s {
		fmt.Fprintf(b, `\u{%x}`, r.first)
		if r.last > r.first {
			fmt.Fprintf(b, `-\u{%x}`, r.last)
		}
	}
	b.WriteByte(']')
}

// setOf is the union of tables of Go's.
func setOf(tables ...*unicode.RangeTable) runeSet {
	var all runeSet
	add := func(low, high, stride rune) {
		if stride == 1 {
			all = append(all, runeRange{low, high})
			return
		}
		for c := low; c <= high; c += stride {
			all = append(all, runeRange{c, c})
		}
	}
	for _, table := range tables {
		for _, r := range table.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range table.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return runeSet(nil).union(all)
}

func (s runeSet) minus(other runeSet) runeSet { return s.intersect(other.complement()) }

// propertySets keeps what propertySet made; there are some hundred names.
var propertySets sync.Map

// propertySet is the set of a property's characters, by the names that
// ECMAScript lists (table-binary-unicode-properties and the like).
func propertySet(name string) (runeSet, error) {
	if known, ok := propertySets.Load(name); ok {
		return known.(runeSet), nil
	}
	set, ok := makePropertySet(name)
	if !ok {
		return nil, errProperty
	}
	propertySets.Store(name, set)
	return set, nil
}

func makePropertySet(name string) (runeSet, bool) {
	if key, value, ok := strings.Cut(name, "="); ok {
		switch key {
		case "General_Category", "gc":
			return categorySet(value)
		case "Script", "sc":
			return scriptSet(value)
		case "Script_Extensions", "scx": // Go has no table of the extensions
			return scriptSet(value)
		}
		return nil, false
	}
	if set, ok := categorySet(name); ok {
		return set, true
	}
	if long, ok := binaryAliases[name]; ok {
		name = long
	}
	return binarySet(name)
}

func categorySet(name string) (runeSet, bool) {
	if short, ok := unicode.CategoryAliases[name]; ok {
		name = short
	}
	if table, ok := unicode.Categories[name]; ok {
		return setOf(table), true
	}
	return nil, false
}

func scriptSet(name string) (runeSet, bool) {
	if long, ok := scriptAliases[name]; ok {
		name = long
	}
	if table, ok := unicode.Scripts[name]; ok {
		return setOf(table), true
	}
	return nil, false
}

var binaryAliases = map[string]string{
	"AHex": "ASCII_Hex_Digit", "Alpha": "Alphabetic", "Bidi_C": "Bidi_Control", "CI": "Case_Ignorable", "Dep": "Deprecated",
	"DI": "Default_Ignorable_Code_Point", "Dia": "Diacritic", "EBase": "Emoji_Modifier_Base", "EComp": "Emoji_Component",
	"EMod": "Emoji_Modifier", "EPres": "Emoji_Presentation", "Ext": "Extender", "ExtPict": "Extended_Pictographic",
	"Gr_Base": "Grapheme_Base", "Gr_Ext": "Grapheme_Extend", "Hex": "Hex_Digit", "IDC": "ID_Continue", "IDS": "ID_Start",
	"IDSB": "IDS_Binary_Operator", "IDST": "IDS_Trinary_Operator", "Ideo": "Ideographic", "Join_C": "Join_Control",
	"LOE": "Logical_Order_Exception", "Lower": "Lowercase", "NChar": "Noncharacter_Code_Point", "Pat_Syn": "Pattern_Syntax",
	"Pat_WS": "Pattern_White_Space", "QMark": "Quotation_Mark", "RI": "Regional_Indicator", "SD": "Soft_Dotted",
	"STerm": "Sentence_Terminal", "Term": "Terminal_Punctuation", "UIdeo": "Unified_Ideograph", "Upper": "Uppercase",
	"VS": "Variation_Selector", "space": "White_Space", "XIDC": "XID_Continue", "XIDS": "XID_Start",
}

// binarySet knows the properties of ECMAScript but Bidi_Mirrored, XID_* and the
// changes of case, of which Go has no table.
func binarySet(name string) (runeSet, bool) {
	if pairs, ok := unicodeRanges[name]; ok {
		set := make(runeSet, 0, len(pairs)/2)
		for i := 0; i < len(pairs); i += 2 {
			set = append(set, runeRange{pairs[i], pairs[i+1]})
		}
		return set, true
	}
	switch name {
	case "Any":
		return runeSet{{0, utf8.MaxRune}}, true
	case "ASCII":
		return runeSet{{0, 0x7f}}, true
	case "Assigned":
		set, _ := categorySet("Cn")
		return set.complement(), true
	case "Lowercase":
		return setOf(unicode.Ll, unicode.Other_Lowercase), true
	case "Uppercase":
		return setOf(unicode.Lu, unicode.Other_Uppercase), true
	case "Cased":
		return setOf(unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase), true
	case "Alphabetic":
		return setOf(unicode.L, unicode.Nl, unicode.Other_Alphabetic), true
	case "Math":
		return setOf(unicode.Sm, unicode.Other_Math), true
	case "ID_Start":
		return setOf(unicode.L, unicode.Nl, unicode.Other_ID_Start).minus(setOf(unicode.Pattern_Syntax, unicode.Pattern_White_Space)), true
	case "ID_Continue":
		return setOf(unicode.L, unicode.Nl, unicode.Other_ID_Start, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue).
			minus(setOf(unicode.Pattern_Syntax, unicode.Pattern_White_Space)), true
	case "Grapheme_Base":
		unassigned, _ := categorySet("Cn")
		extend, _ := binarySet("Grapheme_Extend")
		return setOf(unicode.C, unicode.Zl, unicode.Zp).union(unassigned).union(extend).complement(), true
	}
	if strings.HasPrefix(name, "Other_") || name == "Hyphen" || strings.HasPrefix(name, "Prepended_") {
		return nil, false // Go has them; ECMAScript doesn't
	}
	if table, ok := unicode.Properties[name]; ok {
		return setOf(table), true
	}
	return nil, false
}
