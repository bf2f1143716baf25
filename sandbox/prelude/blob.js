// Blob, File (https://w3c.github.io/FileAPI), FormData (https://xhr.spec.whatwg.org).
(function ({ use, encode, decode, usv, stamp, readOnly }) {
	const { dictionary, bytes, concat, pairIterators } = use("webidl");

	const mediaType = (type) => {
		type = `${type}`;
		for (let i = 0; i < type.length; i++) {
			if (type[i] < " " || type[i] > "~") return "";
		}
		return type.toLowerCase();
	};

	let isBlob, isFile, dataOf;
	class Blob {
		#data; #type;
		constructor(parts = undefined, options = undefined) {
			options = dictionary(options, "Blob");
			const { endings = "transparent", type = "" } = options;
			if (endings !== "transparent" && endings !== "native") throw new TypeError(`Blob: endings can't be "${endings}"`);
			const buffers = [];
			if (parts !== undefined) {
				if (typeof parts !== "object" || parts === null || typeof parts[Symbol.iterator] !== "function") {
					throw new TypeError("Blob: the parts must be iterable");
				}
				for (const part of parts) {
					if (isBlob(part)) {
						buffers.push(part.#data);
						continue;
					}
					const data = bytes(part);
					buffers.push(data ?? encode(endings === "native" ? `${part}`.replace(/\r\n?/g, "\n") : `${part}`));
				}
			}
			this.#data = concat(buffers);
			this.#type = mediaType(type);
		}
		get size() { return this.#data.byteLength }
		get type() { return this.#type }
		async arrayBuffer() { return this.#data.slice(0) }
		async bytes() { return new Uint8Array(this.#data.slice(0)) }
		async text() { return decode("utf-8", this.#data, false, false)[0].replace(/^\ufeff/, "") }
		stream() { return use("stream").newStream(this.#data.slice(0)) }
		slice(start = 0, end = this.size, type = "") {
			return new Blob([this.#data.slice(start, end)], { type });
		}
		static {
			isBlob = (x) => typeof x === "object" && x !== null && #data in x;
			dataOf = (blob) => blob.#data;
		}
	}

	class File extends Blob {
		#name; #modified;
		constructor(parts, name, options = undefined) {
			if (arguments.length < 2) throw new TypeError("File: 2 arguments required");
			super(parts, options);
			this.#name = usv(`${name}`);
			const { lastModified } = dictionary(options, "File");
			this.#modified = lastModified === undefined ? stamp() : Math.trunc(Number(lastModified)) || 0;
		}
		get name() { return this.#name }
		get lastModified() { return this.#modified }
		get webkitRelativePath() { return "" }
		static { isFile = (x) => typeof x === "object" && x !== null && #name in x }
	}

	let entriesOf, isForm;
	const entry = (where, given, name, value, filename) => {
		if (given.length < 2) throw new TypeError(`${where}: 2 arguments required, but only ${given.length} present`);
		name = usv(`${name}`);
		if (!isBlob(value)) {
			if (given.length > 2) throw new TypeError(`${where}: only a Blob can have a file name`);
			return [name, usv(`${value}`)];
		}
		if (isFile(value) && filename === undefined) return [name, value];
		const options = { type: value.type };
		if (isFile(value)) options.lastModified = value.lastModified;
		return [name, new File([value], filename === undefined ? "blob" : `${filename}`, options)];
	};
	class FormData {
		#entries = [];
		constructor(form = undefined) {
			if (form !== undefined) throw new TypeError("FormData: there are no form elements here; leave the argument out");
		}
		append(name, value, filename) { this.#entries.push(entry("append", arguments, name, value, filename)) }
		set(name, value, filename) {
			const pair = entry("set", arguments, name, value, filename);
			const at = this.#entries.findIndex(([n]) => n === pair[0]);
			if (at < 0) {
				this.#entries.push(pair);
				return;
			}
			this.#entries[at] = pair;
			this.#entries = this.#entries.filter(([n], i) => n !== pair[0] || i === at);
		}
		delete(name) {
			name = usv(`${name}`);
			this.#entries = this.#entries.filter(([n]) => n !== name);
		}
		get(name) {
			name = usv(`${name}`);
			const pair = this.#entries.find(([n]) => n === name);
			return pair === undefined ? null : pair[1];
		}
		getAll(name) {
			name = usv(`${name}`);
			return this.#entries.filter(([n]) => n === name).map(([, v]) => v);
		}
		has(name) {
			name = usv(`${name}`);
			return this.#entries.some(([n]) => n === name);
		}
		static { entriesOf = (form) => form.#entries; isForm = (x) => typeof x === "object" && x !== null && #entries in x }
	}
	pairIterators(FormData, entriesOf);
	readOnly(Blob, File, FormData);
	return { Blob, File, FormData, isBlob, isFile, isForm, dataOf, entriesOf };
})
