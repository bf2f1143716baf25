"use strict";
// The methods of Buffer that read and write numbers. They are the prototype of
// Buffer's own: to copy so many takes longer than most tools run.
const { coded, wrongType, outOfRange, needInteger } = require("_errors");
const {
	getUint8, getInt8, getUint16, getInt16, getUint32, getInt32, getBigUint64, getBigInt64, getFloat32, getFloat64,
	setUint8, setInt8, setUint16, setInt16, setUint32, setInt32, setBigUint64, setBigInt64, setFloat32, setFloat64,
} = DataView.prototype;

// What a number of so many bits may be: signed, bits. Messages say it as node's do.
const U8 = [false, 8], I8 = [true, 8], U16 = [false, 16], I16 = [true, 16], U32 = [false, 32], I32 = [true, 32], U64 = [false, 64], I64 = [true, 64];

function check(value, [signed, bits]) {
	const big = typeof value === "bigint";
	const two = big ? 2n : 2, n = big ? BigInt(bits) : bits, one = big ? 1n : 1, zero = big ? 0n : 0;
	const min = signed ? -(two ** (n - one)) : zero, end = signed ? two ** (n - one) : two ** n;
	if (!(value >= end || value < min)) return;
	const suffix = big || bits > 48 ? "n" : "";
	let range = `>= ${min} and <= ${end - one}`;
	if (bits > 32) {
		range = signed ? `>= -(2${suffix} ** ${bits - 1}${suffix}) and < 2${suffix} ** ${bits - 1}${suffix}`
			: `>= 0${suffix} and < 2${suffix} ** ${bits}${suffix}`;
	}
	throw outOfRange("value", range, value);
}

function place(bytes, offset, width) {
	const last = bytes.length - width;
	if (Number.isInteger(offset) && offset >= 0 && offset <= last) return offset;
	if (typeof offset !== "number") throw wrongType("offset", "of type number", offset);
	if (!Number.isInteger(offset)) throw outOfRange("offset", "an integer", offset);
	if (last < 0) throw coded(RangeError, "ERR_BUFFER_OUT_OF_BOUNDS", "Attempt to access memory outside buffer bounds");
	throw outOfRange("offset", `>= 0 and <= ${last}`, offset);
}

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const read = (bytes, get, offset, width, little) => get.call(viewOf(bytes), place(bytes, offset, width), little);

function write(bytes, put, value, offset, width, little, allowed) {
	if (allowed === U64 || allowed === I64) {
		if (typeof value !== "bigint") throw wrongType("value", "of type bigint", value);
	} else value = +value;
	if (allowed !== null) check(value, allowed);
	put.call(viewOf(bytes), place(bytes, offset, width), value, little);
	return offset + width;
}

function readSome(bytes, offset, width, little, signed) {
	if (offset === undefined) throw wrongType("offset", "of type number", offset);
	needInteger(width, "byteLength", 1, 6);
	place(bytes, offset, width);
	let value = 0;
	for (let i = 0; i < width; i++) value = value * 256 + bytes[offset + (little ? width - 1 - i : i)];
	return signed && value >= 2 ** (8 * width - 1) ? value - 2 ** (8 * width) : value;
}

function writeSome(bytes, value, offset, width, little, signed) {
	needInteger(width, "byteLength", 1, 6);
	value = +value;
	check(value, [signed, 8 * width]);
	place(bytes, offset, width);
	if (value < 0) value += 2 ** (8 * width);
	for (let i = 0; i < width; i++) {
		bytes[offset + (little ? i : width - 1 - i)] = value % 256;
		value = Math.floor(value / 256);
	}
	return offset + width;
}

