// The body mixin (https://fetch.spec.whatwg.org/#bodies) of Request and Response.
(function ({ use, loaded, encode, decode, boundary, parseMultipart, formDecode, bodyKind }) {
	const { bytes, concat } = use("webidl");
	const { parse } = JSON;

	const escaped = (name) => name.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");
	const lines = (text) => text.replace(/\r\n|\r|\n/g, "\r\n");
	const multipart = (form) => {
		const mark = boundary(), parts = [];
		const { entriesOf, isBlob, dataOf } = use("blob");
		for (const [name, value] of entriesOf(form)) {
			const head = `--${mark}\r\nContent-Disposition: form-data; name="${escaped(lines(name))}"`;
			if (isBlob(value)) {
				parts.push(encode(`${head}; filename="${escaped(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}\r\n\r\n`));
				parts.push(dataOf(value), encode("\r\n"));
			} else {
				parts.push(encode(`${head}\r\n\r\n${lines(value)}\r\n`));
			}
		}
		parts.push(encode(`--${mark}--\r\n`));
		return [concat(parts), `multipart/form-data; boundary=${mark}`];
	};

	// extract turns what may be given as a body into its bytes and content type. It
	// can't be of a class whose prelude hasn't run.
	const extract = (body) => {
		if (typeof body === "object") {
			const blobs = loaded("blob"), streams = loaded("stream"), urls = loaded("url");
			if (blobs?.isBlob(body)) return [blobs.dataOf(body), body.type || null];
			if (blobs?.isForm(body)) return multipart(body);
			if (streams?.isStream(body)) return [streams.takeStream(body), null];
			if (urls !== null && body instanceof urls.URLSearchParams) {
				return [encode(urls.URLSearchParams.prototype.toString.call(body)), "application/x-www-form-urlencoded;charset=UTF-8"];
			}
			const data = bytes(body);
			if (data !== null) return [data, null];
		}
		return [encode(`${body}`), "text/plain;charset=UTF-8"];
	};

	const utf8 = (data) => {
		const [text] = decode("utf-8", data, false, false);
		return text[0] === "\ufeff" ? text.slice(1) : text;
	};

	const readForm = (data, type) => {
		const { FormData, File } = use("blob"), form = new FormData();
		switch (bodyKind(type)) {
			case "urlencoded": {
				const flat = formDecode(utf8(data));
				for (let i = 0; i < flat.length; i += 2) form.append(flat[i], flat[i + 1]);
				return form;
			}
			case "multipart": {
				const parts = parseMultipart(data, type);
				if (parts === null) throw new TypeError("formData: the body is not valid multipart/form-data");
				for (const { name, filename, type, data } of parts) {
					if (filename === null) form.append(name, utf8(data));
					else form.append(name, new File([data], filename, { type }));
				}
				return form;
			}
		}
		throw new TypeError(`formData: the content type must be multipart/form-data or application/x-www-form-urlencoded, not "${type}"`);
	};

	let setBody, copyBody, isUsable, takeBody;
	class Body {
		#data = null; #used = false; #stream = null;
		#consume() {
			if (!isUsable(this)) throw new TypeError("Body is unusable: Body has already been read");
			if (this.#data === null) return new ArrayBuffer(0);
			this.#used = true;
			const data = this.#data;
			this.#data = new ArrayBuffer(0); // it is read once: nothing has to keep it
			return data;
		}
		get body() {
			if (this.#data === null) return null;
			return this.#stream ??= use("stream").newStream(this.#used ? new ArrayBuffer(0) : this.#data, () => { this.#used = true });
		}
		get bodyUsed() { return this.#used }
		async arrayBuffer() { return this.#consume().slice(0) }
		async bytes() { return new Uint8Array(this.#consume().slice(0)) }
		async text() { return utf8(this.#consume()) }
		async json() { return parse(utf8(this.#consume())) }
		async blob() { return new (use("blob").Blob)([this.#consume()], { type: this.headers.get("content-type") ?? "" }) }
		async formData() {
			const type = this.headers.get("content-type") ?? "";
			return readForm(this.#consume(), type);
		}
		static {
			setBody = (target, data) => { target.#data = data };
			isUsable = (source) => !source.#used && (source.#stream === null || !use("stream").isDisturbed(source.#stream));
			// copyBody is the data for a clone; takeBody leaves a used body behind.
			copyBody = (source) => {
				if (!isUsable(source)) throw new TypeError("clone: Body has already been read");
				return source.#data;
			};
			takeBody = (source) => source.#data === null ? null : source.#consume();
		}
	}
	return { Body, extract, setBody, copyBody, takeBody, isUsable };
})
