"use strict";
const { coded, wrongType } = require("_errors");
const { Buffer } = require("buffer");

// incomplete is how many bytes at the end of data begin a character or, for
// base64, a group that isn't whole yet.
const incomplete = {
	utf8(data) {
		for (let back = 1; back <= Math.min(3, data.length); back++) {
			const byte = data[data.length - back];
			if ((byte & 0xc0) === 0x80) continue;
			const need = byte >= 0xf0 && byte <= 0xf4 ? 4 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xc2 && byte < 0xe0 ? 2 : 1;
			if (back >= need) return 0;
			// Only what could still become a character waits.
			return data.toString("utf8", data.length - back).length === 1 ? back : 0;
		}
		return 0;
	},
	utf16le(data) {
		const odd = data.length % 2;
		if (data.length >= 2 + odd) {
			const high = data[data.length - 1 - odd];
			if (high >= 0xd8 && high <= 0xdb) return 2 + odd;
		}
		return odd;
	},
	base64: (data) => data.length % 3,
	base64url: (data) => data.length % 3,
};

class StringDecoder {
	#rest = Buffer.alloc(0);
	constructor(encoding = "utf8") {
		if (!Buffer.isEncoding(encoding)) throw coded(TypeError, "ERR_UNKNOWN_ENCODING", `Unknown encoding: ${String(encoding)}`);
		const name = encoding.toLowerCase();
		this.encoding = { "utf-8": "utf8", binary: "latin1", "utf-16le": "utf16le", ucs2: "utf16le", "ucs-2": "utf16le" }[name] ?? name;
	}
	write(data) {
		if (typeof data === "string") return data;
		if (!ArrayBuffer.isView(data)) throw wrongType("buf", "an instance of Buffer, TypedArray, or DataView", data);
		data = Buffer.concat([this.#rest, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
		const rest = incomplete[this.encoding]?.(data) ?? 0;
		this.#rest = data.subarray(data.length - rest);
		return data.toString(this.encoding, 0, data.length - rest);
	}
	end(data) {
		const text = data === undefined ? "" : this.write(data);
		const last = this.#rest.toString(this.encoding);
		this.#rest = Buffer.alloc(0);
		return text + last;
	}
}
exports.StringDecoder = StringDecoder;
