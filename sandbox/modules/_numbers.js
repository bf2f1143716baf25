"use strict";
// The methods of Buffer that read and write numbers.
const { coded, wrongType, outOfRange, needInteger } = require("_errors");

function place(view, offset, width) {
	if (typeof offset !== "number") throw wrongType("offset", "of type number", offset);
	const last = view.byteLength - width;
	if (Number.isInteger(offset) && offset >= 0 && offset <= last) return offset;
	if (!Number.isInteger(offset)) throw outOfRange("offset", "an integer", offset);
	if (last < 0) throw coded(RangeError, "ERR_BUFFER_OUT_OF_BOUNDS", "Attempt to access memory outside buffer bounds");
	throw outOfRange("offset", `>= 0 and <= ${last}`, offset);
}

// limits are what a number of so many bits may be, and how a message says it.
function limits(signed, bits) {
	const n = BigInt(bits), suffix = bits > 48 ? "n" : "";
	const min = signed ? -(1n << n - 1n) : 0n, max = signed ? (1n << n - 1n) - 1n : (1n << n) - 1n;
	let range = `>= ${min}${suffix} and <= ${max}${suffix}`;
	if (bits > 32) {
		range = signed ? `>= -(2${suffix} ** ${bits - 1}${suffix}) and < 2${suffix} ** ${bits - 1}${suffix}`
			: `>= 0${suffix} and < 2${suffix} ** ${bits}${suffix}`;
	}
	return { min, max, range };
}

function check(value, { min, max, range }) {
	if (value > max || value < min) throw outOfRange("value", range, value);
}

exports.methods = (viewOf) => {
	const methods = {};
	const pair = (name, width, little, get, set) => {
		methods[`read${name}`] = function (offset = 0) {
			const view = viewOf(this);
			return get(view, place(view, offset, width), little);
		};
		methods[`write${name}`] = function (value, offset = 0) {
			const view = viewOf(this);
			set(view, value, offset, little);
			return offset + width;
		};
	};
	const integer = (kind, bits, signed, names, big = false) => {
		const width = bits / 8, allowed = limits(signed, bits);
		const get = DataView.prototype[`get${kind}`], put = DataView.prototype[`set${kind}`];
		for (const [name, little] of names) {
			pair(name, width, little, (view, at) => get.call(view, at, little), (view, value, offset) => {
				if (big) {
					if (typeof value !== "bigint") throw wrongType("value", "of type bigint", value);
				} else value = +value;
				check(value, allowed);
				put.call(view, place(view, offset, width), value, little);
			});
		}
	};
	const both = (name) => [[`${name}LE`, true], [`${name}BE`, false]];
	integer("Uint8", 8, false, [["UInt8", true]]);
	integer("Int8", 8, true, [["Int8", true]]);
	for (const bits of [16, 32]) {
		integer(`Uint${bits}`, bits, false, both(`UInt${bits}`));
		integer(`Int${bits}`, bits, true, both(`Int${bits}`));
	}
	integer("BigUint64", 64, false, both("BigUInt64"), true);
	integer("BigInt64", 64, true, both("BigInt64"), true);
	for (const [name, kind, width] of [["Float", "Float32", 4], ["Double", "Float64", 8]]) {
		const get = DataView.prototype[`get${kind}`], put = DataView.prototype[`set${kind}`];
		for (const [full, little] of both(name)) {
			pair(full, width, little, (view, at) => get.call(view, at, little),
				(view, value, offset) => put.call(view, place(view, offset, width), value, little));
		}
	}
	for (const signed of [false, true]) {
		const kind = signed ? "Int" : "UInt";
		for (const little of [true, false]) {
			const order = little ? "LE" : "BE";
			methods[`read${kind}${order}`] = function (offset, width) {
				if (offset === undefined) throw wrongType("offset", "of type number", offset);
				needInteger(width, "byteLength", 1, 6);
				place(viewOf(this), offset, width);
				let value = 0;
				for (let i = 0; i < width; i++) value = value * 256 + this[offset + (little ? width - 1 - i : i)];
				return signed && value >= 2 ** (8 * width - 1) ? value - 2 ** (8 * width) : value;
			};
			methods[`write${kind}${order}`] = function (value, offset, width) {
				needInteger(width, "byteLength", 1, 6);
				value = +value;
				check(value, limits(signed, 8 * width));
				place(viewOf(this), offset, width);
				if (value < 0) value += 2 ** (8 * width);
				for (let i = 0; i < width; i++) {
					this[offset + (little ? i : width - 1 - i)] = value % 256;
					value = Math.floor(value / 256);
				}
				return offset + width;
			};
		}
	}
	for (const name of Object.keys(methods)) {
		if (name.includes("UInt")) methods[name.replace("UInt", "Uint")] = methods[name];
	}
	return methods;
};
