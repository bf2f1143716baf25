"use strict";
// Errors as node makes them: with a code, which programs test for.
function coded(Base, code, message) {
	const error = new Base(message);
	Object.defineProperty(error, "code", { value: code, writable: true, configurable: true, enumerable: true });
	return error;
}

// shown renders a value for a message.
function shown(value) {
	if (value === null || value === undefined) return `${value}`;
	if (typeof value === "function") return value.name ? `function ${value.name}` : "function ";
	if (typeof value === "object") {
		const name = value.constructor?.name;
		return typeof name === "string" && name !== "" ? `an instance of ${name}` : "[Object: null prototype] {}";
	}
	let text = typeof value === "string" ? `'${value}'` : typeof value === "bigint" ? `${value}n` : String(value);
	if (text.length > 28) text = text.slice(0, 25) + "...";
	return `type ${typeof value} (${text})`;
}

exports.coded = coded;

// wrongType is thrown for an argument that must be something else: what is
// "of type string" or "an instance of Buffer".
exports.wrongType = (name, what, value) => coded(TypeError, "ERR_INVALID_ARG_TYPE",
	`The ${name.includes(" ") ? name : `"${name}" ${name.includes(".") ? "property" : "argument"}`} must be ${what}. Received ${shown(value)}`);

// grouped writes a large number with underscores, as node's messages do.
function grouped(value) {
	if (typeof value === "bigint") return (value > 2n ** 32n || value < -(2n ** 32n) ? underscored(`${value}`) : `${value}`) + "n";
	return Number.isInteger(value) && Math.abs(value) > 2 ** 32 ? underscored(`${value}`) : String(value);
}
function underscored(text) {
	const sign = text[0] === "-" ? "-" : "";
	let digits = text.slice(sign.length), groups = "";
	if (digits.length > 60) return text;
	for (; digits.length > 3; digits = digits.slice(0, -3)) groups = `_${digits.slice(-3)}${groups}`;
	return sign + digits + groups;
}

exports.outOfRange = (name, range, value) => coded(RangeError, "ERR_OUT_OF_RANGE",
	`The value of "${name}" is out of range. It must be ${range}. Received ${grouped(value)}`);

exports.invalidValue = (name, value, why = "is invalid") => coded(TypeError, "ERR_INVALID_ARG_VALUE",
	`The ${name.includes(".") ? "property" : "argument"} '${name}' ${why}. Received ${typeof value === "string" ? `'${value}'` : String(value)}`);

exports.needFunction = (value, name) => {
	if (typeof value !== "function") throw exports.wrongType(name, "of type function", value);
};
exports.needString = (value, name) => {
	if (typeof value !== "string") throw exports.wrongType(name, "of type string", value);
};
exports.needInteger = (value, name, min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER) => {
	if (typeof value !== "number") throw exports.wrongType(name, "of type number", value);
	if (!Number.isInteger(value)) throw exports.outOfRange(name, "an integer", value);
	if (value < min || value > max) throw exports.outOfRange(name, `>= ${min} && <= ${max}`, value);
};
