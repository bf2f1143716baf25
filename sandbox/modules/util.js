"use strict";
const { usv } = host;
const { coded, wrongType, needFunction } = require("_errors");
const { inspect } = require("_inspect");
const { types, isPrimitive } = require("_kinds");
const { deepEqual } = require("_equal");

// How a %s shows an object that has a toString of its own: with that.
function ownText(value) {
	if (types.isNativeError(value)) return true;
	for (let proto = value; proto !== null; proto = Object.getPrototypeOf(proto)) {
		if (Object.hasOwn(proto, "toString")) return proto !== Object.prototype && proto !== Array.prototype && proto !== Error.prototype
			&& typeof proto.toString === "function" && proto !== Object.getPrototypeOf(Uint8Array.prototype);
	}
	return false;
}

const VERBS = {
	s(value) {
		if (typeof value === "bigint") return `${value}n`;
		if (typeof value === "number") return Object.is(value, -0) ? "-0" : `${value}`;
		if (isPrimitive(value) || typeof value === "function") return String(value);
		if (ownText(value)) return String(value);
		return inspect(value, { depth: 0, colors: false, compact: 3 });
	},
	d: (value) => typeof value === "bigint" ? `${value}n` : typeof value === "symbol" ? "NaN" : numberText(Number(value)),
	i: (value) => typeof value === "bigint" ? `${value}n` : typeof value === "symbol" ? "NaN" : numberText(parseInt(value, 10)),
	f: (value) => typeof value === "symbol" ? "NaN" : numberText(parseFloat(value)),
	j(value) {
		try { return JSON.stringify(value) } catch (error) {
			if (/circular/i.test(error?.message)) return "[Circular]";
			throw error;
		}
	},
	o: (value) => inspect(value, { showHidden: true, showProxy: true, depth: 4 }),
	O: (value) => inspect(value),
	c: () => "",
};
const numberText = (value) => Object.is(value, -0) ? "-0" : `${value}`;

function formatWithOptions(options, ...values) {
	let text = "", used = 0;
	if (typeof values[0] === "string") {
		used = 1;
		text = values.length === 1 ? values[0] : values[0].replace(/%([sdifjoOc%])/g, (verb, letter) => {
			if (letter === "%") return "%";
			return used < values.length ? `${VERBS[letter](values[used++])}` : verb;
		});
	}
	for (; used < values.length; used++) {
		text += (used > 0 ? " " : "") + (typeof values[used] === "string" ? values[used] : inspect(values[used], options));
	}
	return text;
}

const customPromisify = Symbol.for("nodejs.util.promisify.custom");
function promisify(original) {
	needFunction(original, "original");
	if (original[customPromisify]) {
		needFunction(original[customPromisify], "util.promisify.custom");
		return original[customPromisify];
	}
	function promised(...args) {
		return new Promise((resolve, reject) => {
			original.call(this, ...args, (error, value) => error ? reject(error) : resolve(value));
		});
	}
	Object.setPrototypeOf(promised, Object.getPrototypeOf(original));
	return Object.defineProperties(promised, Object.getOwnPropertyDescriptors(original));
}
promisify.custom = customPromisify;

function callbackify(original) {
	needFunction(original, "original");
	return function callbackified(...args) {
		const callback = args.pop();
		needFunction(callback, "last argument");
		original.apply(this, args).then(
			(value) => setTimeout(() => callback.call(this, null, value), 0),
			(reason) => {
				if (!reason) {
					const error = coded(Error, "ERR_FALSY_VALUE_REJECTION", "Promise was rejected with falsy value");
					error.reason = reason;
					reason = error;
				}
				setTimeout(() => callback.call(this, reason), 0);
			});
	};
}

function inherits(constructor, parent) {
	if (constructor === undefined || constructor === null) needFunction(constructor, "ctor");
	if (parent === undefined || parent === null) needFunction(parent, "superCtor");
	if (parent.prototype === undefined) throw wrongType("superCtor.prototype", "of type object", parent.prototype);
	Object.defineProperty(constructor, "super_", { value: parent, writable: true, configurable: true });
	Object.setPrototypeOf(constructor.prototype, parent.prototype);
}

// deprecate warns once, in the logs.
const warned = new Set();
function deprecate(original, message, code) {
	needFunction(original, "fn");
	let told = false;
	function deprecated(...args) {
		if (!told && !(code !== undefined && warned.has(code))) console.warn(`DeprecationWarning: ${message}`);
		told = true;
		if (code !== undefined) warned.add(code);
		return new.target ? Reflect.construct(original, args, new.target) : original.apply(this, args);
	}
	Object.setPrototypeOf(deprecated, original);
	if (original.prototype) deprecated.prototype = original.prototype;
	return deprecated;
}

Object.assign(exports, {
	inspect, format: (...values) => formatWithOptions(undefined, ...values), formatWithOptions, promisify, callbackify, inherits, deprecate,
	types, isDeepStrictEqual: (a, b) => deepEqual(a, b, true),
	// The bounds keep it linear.
	stripVTControlCharacters: (text) => text.replace(/\x1b(?:\[[0-?]{0,100}[ -/]{0,100}[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|[@-Z\\-_])/g, ""),
	toUSVString: (text) => usv(`${text}`),
	debuglog: () => Object.assign(() => {}, { enabled: false }),
	isArray: Array.isArray, isBoolean: (v) => typeof v === "boolean", isNull: (v) => v === null, isNullOrUndefined: (v) => v == null,
	isNumber: (v) => typeof v === "number", isString: (v) => typeof v === "string", isUndefined: (v) => v === undefined,
	isObject: (v) => v !== null && typeof v === "object", isFunction: (v) => typeof v === "function", isPrimitive,
	isRegExp: types.isRegExp, isDate: types.isDate, isError: (v) => types.isNativeError(v) || v instanceof Error,
	isBuffer: (v) => require("buffer").Buffer.isBuffer(v),
});
exports.debug = exports.debuglog;
// These are globals, where the realm has them.
for (const name of ["TextEncoder", "TextDecoder"]) {
	Object.defineProperty(exports, name, { get: () => globalThis[name], enumerable: true, configurable: true });
}
