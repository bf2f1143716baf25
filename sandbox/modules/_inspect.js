"use strict";
const { bytesToText } = host;
// inspect renders any value as node does, within bounds.
const MAX_TEXT = 1 << 20;
const DEFAULTS = {
	showHidden: false, depth: 2, colors: false, customInspect: true, showProxy: false, maxArrayLength: 100,
	maxStringLength: 10000, breakLength: 128, compact: 3, sorted: false, getters: false, numericSeparator: false,
};
const custom = Symbol.for("nodejs.util.inspect.custom");
const { isPrimitive, typedArrayName, boxed, kindOf, types } = require("_kinds");

function inspect(value, options, ...legacy) {
	const c = { ...DEFAULTS, ...inspect.defaultOptions, breakLength: 80, current: 0, seen: [], circular: new Map(), indent: 0, left: MAX_TEXT, level: 0 };
	if (typeof options === "boolean") options = { showHidden: options, depth: legacy[0] ?? 2 };
	else if (options === null || typeof options !== "object") options = {};
	for (const key of Object.keys(DEFAULTS)) if (options[key] !== undefined) c[key] = options[key];
	if (c.depth === null) c.depth = Infinity;
	if (c.maxArrayLength === null) c.maxArrayLength = Infinity;
	if (c.maxStringLength === null) c.maxStringLength = Infinity;
	return render(c, value, true);
}
inspect.custom = custom;
inspect.defaultOptions = {};

