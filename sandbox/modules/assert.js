"use strict";
const { coded, wrongType, invalidValue } = require("_errors");
const { inspect } = require("_inspect");
const { deepEqual } = require("_equal");
const { types } = require("_kinds");

const shown = (value) => inspect(value, { depth: 1000, maxArrayLength: null, sorted: true, customInspect: false, breakLength: Infinity });

// The default messages: node's first lines. For what spans lines, both values
// follow, where node shows a diff.
const MESSAGES = {
	deepStrictEqual: "Expected values to be strictly deep-equal:",
	strictEqual: "Expected values to be strictly equal:",
	deepEqual: "Expected values to be loosely deep-equal:",
	notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
	notStrictEqual: 'Expected "actual" to be strictly unequal to:',
	notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
};

function messageFor({ operator, actual, expected }) {
	const a = shown(actual), b = shown(expected);
	switch (operator) {
	case "==": case "!=": return `${a} ${operator} ${b}`;
	case "strictEqual": {
		const one = (v) => v === null || typeof v !== "object" && typeof v !== "function";
		if (one(actual) && one(expected) && a.length + b.length < 60) return `${MESSAGES.strictEqual}\n\n${a} !== ${b}\n`;
		if (a === b) return `Values have same structure but are not reference-equal:\n\n${a}\n`;
		break;
	}
	case "notStrictEqual": case "notDeepStrictEqual": case "notDeepEqual": {
		const first = operator === "notStrictEqual" && typeof actual === "object" && actual !== null
			? 'Expected "actual" not to be reference-equal to "expected":' : MESSAGES[operator];
		return `${first}${b.length < 60 && !b.includes("\n") ? " " : "\n\n"}${b}${b.length < 60 ? "" : "\n"}`;
	}
	case "deepEqual": return `${MESSAGES.deepEqual}\n\n${a}\n\nshould loosely deep-equal\n\n${b}`;
	}
	return `${MESSAGES[operator]}\n\n+ actual - expected\n\n+ ${a}\n- ${b}`;
}

class AssertionError extends Error {
	constructor(options) {
		if (options === null || typeof options !== "object") throw wrongType("options", "of type object", options);
		const { message, operator, actual, expected } = options;
		super(message !== undefined ? String(message) : messageFor(options));
		Object.defineProperty(this, "name", { value: "AssertionError", writable: true, configurable: true });
		this.generatedMessage = message === undefined;
		this.code = "ERR_ASSERTION";
		this.actual = actual;
		this.expected = expected;
		this.operator = operator;
	}
}

// fail throws what the program gave as a message if it is an error, else an
// AssertionError.
function failWith(message, details) {
	if (types.isNativeError(message)) throw message;
	const error = new AssertionError({ message, ...details });
	if (details.generated) error.generatedMessage = true;
	throw error;
}

function truthy(args, operator) {
	if (args[0]) return;
	if (args.length === 0) failWith("No value argument passed to `assert.ok()`", { actual: undefined, expected: true, operator, generated: true });
	if (args[1] === undefined) {
		failWith(`The expression evaluated to a falsy value:\n\n  ${operator === "==" ? "assert.ok" : "assert"}(${shown(args[0])})\n`,
			{ actual: args[0], expected: true, operator: "==", generated: true });
	}
	failWith(args[1], { actual: args[0], expected: true, operator: "==" });
}

function assert(...args) { truthy(args, "assert") }
assert.ok = function ok(...args) { truthy(args, "==") };

const comparisons = {
	equal: ["==", (a, b) => a == b || a !== a && b !== b],
	notEqual: ["!=", (a, b) => !(a == b || a !== a && b !== b)],
	strictEqual: ["strictEqual", Object.is],
	notStrictEqual: ["notStrictEqual", (a, b) => !Object.is(a, b)],
	deepEqual: ["deepEqual", (a, b) => deepEqual(a, b, false)],
	notDeepEqual: ["notDeepEqual", (a, b) => !deepEqual(a, b, false)],
	deepStrictEqual: ["deepStrictEqual", (a, b) => deepEqual(a, b, true)],
	notDeepStrictEqual: ["notDeepStrictEqual", (a, b) => !deepEqual(a, b, true)],
};
for (const [name, [operator, holds]] of Object.entries(comparisons)) {
	assert[name] = { [name](actual, expected, message) {
		if (arguments.length < 2) throw coded(TypeError, "ERR_MISSING_ARGS", 'The "actual" and "expected" arguments must be specified');
		if (!holds(actual, expected)) failWith(message, { actual, expected, operator });
	} }[name];
}

assert.fail = function fail(message = "Failed") {
	failWith(message, { operator: "fail", actual: undefined, expected: undefined, generated: arguments.length === 0 });
};

assert.ifError = function ifError(value) {
	if (value === null || value === undefined) return;
	const text = typeof value === "object" && typeof value.message === "string" ? value.message || value.constructor?.name : inspect(value);
	failWith(`ifError got unwanted exception: ${text}`, { actual: value, expected: null, operator: "ifError", generated: true });
};