const numbers = {
	__proto__: Uint8Array.prototype,
	readUInt8(offset = 0) { return read(this, getUint8, offset, 1, true) },
	writeUInt8(value, offset = 0) { return write(this, setUint8, value, offset, 1, true, U8) },
	readInt8(offset = 0) { return read(this, getInt8, offset, 1, true) },
	writeInt8(value, offset = 0) { return write(this, setInt8, value, offset, 1, true, I8) },
	readUInt16LE(offset = 0) { return read(this, getUint16, offset, 2, true) },
	writeUInt16LE(value, offset = 0) { return write(this, setUint16, value, offset, 2, true, U16) },
	readUInt16BE(offset = 0) { return read(this, getUint16, offset, 2, false) },
	writeUInt16BE(value, offset = 0) { return write(this, setUint16, value, offset, 2, false, U16) },
	readInt16LE(offset = 0) { return read(this, getInt16, offset, 2, true) },
	writeInt16LE(value, offset = 0) { return write(this, setInt16, value, offset, 2, true, I16) },
	readInt16BE(offset = 0) { return read(this, getInt16, offset, 2, false) },
	writeInt16BE(value, offset = 0) { return write(this, setInt16, value, offset, 2, false, I16) },
	readUInt32LE(offset = 0) { return read(this, getUint32, offset, 4, true) },
	writeUInt32LE(value, offset = 0) { return write(this, setUint32, value, offset, 4, true, U32) },
	readUInt32BE(offset = 0) { return read(this, getUint32, offset, 4, false) },
	writeUInt32BE(value, offset = 0) { return write(this, setUint32, value, offset, 4, false, U32) },
	readInt32LE(offset = 0) { return read(this, getInt32, offset, 4, true) },
	writeInt32LE(value, offset = 0) { return write(this, setInt32, value, offset, 4, true, I32) },
	readInt32BE(offset = 0) { return read(this, getInt32, offset, 4, false) },
	writeInt32BE(value, offset = 0) { return write(this, setInt32, value, offset, 4, false, I32) },
	readBigUInt64LE(offset = 0) { return read(this, getBigUint64, offset, 8, true) },
	writeBigUInt64LE(value, offset = 0) { return write(this, setBigUint64, value, offset, 8, true, U64) },
	readBigUInt64BE(offset = 0) { return read(this, getBigUint64, offset, 8, false) },
	writeBigUInt64BE(value, offset = 0) { return write(this, setBigUint64, value, offset, 8, false, U64) },
	readBigInt64LE(offset = 0) { return read(this, getBigInt64, offset, 8, true) },
	writeBigInt64LE(value, offset = 0) { return write(this, setBigInt64, value, offset, 8, true, I64) },
	readBigInt64BE(offset = 0) { return read(this, getBigInt64, offset, 8, false) },
	writeBigInt64BE(value, offset = 0) { return write(this, setBigInt64, value, offset, 8, false, I64) },
	readFloatLE(offset = 0) { return read(this, getFloat32, offset, 4, true) },
	writeFloatLE(value, offset = 0) { return write(this, setFloat32, value, offset, 4, true, null) },
	readFloatBE(offset = 0) { return read(this, getFloat32, offset, 4, false) },
	writeFloatBE(value, offset = 0) { return write(this, setFloat32, value, offset, 4, false, null) },
	readDoubleLE(offset = 0) { return read(this, getFloat64, offset, 8, true) },
	writeDoubleLE(value, offset = 0) { return write(this, setFloat64, value, offset, 8, true, null) },
	readDoubleBE(offset = 0) { return read(this, getFloat64, offset, 8, false) },
	writeDoubleBE(value, offset = 0) { return write(this, setFloat64, value, offset, 8, false, null) },
	readUIntLE(offset, width) { return readSome(this, offset, width, true, false) },
	writeUIntLE(value, offset, width) { return writeSome(this, value, offset, width, true, false) },
	readUIntBE(offset, width) { return readSome(this, offset, width, false, false) },
	writeUIntBE(value, offset, width) { return writeSome(this, value, offset, width, false, false) },
	readIntLE(offset, width) { return readSome(this, offset, width, true, true) },
	writeIntLE(value, offset, width) { return writeSome(this, value, offset, width, true, true) },
	readIntBE(offset, width) { return readSome(this, offset, width, false, true) },
	writeIntBE(value, offset, width) { return writeSome(this, value, offset, width, false, true) },
};
numbers.readUint8 = numbers.readUInt8; numbers.writeUint8 = numbers.writeUInt8;
numbers.readUint16LE = numbers.readUInt16LE; numbers.writeUint16LE = numbers.writeUInt16LE;
numbers.readUint16BE = numbers.readUInt16BE; numbers.writeUint16BE = numbers.writeUInt16BE;
numbers.readUint32LE = numbers.readUInt32LE; numbers.writeUint32LE = numbers.writeUInt32LE;
numbers.readUint32BE = numbers.readUInt32BE; numbers.writeUint32BE = numbers.writeUInt32BE;
numbers.readBigUint64LE = numbers.readBigUInt64LE; numbers.writeBigUint64LE = numbers.writeBigUInt64LE;
numbers.readBigUint64BE = numbers.readBigUInt64BE; numbers.writeBigUint64BE = numbers.writeBigUInt64BE;
numbers.readUintLE = numbers.readUIntLE; numbers.writeUintLE = numbers.writeUIntLE;
numbers.readUintBE = numbers.readUIntBE; numbers.writeUintBE = numbers.writeUIntBE;
module.exports = numbers;
