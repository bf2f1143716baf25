//go:build linux

package sandbox_test

import (
	"fmt"
	"strings"
)

// generated are the hostile programs that are too large or too regular for a
// file. They attack whatever reads a source: esbuild, parser and compiler.
// Reading them may take too long, too much memory or too much stack, or be
// refused; where one is through in time, it may as well have its value.
var generated = []struct {
	name   string
	expect string
	code   func() string
}{
	{"sum.js", slowToRead, func() string { return "return 1" + rep("+1", 200_000) }},
	{"concatenation.js", slowToRead, func() string { return "return ''" + rep("+'x'", 200_000) }},
	{"commas.js", slowToRead, func() string { return "return (1" + rep(",1", 300_000) + ")" }},
	{"conditionals.js", slowToRead, func() string { return "return " + rep("0?1:", 100_000) + "2" }},
	{"and-or.js", slowToRead, func() string { return "return 0" + rep("||0&&1", 100_000) }},
	{"coalesce.js", slowToRead, func() string { return "return null" + rep("??null", 100_000) }},
	{"optional-chain.js", slowToRead, func() string { return "return parameters" + rep("?.a", 200_000) }},
	{"call-chain.js", slowToRead, func() string { return "const f = () => f; return typeof f" + rep("()", 200_000) }},
	{"power-chain.js", slowToRead, func() string { return "return 1" + rep("**1", 200_000) }},
	{"assign-chain.js", slowToRead, func() string { return "let a; return " + rep("a=", 200_000) + "1" }},
	{"template-parts.js", slowToRead, func() string { return "return `" + rep("${1}x", 200_000) + "`.length" }},

	{"parentheses.js", slowToRead, func() string { return "return " + rep("(", 300_000) + "1" + rep(")", 300_000) }},
	{"parentheses-open.js", slowToRead, func() string { return "return " + rep("(", 1_000_000) }},
	{"arrays.js", slowToRead, func() string { return "return " + rep("[", 300_000) + rep("]", 300_000) }},
	{"objects.js", slowToRead, func() string { return "return " + rep("{a:", 200_000) + "1" + rep("}", 200_000) }},
	{"blocks.js", slowToRead, func() string { return rep("{", 300_000) + rep("}", 300_000) }},
	{"blocks-with-names.js", slowToRead, func() string { return rep("{let a=1;", 20_000) + rep("}", 20_000) }},
	{"ifs.js", slowToRead, func() string { return rep("if(1)", 200_000) + "return 1" }},
	{"else-ifs.js", slowToRead, func() string { return rep("if(0);else ", 200_000) + "return 1" }},
	{"loops.js", slowToRead, func() string { return rep("for(;0;)", 200_000) + ";" }},
	{"tries.js", slowToRead, func() string { return rep("try{", 50_000) + rep("}finally{}", 50_000) }},
	{"labels.js", slowToRead, func() string { return numbered("l%d:", 50_000) + ";" }},
	{"unary.js", slowToRead, func() string { return "return " + rep("!", 500_000) + "1" }},
	{"typeofs.js", slowToRead, func() string { return "return " + rep("typeof ", 200_000) + "1" }},
	{"news.js", slowToRead, func() string { return "return " + rep("new ", 200_000) + "Object" }},
	{"awaits.js", slowToRead, func() string { return "return " + rep("await ", 200_000) + "1" }},
	{"functions.js", slowToRead, func() string { return rep("(function(){", 50_000) + rep("})()", 50_000) }},
	{"arrows.js", slowToRead, func() string { return "return " + rep("()=>", 100_000) + "1" }},
	{"async-arrows.js", slowToRead, func() string { return "return typeof (" + rep("async()=>", 50_000) + "1)" }},
	{"classes.js", slowToRead, func() string { return "return typeof (" + rep("class{static x=", 20_000) + "1" + rep("})", 20_000) }},
	{"class-heritage.js", slowToRead, func() string { return "return typeof " + rep("class extends ", 50_000) + "Object" + rep("{}", 50_000) }},
	{"templates.js", slowToRead, func() string { return "return " + rep("`${", 100_000) + "1" + rep("}`", 100_000) }},
	{"patterns.js", slowToRead, func() string { return "const " + rep("[", 50_000) + "a" + rep("]", 50_000) + " = []" }},
	{"pattern-defaults.js", slowToRead, func() string { return "const " + rep("{a=", 20) + "1" + rep("}={}", 20) }},
	{"arrow-defaults.js", slowToRead, func() string { return "return " + rep("(a=", 60) + "1" + rep(")=>1", 60) }},
	{"arrow-patterns.js", slowToRead, func() string { return "return " + rep("({a=", 40) + "1" + rep("})=>1", 40) }},
	{"async-arrow-defaults.js", slowToRead, func() string { return "return " + rep("async(a=", 40) + "1" + rep(")=>1", 40) }},
	{"regexp-groups.js", slowToRead, func() string { return "return /" + rep("(", 100_000) + rep(")", 100_000) + "/.test('')" }},
	{"regexp-literals.js", slowToRead, func() string { return "return [" + rep("/(?=a)b/,", 100_000) + "].length" }},

	{"names.js", slowToRead, func() string { return numbered("let v%d=1;", 80_000) + "return 1" }},
	{"var-names.js", slowToRead, func() string { return "var a" + numbered(",v%d", 150_000) + "; return 1" }},
	{"functions-many.js", slowToRead, func() string { return numbered("function f%d(){}", 60_000) + "return 1" }},
	{"parameters.js", slowToRead, func() string { return "return (function(a" + numbered(",p%d", 100_000) + "){ return 1 })()" }},
	{"cases.js", slowToRead, func() string { return "switch (1) {" + numbered("case %d:;", 100_000) + "} return 1" }},
	{"properties.js", slowToRead, func() string { return "return Object.keys({" + numbered("k%d:1,", 100_000) + "}).length" }},
	{"private-names.js", slowToRead, func() string { return "class A {" + numbered("#p%d=1;", 50_000) + "} return 1" }},
	{"accessors.js", slowToRead, func() string { return "return typeof {" + numbered("get k%d(){return 1},", 30_000) + "}" }},
	{"closures.js", slowToRead, func() string { return numbered("let v%d=()=>v%[1]d;", 30_000) + "return 1" }},
	{"capture-chain.js", slowToRead, func() string {
		return numbered("(a%d)=>{", 3000) + "return " + numbered("a%d+", 3000) + "1" + rep("}", 3000)
	}},
	{"statements.js", slowToRead, func() string { return rep(";", 2_000_000) + "return 1" }},
	{"newlines.js", slowToRead, func() string { return rep("\n", 3_000_000) + "throw new Error('far down')" }},
	{"one-line.js", slowToRead, func() string { return rep("1;", 500_000) + "throw new Error('far right')" }},
	{"comments.js", slowToRead, func() string { return rep("/**/", 500_000) + "return 1" }},
	{"comment-open.js", "syntax_error|deadline", func() string { return "/*" + rep("*", 3_000_000) }},
	{"string.js", slowToRead, func() string { return "return '" + rep("x", 3_000_000) + "'.length" }},
	{"string-open.js", "syntax_error|deadline", func() string { return "return '" + rep("\\", 3_000_000) }},
	{"number.js", slowToRead, func() string { return "return " + rep("9", 2_000_000) }},
	{"bigint.js", slowToRead, func() string { return "return typeof " + rep("9", 2_000_000) + "n" }},
	{"identifier.js", slowToRead, func() string { return "const " + rep("a", 2_000_000) + " = 1; return 1" }},
	{"unicode-identifier.js", slowToRead, func() string { return "const " + rep(`\u0061`, 300_000) + " = 1; return 1" }},
	{"escapes.js", slowToRead, func() string { return "return '" + rep(`\u{10FFFF}`, 200_000) + "'.length" }},
	{"invalid-utf8.js", slowToRead, func() string { return "return '" + rep("\xff\xc0\xed\xa0\x80", 100_000) + "'.length" }},
	{"noise.js", "syntax_error|deadline", func() string { return rep("\x00\x01\x02\x7f\xfe\xff", 100_000) }},
	{"source-maps.js", slowToRead, func() string { return "return 1" + rep("\n//# sourceMappingURL=file:///dev/zero", 50_000) }},
	{"module-exports.js", slowToRead, func() string { return numbered("export const v%d = 1;", 30_000) + "export default () => 1" }},
	{"module-imports.js", "syntax_error|deadline|memory_limit", func() string { return numbered("import 'm%d';", 20_000) + "export default () => 1" }},
	{"using.js", slowToRead, func() string { return rep("{using a=null;", 3000) + rep("}", 3000) }},
	{"async-generators.js", slowToRead, func() string { return rep("async function*g(){yield*(", 3000) + "1" + rep(")}", 3000) }},
	{"decorators.js", slowToRead, func() string { return rep("@(x=>x)", 20_000) + "class A{} return 1" }},
	{"type-arguments.ts", slowToRead, func() string { return "let a: " + rep("A<", 100_000) + "1" + rep(">", 100_000) + "; return 1" }},
	{"type-ambiguous.ts", slowToRead, func() string { return "return " + rep("a<", 3000) + "1" }},
	{"type-arrows.ts", slowToRead, func() string { return "return " + rep("(a:any=", 40) + "1" + rep("):any=>1", 40) }},
	{"type-conditional.ts", slowToRead, func() string { return "type T=" + rep("1 extends 2?", 50_000) + "1" + rep(":1", 50_000) + "; return 1" }},
	{"enums.ts", slowToRead, func() string { return "enum E{" + numbered("A%d,", 100_000) + "} return 1" }},
	{"namespaces.ts", slowToRead, func() string { return rep("namespace N{", 20_000) + rep("}", 20_000) }},
	{"beyond-the-limit.js", "source_limit", func() string { return rep(" ", hostileSourceBytes) }},
}

const slowToRead = "deadline|memory_limit|stack_overflow|syntax_error|value|exception|never_settles|unserializable|output_limit"

func rep(s string, n int) string { return strings.Repeat(s, n) }

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
