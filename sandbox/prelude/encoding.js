// TextEncoder, TextDecoder (https://encoding.spec.whatwg.org), atob, btoa.
(function ({ use, readOnly, encode, encodeInto, encodingName, decode, fromBase64, toBase64 }) {
	const exception = (message, name) => new (use("exception").DOMException)(message, name);
	const { dictionary, bytes, concat } = use("webidl");

	class TextEncoder {
		get encoding() { return "utf-8" }
		encode(input = "") { return new Uint8Array(encode(`${input}`)) }
		encodeInto(source, destination) {
			if (!(destination instanceof Uint8Array)) throw new TypeError("encodeInto: the destination must be a Uint8Array");
			const [data, read] = encodeInto(`${source}`, destination.byteLength);
			destination.set(new Uint8Array(data));
			return { read, written: data.byteLength };
		}
	}

	class TextDecoder {
		#encoding; #fatal; #ignoreBOM; #pending = null; #bomSeen = false;
		constructor(label = "utf-8", options = undefined) {
			const encoding = encodingName(`${label}`);
			if (encoding === null) throw new RangeError(`TextDecoder: the encoding "${label}" is not supported`);
			options = dictionary(options, "TextDecoder");
			this.#encoding = encoding;
			this.#fatal = !!options.fatal;
			this.#ignoreBOM = !!options.ignoreBOM;
		}
		get encoding() { return this.#encoding }
		get fatal() { return this.#fatal }
		get ignoreBOM() { return this.#ignoreBOM }
		decode(input, options) {
			let data = input === undefined ? new ArrayBuffer(0) : bytes(input);
			if (data === null) throw new TypeError("decode: the input must be an ArrayBuffer or a view on one");
			const stream = !!dictionary(options, "decode").stream;
			if (this.#pending !== null) data = concat([this.#pending, data]);
			this.#pending = null;
			const decoded = decode(this.#encoding, data, stream, this.#fatal);
			if (decoded === null) {
				this.#bomSeen = false;
				throw new TypeError(`The encoded data was not valid for encoding ${this.#encoding}`);
			}
			let [text, rest] = decoded;
			if (!this.#bomSeen && text !== "") {
				this.#bomSeen = true;
				if (!this.#ignoreBOM && this.#encoding !== "windows-1252" && text[0] === "\ufeff") text = text.slice(1);
			}
			if (stream) this.#pending = rest;
			else this.#bomSeen = false;
			return text;
		}
	}
	readOnly(TextEncoder, TextDecoder);

	const functions = {
		atob(data) {
			if (arguments.length === 0) throw new TypeError("atob: 1 argument required, but only 0 present");
			const text = fromBase64(`${data}`);
			if (text === null) throw exception("The string to be decoded is not correctly encoded.", "InvalidCharacterError");
			return text;
		},
		btoa(data) {
			if (arguments.length === 0) throw new TypeError("btoa: 1 argument required, but only 0 present");
			const text = toBase64(`${data}`);
			if (text === null) throw exception("Invalid character", "InvalidCharacterError");
			return text;
		},
	};
	return { TextEncoder, TextDecoder, atob: functions.atob, btoa: functions.btoa };
})