const ESCAPES = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\" };
function quote(text) {
	const q = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes("`") && !text.includes("${") ? "`" : "'";
	// Runs of plain text are copied as a whole.
	const parts = [];
	let from = 0;
	const escape = (at, as) => {
		parts.push(text.slice(from, at), as);
		from = at + 1;
	};
	for (let i = 0; i < text.length; i++) {
		const code = text.charCodeAt(i);
		if (code >= 32 && code < 127 && code !== 92) continue;
		if (code >= 0xd800 && code < 0xdc00 && i + 1 < text.length && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++;
		else if ((code & 0xf800) === 0xd800) escape(i, `\\u${code.toString(16).toUpperCase()}`);
		else if (ESCAPES[text[i]] !== undefined) escape(i, ESCAPES[text[i]]);
		else if (code < 32 || code >= 127 && code < 160) escape(i, `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`);
	}
	const escaped = parts.join("") + text.slice(from);
	return q + (q === "'" ? escaped.replaceAll("'", "\\'") : escaped) + q;
}

function primitive(c, value) {
	switch (typeof value) {
	case "string": return string(c, value);
	case "number": return Object.is(value, -0) ? "-0" : `${value}`;
	case "bigint": return `${value}n`;
	case "symbol": return value.toString();
	}
	return `${value}`;
}

function string(c, text) {
	let rest = "";
	if (text.length > c.maxStringLength) {
		const more = text.length - c.maxStringLength;
		text = text.slice(0, c.maxStringLength);
		rest = `... ${more} more character${more > 1 ? "s" : ""}`;
	}
	if (c.level > 0 && c.compact !== true && text.length > 16 && text.length > c.breakLength - c.indent - 4) {
		const lines = text.split("\n"), last = lines.pop();
		const parts = lines.map((line) => quote(`${line}\n`));
		if (last !== "" || parts.length === 0) parts.push(quote(last));
		return parts.join(` +\n${" ".repeat(c.indent + 2)}`) + rest;
	}
	return quote(text) + rest;
}

function render(c, value, typed) {
	if (isPrimitive(value)) return primitive(c, value);
	if (c.left <= 0) return "...";
	if (kindOf(value) === "Proxy" && typeof value === "object" && c.showProxy) return "[Proxy]";
	if (c.customInspect) {
		const own = value[custom];
		if (typeof own === "function" && own !== inspect && !(value.constructor?.prototype === value)) {
			const { current, seen, circular, indent, left, level, ...options } = c;
			const result = own.call(value, c.depth - c.level, { ...options, depth: c.depth - c.level, stylize: (text) => `${text}` }, inspect);
			if (result !== value) return typeof result === "object" && result !== null ? render(c, result) : `${result}`.replaceAll("\n", `\n${" ".repeat(c.indent)}`);
		}
	}
	if (c.seen.includes(value)) {
		if (!c.circular.has(value)) c.circular.set(value, c.circular.size + 1);
		return `[Circular *${c.circular.get(value)}]`;
	}
	return object(c, value, typed);
}

// nameOf finds the class; null for an object without a prototype.
function nameOf(value) {
	for (let proto = value, first = true; proto !== null && proto !== undefined; proto = Object.getPrototypeOf(proto), first = false) {
		const own = Object.getOwnPropertyDescriptor(proto, "constructor");
		if (own !== undefined && typeof own.value === "function" && own.value.name !== "" && value instanceof own.value) return own.value.name;
	}
	return null;
}

function prefixOf(name, tag, fallback, size = "") {
	const shown = name === null ? `[${fallback}${size}: null prototype] ` : `${name}${size} `;
	return tag !== "" && tag !== name ? `${shown}[${tag}] ` : shown;
}

function keysOf(c, value) {
	const keys = c.showHidden ? Object.getOwnPropertyNames(value) : Object.keys(value);
	const symbols = Object.getOwnPropertySymbols(value)
		.filter((s) => c.showHidden || Object.prototype.propertyIsEnumerable.call(value, s));
	return keys.concat(symbols);
}

function object(c, value, typed) {
	const name = nameOf(value);
	let tag = value[Symbol.toStringTag];
	if (typeof tag !== "string" || tag === name || Object.prototype.propertyIsEnumerable.call(value, Symbol.toStringTag)) tag = "";
	let keys, entries = () => [], braces = ["{", "}"], base = "", list = false;
	const kind = kindOf(value), array = typedArrayName(value);
	if (Array.isArray(value)) {
		keys = keysOf(c, value).filter((key) => typeof key === "symbol" || !/^(0|[1-9]\d*)$/.test(key) && (key !== "length" || c.showHidden));
		const prefix = name !== "Array" || tag !== "" ? prefixOf(name, tag, "Array", `(${value.length})`) : "";
		braces = [`${prefix}[`, "]"];
		if (value.length === 0 && keys.length === 0) return `${braces[0]}]`;
		entries = elements;
		list = true;
	} else if (array !== undefined) {
		keys = keysOf(c, value).filter((key) => typeof key === "symbol" || !/^\d+$/.test(key));
		if (tag === array) tag = "";
		braces = [`${prefixOf(name, tag, array, `(${value.length})`)}[`, "]"];
		if (value.length === 0 && keys.length === 0) return `${braces[0]}]`;
		entries = elements;
		list = true;
	} else if (kind === "Map" || kind === "Set") {
		keys = keysOf(c, value);
		braces = [`${prefixOf(name, tag, kind, `(${value.size})`)}{`, "}"];
		entries = kind === "Map" ? mapEntries : setEntries;
		if (value.size === 0 && keys.length === 0) return `${braces[0]}}`;
	} else {
		keys = keysOf(c, value);
		const plain = name === "Object" && tag === "" ? "" : prefixOf(name, tag, "Object");
		braces = [`${plain}{`, "}"];
		if (kind === "Error") {
			base = errorText(c, value);
			keys = keys.filter((key) => !["name", "message", "stack"].includes(key) || !base.includes(String(value[key])));
			if ("cause" in value && !keys.includes("cause")) keys.push("cause");
			if (Object.hasOwn(value, "errors") && Array.isArray(value.errors) && !keys.includes("errors")) keys.push("errors");
		} else if (typeof value === "function") base = functionText(value, name, tag);
		else if (kind === "Date") base = Number.isNaN(+value) ? "Invalid Date" : Date.prototype.toISOString.call(value);
		else if (kind === "RegExp") base = RegExp.prototype.toString.call(value);
		else if (kind === "Promise") { braces[0] = `${prefixOf(name, tag, "Promise")}{`; entries = () => ["<pending>"]; base = "" }
		else if (kind === "WeakSet" || kind === "WeakMap") { entries = () => ["<items unknown>"] }
		else if (kind === "ArrayBuffer") {
			entries = (c) => [`[Uint8Contents]: <${bytesText(new Uint8Array(value))}>`, `byteLength: ${value.byteLength}`];
		} else if (boxed(value) !== undefined) {
			const inner = boxed(value);
			const type = typeof inner === "bigint" ? "BigInt" : (typeof inner)[0].toUpperCase() + (typeof inner).slice(1);
			if (type === "String") keys = keys.filter((key) => typeof key === "symbol" || !(+key < inner.length));
			base = `[${type}${name === type ? "" : name === null ? " (null prototype)" : ` (${name})`}: ${primitive({ ...c, level: 0 }, inner)}]`;
		} else if (kind === "Arguments") {
			braces[0] = "[Arguments] {";
		} else if (/ Iterator$/.test(kind)) braces[0] = `[${kind}] {`;
		if (base !== "" && keys.length === 0) return base;
		if (base !== "" && typeof value !== "function") braces[0] = `${plain !== "" && kind !== "Error" && boxed(value) === undefined && name !== kind ? plain : ""}{`;
		else if (base !== "") braces[0] = "{";
		if (base === "" && keys.length === 0 && entries(c, value).length === 0) return `${braces[0]}}`;
	}
	if (c.level > c.depth) {
		const shown = braces[0].slice(0, -1).trim().replace(/\(\d+\)/, "") || (list ? "Array" : "Object");
		return `[${list && name === "Array" ? "Array" : shown}]`;
	}
	c.seen.push(value);
	c.current = ++c.level;
	let output;
	try {
		output = entries(c, value);
		const head = output.length;
		for (const key of keys) {
			if (c.left <= 0) { output.push("..."); break }
			output.push(property(c, value, key, list));
		}
		if (c.sorted) output = output.slice(0, head).concat(output.slice(head).sort(typeof c.sorted === "function" ? c.sorted : undefined));
	} finally {
		c.seen.pop();
		c.level--;
	}
	const number = c.circular.get(value);
	if (number !== undefined) {
		if (base === "") braces[0] = `<ref *${number}> ${braces[0]}`;
		else base = `<ref *${number}> ${base}`;
	}
	const text = reduce(c, output, base, braces, list, value);
	c.left -= text.length / 4;
	return text;
}

function elements(c, value) {
	const output = [];
	const shown = Math.min(Math.max(0, c.maxArrayLength), value.length);
	let at = 0;
	for (; at < value.length && output.length < shown && c.left > 0; at++) {
		if (!Object.hasOwn(value, at)) {
			let end = at;
			while (end < value.length && !Object.hasOwn(value, end)) end++;
			output.push(`<${end - at} empty item${end - at > 1 ? "s" : ""}>`);
			at = end - 1;
			continue;
		}
		output.push(property(c, value, String(at), true, true));
	}
	if (at < value.length) output.push(`... ${value.length - at} more item${value.length - at > 1 ? "s" : ""}`);
	return output;
}

function setEntries(c, value) {
	const output = [];
	c.indent += 2;
	for (const item of Set.prototype.values.call(value)) {
		if (output.length >= c.maxArrayLength || c.left <= 0) {
			const more = value.size - output.length;
			output.push(`... ${more} more item${more > 1 ? "s" : ""}`);
			break;
		}
		output.push(render(c, item));
	}
	c.indent -= 2;
	return output;
}

function mapEntries(c, value) {
	const output = [];
	c.indent += 2;
	for (const [key, item] of Map.prototype.entries.call(value)) {
		if (output.length >= c.maxArrayLength || c.left <= 0) {
			const more = value.size - output.length;
			output.push(`... ${more} more item${more > 1 ? "s" : ""}`);
			break;
		}
		output.push(`${render(c, key)} => ${render(c, item)}`);
	}
	c.indent -= 2;
	return output;
}

function property(c, value, key, list, element = false) {
	const own = Object.getOwnPropertyDescriptor(value, key) ?? { value: value[key], enumerable: key !== "cause" };
	let text;
	if (own.value !== undefined || !own.get && !own.set) {
		c.indent += 2;
		text = render(c, own.value);
		c.indent -= 2;
	} else text = own.get ? own.set ? "[Getter/Setter]" : "[Getter]" : "[Setter]";
	if (element) return text;
	if (typeof key === "symbol") return `[${key.toString()}]: ${text}`;
	if (!own.enumerable) return `[${key}]: ${text}`;
	return `${/^[a-zA-Z_][a-zA-Z_0-9]*$/.test(key) ? key : quote(key)}: ${text}`;
}

function errorText(c, error) {
	const { stack } = error;
	let text = typeof stack === "string" && stack !== "" ? stack : Error.prototype.toString.call(error);
	text = text.trimEnd().replaceAll("\n\tat ", "\n    at ");
	const lines = text.split("\n"), frames = lines.findIndex((line) => /^\s+at /.test(line));
	if (frames < 0) return `[${text}]`;
	return text.replaceAll("\n", `\n${" ".repeat(c.indent)}`);
}

function functionText(value, name, tag) {
	const text = Function.prototype.toString.call(value);
	if (/^class\b/.test(text)) {
		const parent = Object.getPrototypeOf(value);
		const extended = typeof parent === "function" && parent.name ? ` extends ${parent.name}` : "";
		return `[class ${Object.hasOwn(value, "name") && value.name !== "" ? value.name : "(anonymous)"}${extended}]`;
	}
	const type = /^async\s*function\s*\*/.test(text) ? "AsyncGeneratorFunction" : types.isGeneratorFunction(value) ? "GeneratorFunction"
		: types.isAsyncFunction(value) ? "AsyncFunction" : "Function";
	const shown = typeof value.name === "string" && value.name !== "" ? `: ${value.name}` : " (anonymous)";
	return `[${type}${name === null ? " (null prototype)" : ""}${shown}]${tag !== "" && tag !== type ? ` [${tag}]` : ""}`;
}

function bytesText(bytes) {
	const shown = bytesToText(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 50), "hex");
	const more = bytes.length - 50;
	const spaced = (shown.match(/../g) ?? []).join(" ");
	return more > 0 ? `${spaced} ... ${more} more byte${more > 1 ? "s" : ""}` : spaced;
}
inspect.bytes = bytesText;

