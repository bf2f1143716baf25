"use strict";
const { compareBytes } = host;
// Deep equality, strict as isDeepStrictEqual and loose as assert.deepEqual.
const { isPrimitive, typedArrayName, boxed, kindOf } = require("_kinds");

exports.deepEqual = (a, b, strict) => equal(a, b, strict, []);

function equal(a, b, strict, pairs) {
	if (a === b) return a !== 0 || !strict || Object.is(a, b);
	if (isPrimitive(a) || isPrimitive(b)) {
		if (strict) return typeof a === "number" && Number.isNaN(a) && Number.isNaN(b);
		if (!isPrimitive(a) || !isPrimitive(b)) return false;
		return a == b || a !== a && b !== b;
	}
	if (typeof a === "function" || typeof b === "function") return false;
	if (strict && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
	const kind = kindOf(a);
	if (kind !== kindOf(b) || Array.isArray(a) !== Array.isArray(b) || typedArrayName(a) !== typedArrayName(b)) return false;
	if (Object.prototype.toString.call(a) !== Object.prototype.toString.call(b)) return false;
	if (pairs.some(([x, y]) => x === a && y === b)) return true;
	pairs.push([a, b]);
	try {
		return sameInside(a, b, kind, strict, pairs) && sameKeys(a, b, strict, pairs);
	} finally {
		pairs.pop();
	}
}

function sameInside(a, b, kind, strict, pairs) {
	switch (kind) {
	case "Date": return Object.is(+a, +b);
	case "RegExp": return String(a) === String(b) && a.lastIndex === b.lastIndex;
	case "Error": return a.message === b.message && a.name === b.name && equal(a.cause, b.cause, strict, pairs) && equal(a.errors, b.errors, strict, pairs);
	case "Set": return a.size === b.size && sameSet(a, b, strict, pairs);
	case "Map": return a.size === b.size && sameMap(a, b, strict, pairs);
	case "ArrayBuffer": return a.byteLength === b.byteLength && compareBytes(a, 0, a.byteLength, b, 0, b.byteLength) === 0;
	case "WeakMap": case "WeakSet": case "Promise": return false;
	}
	if (Array.isArray(a)) return a.length === b.length;
	if (typedArrayName(a) !== undefined) {
		if (a.length !== b.length) return false;
		for (let i = 0; i < a.length; i++) if (strict ? !Object.is(a[i], b[i]) : a[i] !== b[i] && (a[i] === a[i] || b[i] === b[i])) return false;
		return true;
	}
	const inner = boxed(a);
	return inner === undefined && boxed(b) === undefined || Object.is(inner, boxed(b));
}

function sameSet(a, b, strict, pairs) {
	const rest = [...b].filter((item) => !a.has(item));
	for (const item of a) {
		if (b.has(item)) continue;
		if (strict && isPrimitive(item)) return false;
		const at = rest.findIndex((other) => equal(item, other, strict, pairs));
		if (at < 0) return false;
		rest.splice(at, 1);
	}
	return rest.length === 0;
}

function sameMap(a, b, strict, pairs) {
	const rest = [...b].filter(([key]) => !a.has(key));
	for (const [key, value] of a) {
		if (b.has(key)) {
			if (!equal(value, b.get(key), strict, pairs)) return false;
			continue;
		}
		if (strict && isPrimitive(key)) return false;
		const at = rest.findIndex(([k, v]) => equal(key, k, strict, pairs) && equal(value, v, strict, pairs));
		if (at < 0) return false;
		rest.splice(at, 1);
	}
	return rest.length === 0;
}

function sameKeys(a, b, strict, pairs) {
	const typed = typedArrayName(a) !== undefined;
	const keysOf = (value) => typed ? Object.keys(value).filter((key) => !/^\d+$/.test(key)) : Object.keys(value);
	const keys = keysOf(a);
	if (keys.length !== keysOf(b).length) return false;
	const symbolsOf = (value) => Object.getOwnPropertySymbols(value).filter((s) => Object.prototype.propertyIsEnumerable.call(value, s));
	if (strict) {
		const symbols = symbolsOf(a);
		if (symbols.length !== symbolsOf(b).length) return false;
		keys.push(...symbols);
	}
	return keys.every((key) => Object.prototype.propertyIsEnumerable.call(b, key) && equal(a[key], b[key], strict, pairs));
}
