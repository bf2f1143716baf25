package runner

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/internal/expression"
)

// A stored text has {name} for the parameter of that name, in prompts {{name}};
// an expression in {{ }} is taken as it is. What is translated is a text that
// internal/expression reads.

var (
	// expressionText matches a whole {{ }}, past quoted strings and map literals.
	expressionText = "\\{\\{(?:[^{}'\"`]|'[^']*'|\"[^\"]*\"|`[^`]*`|\\{[^{}]*\\})*\\}\\}"
	braces         = regexp.MustCompile(expressionText + `|\{\w+\}`)
	doubleBraces   = regexp.MustCompile(expressionText)
	// expressionAtStart is the one that a text begins with.
	expressionAtStart = regexp.MustCompile(`^` + expressionText)
	bareName          = regexp.MustCompile(`^\{\{\s*([A-Za-z_]\w*)\s*\}\}$`)
	namedInside       = regexp.MustCompile(`\bparameters\s*(?:\.\s*|\[\s*['"])(\w+)`)
)

// text translates a text of httpConfig or graphqlConfig that stands at a pointer.
func (tr *translation) text(pointer, src string) string {
	return tr.replace(pointer, src, braces)
}

// promptText translates a text of llmConfig, in which single braces are text.
func (tr *translation) promptText(pointer, src string) string {
	return tr.replace(pointer, src, doubleBraces)
}

func (tr *translation) replace(pointer, src string, pattern *regexp.Regexp) string {
	var b strings.Builder
	last, declared := 0, true
	for _, found := range pattern.FindAllStringIndex(src, -1) {
		before, placeholder := src[last:found[0]], src[found[0]:found[1]]
		last = found[1]
		name := strings.Trim(placeholder, "{}")
		if m := bareName.FindStringSubmatch(placeholder); m != nil {
			name = m[1]
		} else if strings.HasPrefix(placeholder, "{{") {
			for _, m := range namedInside.FindAllStringSubmatch(placeholder, -1) {
				tr.used[m[1]] = true
			}
			b.WriteString(before + placeholder)
			continue
		}
		if isNumber(name) && !slices.Contains(tr.declared.Parameters, name) {
			b.WriteString(before + placeholder) // {3}, as in a pattern
			continue
		}
		tr.used[name] = true
		declared = declared && (slices.Contains(tr.declared.Parameters, name) || tr.isDeclared(pointer, placeholder, name)) // one fault a text will do
		if rest, open := strings.CutSuffix(before, "{"); open {
			before = rest + "{{'{'}}" // it would make three braces
		}
		b.WriteString(before + "{{" + parameter(name) + "}}")
	}
	return b.String() + src[last:]
}

func isNumber(name string) bool { return strings.Trim(name, "0123456789") == "" }

// isDeclared notes a placeholder for a parameter that isn't declared. The text that
// comes out would be refused too, but with offsets that the author can't count.
func (tr *translation) isDeclared(pointer, placeholder, name string) bool {
	_, err := expression.Compile("{{"+parameter(name)+"}}", tr.declared)
	if wrong, ok := errors.AsType[*expression.Error](err); ok {
		tr.tool.fault(pointer, "%s: %s; braces that are text are written {{'%s'}}", placeholder, wrong.Message, placeholder)
	}
	return err == nil
}

// parameter is the expression that reads a parameter.
func parameter(name string) string {
	if bareName.MatchString("{{" + name + "}}") {
		return "parameters." + name
	}
	return "parameters[" + strconv.Quote(name) + "]"
}

// literalNames makes each {{name}} of a text that isn't templated stay as it is.
func literalNames(src string) string {
	return doubleBraces.ReplaceAllStringFunc(src, func(placeholder string) string {
		if !bareName.MatchString(placeholder) {
			return placeholder
		}
		return "{{'" + placeholder + "'}}"
	})
}

var (
	statusCondition = regexp.MustCompile(`^status\s*(===?|!==?|<=|>=|<|>)\s*(\d+)$`)
	dataCondition   = regexp.MustCompile(`^data\.(.+?)\s*(===?|!==?)\s*(.+)$`)
)

// successCondition translates the platform's two kinds of conditions, "status <
// 400" and "data.path === value". Any other is taken for one of ours.
func (tr *translation) successCondition(config map[string]any) {
	mapping, _ := config["responseMapping"].(map[string]any)
	src, _ := mapping["successCondition"].(string)
	src = strings.TrimSpace(src)
	if m := statusCondition.FindStringSubmatch(src); m != nil {
		src = "response.status " + operator(m[1]) + " " + m[2]
	} else if m := dataCondition.FindStringSubmatch(src); m != nil {
		src = "response.body" + steps(m[1]) + " " + operator(m[2]) + " " + operand(m[3])
	} else {
		return
	}
	mapping = maps.Clone(mapping)
	mapping["successCondition"] = src
	config["responseMapping"] = mapping
}

// operator is JavaScript's operator in our language, which has no looser equality.
func operator(op string) string {
	if op == "===" || op == "!==" {
		return op[:2]
	}
	return op
}

// steps are the steps of a dotted path.
func steps(path string) string {
	var b strings.Builder
	for step := range strings.SplitSeq(path, ".") {
		if step != "" && isNumber(step) {
			b.WriteString("[" + step + "]")
			continue
		}
		b.WriteString("[" + strconv.Quote(step) + "]")
	}
	return b.String()
}

// operand is the right side of a condition; the platform takes a word that is
// none of these for a text.
func operand(text string) string {
	text = strings.TrimSpace(text)
	switch {
	case text == "true" || text == "false" || isNumber(text):
		return text
	case text == "null" || text == "undefined":
		return "nil"
	}
	for _, quote := range []string{"'", `"`} {
		text = strings.TrimSuffix(strings.TrimPrefix(text, quote), quote)
	}
	return strconv.Quote(text)
}