// reduce joins the parts: on one line where they fit and nest no deeper than
// compact, numbers in columns. As in node, the depth that counts is that of the
// last object inside.
function reduce(c, output, base, braces, list, value) {
	const entries = output.length;
	if (list && entries > 6) output = columns(c, output, value);
	if (c.compact !== true && typeof c.compact === "number" && entries === output.length && c.current - c.level <= c.compact) {
		const start = output.length + c.indent + braces[0].length + base.length + 10;
		const total = output.reduce((sum, text) => sum + text.length, output.length + start);
		if (total + output.length <= c.breakLength && !base.includes("\n")) {
			const joined = output.join(", ");
			if (!joined.includes("\n")) return `${base ? `${base} ` : ""}${braces[0]} ${joined} ${braces[1]}`;
		}
	}
	const space = `\n${" ".repeat(c.indent)}`;
	return `${base ? `${base} ` : ""}${braces[0]}${space}  ${output.join(`,${space}  `)}${space}${braces[1]}`;
}

function columns(c, output, value) {
	let total = 0, widest = 0, count = output.length;
	if (value.length > c.maxArrayLength) count--;
	const lengths = output.slice(0, count).map((text) => {
		total += text.length + 2;
		widest = Math.max(widest, text.length);
		return text.length;
	});
	const width = widest + 2;
	if (width * 3 + c.indent >= c.breakLength || !(total / width > 5 || widest <= 6)) return output;
	const bias = Math.sqrt(width - total / output.length);
	const perRow = Math.min(
		Math.round(Math.sqrt(2.5 * Math.max(bias - 0, 1) * count) / Math.max(bias - 0, 1)),
		Math.floor((c.breakLength - c.indent) / width), c.compact * 4, 15);
	if (perRow <= 1) return output;
	const widths = [];
	for (let i = 0; i < perRow; i++) {
		let max = 0;
		for (let j = i; j < count; j += perRow) max = Math.max(max, lengths[j]);
		widths.push(max + 2);
	}
	const right = value !== undefined && Array.from({ length: Math.min(value.length, count) }, (_, i) => value[i])
		.every((item) => typeof item === "number" || typeof item === "bigint");
	const rows = [];
	for (let i = 0; i < count; i += perRow) {
		const end = Math.min(i + perRow, count);
		let row = "";
		let j = i;
		for (; j < end - 1; j++) row += right ? `${output[j]}, `.padStart(widths[j - i]) : `${output[j]}, `.padEnd(widths[j - i]);
		row += right ? output[j].padStart(widths[j - i] - 2) : output[j];
		rows.push(row);
	}
	return rows.concat(output.slice(count));
}

exports.inspect = inspect;
exports.quote = quote;