for (const [name, wanted] of [["match", true], ["doesNotMatch", false]]) {
	assert[name] = { [name](text, regexp, message) {
		if (!types.isRegExp(regexp)) throw wrongType("regexp", "an instance of RegExp", regexp);
		if (typeof text === "string" && (RegExp.prototype.exec.call(regexp, text) !== null) === wanted) return;
		const why = typeof text !== "string" ? `The "string" argument must be of type string. Received type ${typeof text} (${inspect(text)})`
			: `The input ${wanted ? "did not match the regular expression" : "was expected to not match the regular expression"} ${inspect(regexp)}. Input:\n\n${inspect(text)}\n`;
		failWith(message ?? why, { actual: text, expected: regexp, operator: name, generated: message === undefined });
	} }[name];
}

// check holds what was thrown to what throws was told to expect. It returns
// whether rejections may be someone else's: false says rethrow.
function check(error, expected, message, operator) {
	const mismatch = (why) => failWith(message ?? why, { actual: error, expected, operator, generated: message === undefined });
	if (expected === undefined) return;
	if (types.isRegExp(expected)) {
		if (RegExp.prototype.exec.call(expected, String(error)) === null) {
			mismatch(`The input did not match the regular expression ${inspect(expected)}. Input:\n\n${inspect(String(error))}\n`);
		}
		return;
	}
	if (typeof expected === "object") {
		const keys = Object.keys(expected);
		if (types.isNativeError(expected)) keys.push("name", "message");
		else if (keys.length === 0) throw invalidValue("error", "{}", "may not be an empty object");
		for (const key of keys) {
			const pattern = expected[key];
			if (typeof error?.[key] === "string" && types.isRegExp(pattern) && RegExp.prototype.exec.call(pattern, error[key]) !== null) continue;
			if (error === null || typeof error !== "object" || !(key in error) || !deepEqual(error[key], pattern, true)) {
				mismatch(`${MESSAGES.deepStrictEqual}\n\n+ actual - expected\n\n  ${key}:\n+ ${shown(error?.[key])}\n- ${shown(pattern)}`);
			}
		}
		return;
	}
	if (expected.prototype !== undefined && error instanceof expected) return;
	if (Error.isPrototypeOf(expected) || expected === Error) {
		mismatch(`The error is expected to be an instance of "${expected.name}". Received "${error?.constructor?.name ?? inspect(error)}"\n\nError message:\n\n${error?.message}`);
	}
	if (expected.call({}, error) !== true) {
		const name = expected.name ? `"${expected.name}" ` : "";
		mismatch(`The ${name}validation function is expected to return "true". Received ${inspect(false)}\n\nCaught error:\n\n${inspect(error)}`);
	}
}

function wants(caught, expected, message, operator) {
	if (typeof expected === "string") {
		if (arguments.length > 3 && message !== undefined) throw wrongType("error", "of type function or an instance of Error, RegExp, or Object", expected);
		[expected, message] = [undefined, expected];
	}
	if (expected !== undefined && (typeof expected !== "function" && typeof expected !== "object" || expected === null)) {
		throw wrongType("error", "of type function or an instance of Error, RegExp, or Object", expected);
	}
	if (caught === undefined) {
		let why = operator === "rejects" ? "Missing expected rejection" : "Missing expected exception";
		if (expected?.name) why += ` (${expected.name})`;
		failWith(types.isNativeError(message) ? message : `${why}${message ? `: ${message}` : "."}`, { actual: undefined, expected, operator, generated: message === undefined });
	}
	check(caught.error, expected, message, operator);
}

function refuses(caught, expected, message, operator) {
	if (caught === undefined) return;
	if (typeof expected === "string") [expected, message] = [undefined, expected];
	if (expected === undefined || typeof expected === "function" && caught.error instanceof expected
		|| types.isRegExp(expected) && RegExp.prototype.exec.call(expected, String(caught.error)) !== null) {
		failWith(`Got unwanted ${operator === "doesNotReject" ? "rejection" : "exception"}${message ? `: ${message}` : "."}\nActual message: "${caught.error?.message}"`,
			{ actual: caught.error, expected, operator, generated: message === undefined });
	}
	throw caught.error;
}

function run(fn) {
	if (typeof fn !== "function") throw wrongType("fn", "of type function", fn);
	try { fn() } catch (error) { return { error } }
	return undefined;
}

async function settle(promise) {
	if (typeof promise === "function") {
		promise = promise();
		if (typeof promise?.then !== "function") throw coded(TypeError, "ERR_INVALID_RETURN_VALUE", 'Expected instance of Promise to be returned from the "promiseFn" function');
	} else if (typeof promise?.then !== "function") throw wrongType("promiseFn", "of type function or an instance of Promise", promise);
	try { await promise } catch (error) { return { error } }
	return undefined;
}

Object.assign(assert, {
	throws(fn, expected, message) { wants(run(fn), expected, message, "throws") },
	doesNotThrow(fn, expected, message) { refuses(run(fn), expected, message, "doesNotThrow") },
	async rejects(promise, expected, message) { wants(await settle(promise), expected, message, "rejects") },
	async doesNotReject(promise, expected, message) { refuses(await settle(promise), expected, message, "doesNotReject") },
	AssertionError,
});

const strict = (...args) => truthy(args, "assert");
assert.strict = Object.assign(strict, assert, {
	equal: assert.strictEqual, notEqual: assert.notStrictEqual, deepEqual: assert.deepStrictEqual, notDeepEqual: assert.notDeepStrictEqual,
});
strict.strict = strict;
module.exports = assert;
