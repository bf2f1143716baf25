"use strict";
const { classOf, textToBytes, utf8Length, compareBytes, findBytes, bytesToText } = host;
const { coded, wrongType, outOfRange, invalidValue, needInteger } = require("_errors");

const MAX_LENGTH = 2 ** 32;

// Buffer is a Uint8Array in all its methods, but may be called without new, as
// old programs do.
function Buffer(value, encoding, length) {
	if (typeof value === "number") {
		if (typeof encoding === "string") throw wrongType("string", "of type string", value);
		return Buffer.alloc(value);
	}
	return Buffer.from(value, encoding, length);
}
Object.setPrototypeOf(Buffer, Uint8Array);

// make views a buffer, or makes one of a length.
const make = (buffer, offset, length) => Reflect.construct(Uint8Array, [buffer, offset, length], Buffer);
const isBytes = (value) => value instanceof Uint8Array;
const spanOf = (bytes) => [bytes.buffer, bytes.byteOffset, bytes.byteLength];

const ENCODINGS = {
	utf8: "utf8", "utf-8": "utf8", hex: "hex", base64: "base64", base64url: "base64url",
	latin1: "latin1", binary: "latin1", ascii: "ascii",
	utf16le: "utf16le", "utf-16le": "utf16le", ucs2: "utf16le", "ucs-2": "utf16le",
};
Object.setPrototypeOf(ENCODINGS, null);

// encodingOf is an encoding by its usual name, or undefined.
const encodingOf = (name) => ENCODINGS[name] ?? (typeof name === "string" ? ENCODINGS[name.toLowerCase()] : undefined);

function needEncoding(name) {
	if (name === undefined || name === null || name === "") return "utf8";
	const encoding = encodingOf(name);
	if (encoding === undefined) throw coded(TypeError, "ERR_UNKNOWN_ENCODING", `Unknown encoding: ${String(name)}`);
	return encoding;
}

function needBytes(value, name) {
	if (!isBytes(value)) throw wrongType(name, "an instance of Buffer or Uint8Array", value);
	return value;
}

function needSize(size) {
	if (typeof size !== "number") throw wrongType("size", "of type number", size);
	if (!(size >= 0 && size <= MAX_LENGTH)) throw outOfRange("size", `>= 0 && <= ${MAX_LENGTH}`, size);
	return size;
}

const isArrayBuffer = (value) => classOf(value) === "ArrayBuffer";
const FIRST = "of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object";

function fromList(list) {
	const buffer = make(list.length > 0 ? Math.min(list.length, MAX_LENGTH) : 0);
	for (let i = 0; i < buffer.length; i++) buffer[i] = list[i];
	return buffer;
}

function fromObject(value) {
	if (value.length !== undefined) return typeof value.length === "number" ? fromList(value) : make(0);
	if (value.type === "Buffer" && Array.isArray(value.data)) return fromList(value.data);
	return undefined;
}

Object.assign(Buffer, {
	poolSize: 8192,
	from(value, encoding, length) {
		if (typeof value === "string") return make(textToBytes(value, needEncoding(encoding)));
		if (typeof value !== "object" || value === null) throw wrongType("first argument", FIRST, value);
		if (isArrayBuffer(value)) {
			const offset = Math.trunc(Number(encoding)) || 0;
			if (offset < 0 || offset > value.byteLength) throw coded(RangeError, "ERR_BUFFER_OUT_OF_BOUNDS", '"offset" is outside of buffer bounds');
			const rest = value.byteLength - offset;
			if (length === undefined) return make(value, offset, rest);
			length = Math.max(Math.trunc(Number(length)) || 0, 0);
			if (length > rest) throw coded(RangeError, "ERR_BUFFER_OUT_OF_BOUNDS", '"length" is outside of buffer bounds');
			return make(value, offset, length);
		}
		if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
			return isBytes(value) ? make(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength)) : fromList(value);
		}
		const inner = value.valueOf?.();
		if (inner !== undefined && inner !== null && inner !== value && (typeof inner === "string" || typeof inner === "object")) {
			return Buffer.from(inner, encoding, length);
		}
		const made = fromObject(value);
		if (made !== undefined) return made;
		if (typeof value[Symbol.toPrimitive] === "function") {
			const text = value[Symbol.toPrimitive]("string");
			if (typeof text === "string") return Buffer.from(text, encoding);
		}
		throw wrongType("first argument", FIRST, value);
	},
	alloc(size, fill, encoding) {
		const buffer = make(needSize(size));
		return fill === undefined || fill === 0 || size === 0 ? buffer : buffer.fill(fill, encoding);
	},
	allocUnsafe: (size) => make(needSize(size)),
	allocUnsafeSlow: (size) => make(needSize(size)),
	byteLength(value, encoding) {
		if (typeof value !== "string") {
			if (ArrayBuffer.isView(value) || isArrayBuffer(value)) return value.byteLength;
			throw wrongType("string", "of type string or an instance of Buffer or ArrayBuffer", value);
		}
		switch (encodingOf(encoding)) {
		case "latin1": case "ascii": return value.length;
		case "utf16le": return 2 * value.length;
		case "hex": return value.length >>> 1;
		case "base64": case "base64url": return Math.trunc((value.length - (value.endsWith("==") ? 2 : value.endsWith("=") ? 1 : 0)) * 3 / 4);
		}
		return utf8Length(value);
	},
	compare(a, b) {
		return compareBytes(...spanOf(needBytes(a, "buf1")), ...spanOf(needBytes(b, "buf2")));
	},
	concat(list, length) {
		if (!Array.isArray(list)) throw wrongType("list", "an instance of Array", list);
		list.forEach((bytes, i) => { if (!isBytes(bytes)) throw wrongType(`list[${i}]`, "an instance of Buffer or Uint8Array", bytes) });
		if (length === undefined) length = list.reduce((sum, bytes) => sum + bytes.length, 0);
		else needInteger(length, "length", 0);
		const joined = Buffer.alloc(length);
		let at = 0;
		for (const bytes of list) {
			if (at >= length) break;
			const part = at + bytes.length > length ? Uint8Array.prototype.subarray.call(bytes, 0, length - at) : bytes;
			joined.set(part, at);
			at += part.length;
		}
		return joined;
	},
	copyBytesFrom(view, offset = 0, length) {
		if (!ArrayBuffer.isView(view) || view instanceof DataView) throw wrongType("view", "an instance of TypedArray", view);
		const part = view.slice(offset, length === undefined ? undefined : offset + length);
		return make(part.buffer);
	},
	isBuffer: (value) => value instanceof Buffer,
	isEncoding: (name) => typeof name === "string" && name !== "" && encodingOf(name) !== undefined,
	of: (...values) => fromList(values),
});

