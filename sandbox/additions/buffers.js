// ArrayBuffer.prototype.transfer (ES2024), and 16-bit floats (ES2025) without
// Float16Array, which only an engine can make.
(function (define, detach, isDetached) {
	"use strict";
	function transfer(buffer, length) {
		const size = length === undefined ? buffer.byteLength : Math.trunc(Number(length)) || 0;
		if (isDetached(buffer)) throw new TypeError("the ArrayBuffer is detached");
		const moved = new ArrayBuffer(size);
		new Uint8Array(moved).set(new Uint8Array(buffer, 0, Math.min(size, buffer.byteLength)));
		detach(buffer);
		return moved;
	}
	define(ArrayBuffer.prototype, {
		transfer(length = undefined) { return transfer(this, length); },
		transferToFixedLength(length = undefined) { return transfer(this, length); },
	});
	Object.defineProperty(ArrayBuffer.prototype, "detached", {
		get: Object.getOwnPropertyDescriptor({ get detached() { return isDetached(this); } }, "detached").get, configurable: true,
	});

	// round is to the nearest of 11 significant bits, half to even.
	function round(x) {
		x = Number(x);
		const size = Math.abs(x);
		if (!(size > 0 && size < Infinity)) return x;
		if (size >= 65520) return x < 0 ? -Infinity : Infinity;
		const quantum = 2 ** (Math.max(exponent(size), -14) - 10);
		const units = size / quantum, floor = Math.floor(units), rest = units - floor;
		const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
		return x < 0 ? -(rounded * quantum) : rounded * quantum;
	}
	function exponent(size) {
		let e = Math.floor(Math.log2(size));
		while (2 ** e > size) e--;
		while (2 ** (e + 1) <= size) e++;
		return e;
	}
	function toBits(x) {
		x = round(x);
		const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0, size = Math.abs(x);
		if (x !== x) return 0x7e00;
		if (size === Infinity) return sign | 0x7c00;
		if (size < 2 ** -14) return sign | (size * 2 ** 24);
		const e = exponent(size);
		return sign | ((e + 15) << 10) | (size / 2 ** (e - 10) - 1024);
	}
	function fromBits(bits) {
		const sign = bits & 0x8000 ? -1 : 1, e = (bits >> 10) & 31, fraction = bits & 1023;
		if (e === 31) return fraction ? NaN : sign * Infinity;
		return sign * (e === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (e - 25));
	}
	define(Math, { f16round(x) { return round(x); } });
	define(DataView.prototype, {
		getFloat16(offset, little = false) { return fromBits(this.getUint16(offset, little)); },
		setFloat16(offset, value, little = false) { this.setUint16(offset, toBits(value), little); },
	});
})
