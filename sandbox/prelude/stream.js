// What a body needs of ReadableStream (https://streams.spec.whatwg.org): all its
// data is there from the start, so a stream is one chunk, read or not.
(function ({ readOnly }) {
	const asyncIterator = Symbol.asyncIterator ?? Symbol.for("Symbol.asyncIterator");
	const secret = {};
	let newStream, isStream, takeStream, isDisturbed;

	class ReadableStream {
		#data; #reader = null; #disturbed = false; #onRead;
		constructor(token, data, onRead) {
			if (token !== secret) throw new TypeError("ReadableStream can't be constructed here: only bodies and blobs have one");
			this.#data = data;
			this.#onRead = onRead;
		}
		get locked() { return this.#reader !== null }
		#take() {
			this.#disturbed = true;
			this.#onRead?.();
			const data = this.#data;
			this.#data = null;
			return data === null || data.byteLength === 0 ? { value: undefined, done: true } : { value: new Uint8Array(data.slice(0)), done: false };
		}
		getReader(options) {
			if (options?.mode !== undefined) throw new TypeError("getReader: a mode is not supported");
			if (this.#reader !== null) throw new TypeError("The stream is locked to a reader");
			const stream = this;
			const mine = () => {
				if (stream.#reader !== reader) throw new TypeError("The reader has released its stream");
			};
			const reader = {
				async read() { mine(); return stream.#take() },
				async cancel() { mine(); stream.#take() },
				releaseLock() { if (stream.#reader === reader) stream.#reader = null },
			};
			return this.#reader = reader;
		}
		async cancel() {
			if (this.#reader !== null) throw new TypeError("The stream is locked to a reader");
			this.#take();
		}
		values() {
			const reader = this.getReader();
			return {
				async next() {
					const chunk = await reader.read();
					if (chunk.done) reader.releaseLock();
					return chunk;
				},
				async return(value) {
					await reader.cancel();
					reader.releaseLock();
					return { value, done: true };
				},
				[asyncIterator]() { return this },
			};
		}
		[asyncIterator]() { return this.values() }
		static {
			newStream = (data, onRead) => new ReadableStream(secret, data, onRead);
			isStream = (x) => typeof x === "object" && x !== null && #disturbed in x;
			isDisturbed = (stream) => stream.#disturbed || stream.#reader !== null;
			takeStream = (stream) => { // its data, all of it
				if (isDisturbed(stream)) throw new TypeError("The stream is locked or has been read from");
				const chunk = stream.#take();
				return chunk.done ? new ArrayBuffer(0) : chunk.value.buffer;
			};
		}
	}
	readOnly(ReadableStream);
	return { newStream, isStream, takeStream, isDisturbed };
})