// bound is a position of slice's and toString's: negative counts from the end.
function bound(value, length, otherwise) {
	if (value === undefined) return otherwise;
	value = Math.trunc(Number(value)) || 0;
	return value < 0 ? Math.max(value + length, 0) : Math.min(value, length);
}

// toFill is what fill repeats.
function toFill(value, encoding) {
	if (typeof value === "string") {
		const bytes = Buffer.from(value, encoding);
		if (value !== "" && bytes.length === 0) throw invalidValue("value", value);
		return bytes.length === 0 ? 0 : bytes;
	}
	if (isBytes(value)) {
		if (value.length === 0) throw invalidValue("value", "Buffer(0) []");
		return value;
	}
	return typeof value === "boolean" ? +value : Number(value) & 255;
}

// toSeek is what indexOf looks for.
function toSeek(value, encoding) {
	if (typeof value === "string") return Buffer.from(value, encoding);
	if (typeof value === "number") return make(1).fill(value & 255);
	if (isBytes(value)) return value;
	throw wrongType("value", "one of type number or string or an instance of Buffer or Uint8Array", value);
}

function seek(buffer, value, from, encoding, last) {
	if (typeof from === "string") [from, encoding] = [undefined, from];
	const needle = toSeek(value, encoding);
	from = +from;
	if (Number.isNaN(from)) from = last ? buffer.length : 0;
	from = Math.trunc(Math.max(Math.min(from, MAX_LENGTH), -MAX_LENGTH));
	if (from < 0) from += buffer.length;
	if (from < 0) {
		if (last) return -1;
		from = 0;
	}
	if (needle.length === 0) return Math.min(from, buffer.length);
	return findBytes(...spanOf(buffer), ...spanOf(needle), from, last);
}

function swap(buffer, width) {
	if (buffer.length % width !== 0) throw coded(RangeError, "ERR_INVALID_BUFFER_SIZE", `Buffer size must be a multiple of ${8 * width}-bits`);
	for (let at = 0; at < buffer.length; at += width) Uint8Array.prototype.reverse.call(Uint8Array.prototype.subarray.call(buffer, at, at + width));
	return buffer;
}

const inRange = (value, name, max) => {
	if (value === undefined) return;
	needInteger(value, name, 0, max);
};

