// String.prototype.isWellFormed, toWellFormed (ES2024) and RegExp.escape (ES2025).
(function (define) {
	"use strict";
	// lone is the index of the first surrogate without its other half, or -1.
	function lone(string, from) {
		for (let i = from; i < string.length; i++) {
			const code = string.charCodeAt(i);
			if (code < 0xd800 || code > 0xdfff) continue;
			const next = string.charCodeAt(i + 1);
			if (code > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return i;
			i++;
		}
		return -1;
	}
	const text = (value) => {
		if (value === undefined || value === null) throw new TypeError("String.prototype method called on " + value);
		return String(value);
	};
	define(String.prototype, {
		isWellFormed() { return lone(text(this), 0) < 0; },
		toWellFormed() {
			const string = text(this);
			let formed = "", from = 0;
			for (let i; (i = lone(string, from)) >= 0; from = i + 1) formed += string.slice(from, i) + "\ufffd";
			return formed + string.slice(from);
		},
	});
	const controls = { "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r" };
	const spaces = /[\s\ufeff]/;
	const hex = (char) => {
		const code = char.charCodeAt(0);
		return code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
	};
	define(RegExp, {
		escape(string) {
			if (typeof string !== "string") throw new TypeError("RegExp.escape takes a string");
			let escaped = "";
			for (const char of string) {
				if (escaped === "" && /[0-9A-Za-z]/.test(char)) escaped += hex(char);
				else if ("^$\\.*+?()[]{}|/".includes(char)) escaped += "\\" + char;
				else if (char in controls) escaped += controls[char];
				else if (",-=<>#&!%:;@~'`\"".includes(char) || spaces.test(char) || lone(char, 0) === 0) escaped += hex(char);
				else escaped += char;
			}
			return escaped;
		},
	});
})