Buffer.prototype = {
	__proto__: require("_numbers"),
	toString(encoding, start, end) {
		const from = start > 0 ? Math.trunc(start) : 0;
		if (from >= this.length) return "";
		const to = end === undefined || !(end < this.length) ? this.length : Math.trunc(end) || 0;
		if (to <= from) return "";
		return bytesToText(this.buffer, this.byteOffset + from, to - from, needEncoding(encoding));
	},
	toJSON() { return { type: "Buffer", data: Array.from(this) } },
	equals(other) {
		if (!isBytes(other)) throw wrongType("otherBuffer", "an instance of Buffer or Uint8Array", other);
		return this === other || this.length === other.length && compareBytes(...spanOf(this), ...spanOf(other)) === 0;
	},
	compare(target, targetStart, targetEnd, sourceStart, sourceEnd) {
		needBytes(target, "target");
		inRange(targetStart, "targetStart", Number.MAX_SAFE_INTEGER);
		inRange(targetEnd, "targetEnd", target.length);
		inRange(sourceStart, "sourceStart", Number.MAX_SAFE_INTEGER);
		inRange(sourceEnd, "sourceEnd", this.length);
		const sub = Uint8Array.prototype.subarray;
		return compareBytes(...spanOf(sub.call(this, sourceStart, sourceEnd)), ...spanOf(sub.call(target, targetStart, targetEnd)));
	},
	write(text, offset, length, encoding) {
		if (typeof text !== "string") throw coded(TypeError, "ERR_INVALID_ARG_TYPE", "argument must be a string");
		if (typeof offset === "string") [offset, length, encoding] = [0, this.length, offset];
		else if (typeof length === "string") [length, encoding] = [undefined, length];
		offset ??= 0;
		needInteger(offset, "offset", 0, this.length);
		if (length !== undefined) needInteger(length, "length", 0, this.length);
		length = Math.min(length ?? this.length, this.length - offset);
		encoding = needEncoding(encoding);
		let bytes = new Uint8Array(textToBytes(text, encoding));
		if (bytes.length > length) {
			// Part of a character is not written.
			let end = length;
			if (encoding === "utf8") while (end > 0 && (bytes[end] & 0xc0) === 0x80) end--;
			if (encoding === "utf16le") end &= ~1;
			bytes = bytes.subarray(0, end);
		}
		this.set(bytes, offset);
		return bytes.length;
	},
	fill(value, start, end, encoding) {
		if (typeof start === "string") [start, end, encoding] = [undefined, undefined, start];
		else if (typeof end === "string") [end, encoding] = [undefined, end];
		if (start !== undefined) needInteger(start, "offset", 0, Number.MAX_SAFE_INTEGER);
		if (end !== undefined) needInteger(end, "end", 0, this.length);
		start ??= 0;
		end ??= this.length;
		const pattern = toFill(value, encoding);
		if (typeof pattern === "number") return Uint8Array.prototype.fill.call(this, pattern, start, end);
		for (let at = start; at < end; at += pattern.length) {
			this.set(at + pattern.length > end ? Uint8Array.prototype.subarray.call(pattern, 0, end - at) : pattern, at);
		}
		return this;
	},
	copy(target, targetStart = 0, sourceStart = 0, sourceEnd = this.length) {
		needBytes(target, "target");
		targetStart = Math.trunc(targetStart) || 0;
		sourceStart = Math.trunc(sourceStart) || 0;
		if (targetStart < 0) throw outOfRange("targetStart", ">= 0", targetStart);
		if (sourceStart < 0 || sourceStart > this.length) throw outOfRange("sourceStart", `>= 0 && <= ${this.length}`, sourceStart);
		if (sourceEnd < 0) throw outOfRange("sourceEnd", ">= 0", sourceEnd);
		if (targetStart >= target.length || sourceStart >= sourceEnd) return 0;
		const part = Uint8Array.prototype.subarray.call(this, sourceStart, Math.min(sourceEnd, sourceStart + target.length - targetStart));
		target.set(part, targetStart);
		return part.length;
	},
	slice(start, end) {
		const from = bound(start, this.length, 0);
		return make(this.buffer, this.byteOffset + from, Math.max(bound(end, this.length, this.length) - from, 0));
	},
	indexOf(value, from, encoding) { return seek(this, value, from, encoding, false) },
	lastIndexOf(value, from, encoding) { return seek(this, value, from, encoding, true) },
	includes(value, from, encoding) { return seek(this, value, from, encoding, false) !== -1 },
	swap16() { return swap(this, 2) },
	swap32() { return swap(this, 4) },
	swap64() { return swap(this, 8) },
};
Buffer.prototype.subarray = Buffer.prototype.slice;
Buffer.prototype.toLocaleString = Buffer.prototype.toString;
Object.defineProperties(Buffer.prototype, {
	constructor: { value: Buffer, writable: true, configurable: true },
	parent: { get() { return this.buffer }, configurable: true },
	offset: { get() { return this.byteOffset }, configurable: true },
	[Symbol.for("nodejs.util.inspect.custom")]: {
		value() { return `<Buffer${this.length > 0 ? " " : ""}${require("_inspect").inspect.bytes(this)}>` }, writable: true, configurable: true,
	},
});

exports.Buffer = Buffer;
exports.SlowBuffer = Buffer.allocUnsafeSlow;
exports.kMaxLength = MAX_LENGTH;
exports.kStringMaxLength = 2 ** 29 - 24;
exports.constants = { MAX_LENGTH, MAX_STRING_LENGTH: exports.kStringMaxLength };
exports.INSPECT_MAX_BYTES = 50;
exports.isAscii = (input) => new Uint8Array(input.buffer ?? input, input.byteOffset ?? 0, input.byteLength).every((byte) => byte < 128);
exports.isUtf8 = (input) => {
	const bytes = Buffer.from(input.buffer ?? input, input.byteOffset ?? 0, input.byteLength);
	return Buffer.from(bytes.toString()).equals(bytes);
};
exports.transcode = (source, from, to) => Buffer.from(needBytes(source, "source").toString(from), to);
// These are globals, where the realm has them.
for (const name of ["atob", "btoa", "Blob", "File"]) {
	Object.defineProperty(exports, name, { get: () => globalThis[name], enumerable: true, configurable: true });
}
