// Request, Response, fetch (https://fetch.spec.whatwg.org).
(function ({ use, readOnly, parseURL, normalMethod, headerValue, fetch: send }) {
	const { dictionary, encode } = use("webidl");
	const { Headers, listOf, newHeaders } = use("headers");
	const { Body, extract, setBody, copyBody, takeBody, isUsable } = use("body");
	const { stringify } = JSON;
	const HREF = 0, PROTOCOL = 1, USERNAME = 2, PASSWORD = 3;

	const oneOf = (value, allowed, what) => {
		value = `${value}`;
		if (!allowed.includes(value)) throw new TypeError(`Request: ${what} can't be "${value}"`);
		return value;
	};
	const parsed = (url) => {
		url = `${url}`;
		const parts = parseURL(url);
		if (parts === null) throw new TypeError(`Failed to parse URL from ${url}`);
		if (parts[USERNAME] !== "" || parts[PASSWORD] !== "") {
			throw new TypeError(`Request cannot be constructed from a URL that includes credentials`);
		}
		return parts[HREF];
	};

	let signalOf;
	class Request extends Body {
		#method = "GET"; #url; #headers; #redirect = "follow"; #signal; #settings;
		constructor(input, init = undefined) {
			super();
			if (arguments.length === 0) throw new TypeError("Request: 1 argument required, but only 0 present");
			init = dictionary(init, "Request");
			const source = typeof input === "object" && input !== null && #method in input ? input : null;
			this.#url = source === null ? parsed(input) : source.#url;
			this.#settings = source === null ? {
				mode: "cors", credentials: "same-origin", cache: "default", referrer: "about:client", referrerPolicy: "",
				integrity: "", keepalive: false,
			} : { ...source.#settings };
			let signal = source === null ? null : source.#signal; // made when somebody asks
			if (source !== null) {
				this.#method = source.#method;
				this.#redirect = source.#redirect;
			}
			const { method, headers, redirect, signal: given, body = null } = init;
			for (const name in this.#settings) {
				const value = init[name];
				if (value !== undefined) this.#settings[name] = name === "keepalive" ? !!value : `${value}`;
			}
			if (redirect !== undefined) this.#redirect = oneOf(redirect, ["follow", "error", "manual"], "redirect");
			if (method !== undefined) {
				const normal = normalMethod(`${method}`);
				if (normal === null) throw new TypeError(`Request: "${method}" is not a method that can be sent`);
				this.#method = normal;
			}
			if (given !== undefined) {
				if (given !== null && !use("events").isSignal(given)) throw new TypeError("Request: signal must be an AbortSignal");
				signal = given;
			}
			this.#signal = signal === null ? null : use("events").AbortSignal.any([signal]);
			this.#headers = new Headers(headers ?? (source === null ? undefined : source.#headers));
			const hasBody = body !== null || source !== null && source.body !== null;
			if (hasBody && (this.#method === "GET" || this.#method === "HEAD")) {
				throw new TypeError("Request with GET/HEAD method cannot have body.");
			}
			if (body !== null) {
				const [data, type] = extract(body);
				setBody(this, data);
				if (type !== null && !this.#headers.has("content-type")) this.#headers.append("content-type", type);
			} else if (source !== null) {
				if (!isUsable(source)) throw new TypeError("Cannot construct a Request with a Request object that has already been used.");
				setBody(this, takeBody(source));
			}
		}
		get method() { return this.#method }
		get url() { return this.#url }
		get headers() { return this.#headers }
		get redirect() { return this.#redirect }
		get signal() { return this.#signal ??= new (use("events").AbortController)().signal }
		get mode() { return this.#settings.mode }
		get credentials() { return this.#settings.credentials }
		get cache() { return this.#settings.cache }
		get referrer() { return this.#settings.referrer }
		get referrerPolicy() { return this.#settings.referrerPolicy }
		get integrity() { return this.#settings.integrity }
		get keepalive() { return this.#settings.keepalive }
		get destination() { return "" }
		get duplex() { return "half" }
		clone() {
			const data = copyBody(this);
			const copy = new Request(this.#url, { method: this.#method, headers: this.#headers, redirect: this.#redirect, signal: this.signal });
			copy.#settings = { ...this.#settings };
			setBody(copy, data);
			return copy;
		}
		static { signalOf = (request) => request.#signal }
	}

	const isNullBody = (status) => status === 101 || status === 103 || status === 204 || status === 205 || status === 304;
	let newResponse;
	class Response extends Body {
		#status = 200; #text = ""; #headers; #type = "default"; #url = ""; #redirected = false;
		constructor(body = null, init = undefined) {
			super();
			this.#init(dictionary(init, "Response"));
			if (body === null) return;
			if (isNullBody(this.#status)) throw new TypeError(`Response: a response of status ${this.#status} can't have a body`);
			const [data, type] = extract(body);
			setBody(this, data);
			if (type !== null && !this.#headers.has("content-type")) this.#headers.append("content-type", type);
		}
		#init({ status = 200, statusText: text = "", headers }) {
			status = Number(status);
			if (!(status >= 200 && status <= 599)) throw new RangeError("Response: the status must be between 200 and 599");
			this.#status = Math.trunc(status);
			if (headerValue(`x${text}x`) === null) throw new TypeError("Response: invalid statusText");
			this.#text = `${text}`;
			this.#headers = new Headers(headers);
		}
		get type() { return this.#type }
		get url() { return this.#url }
		get redirected() { return this.#redirected }
		get status() { return this.#status }
		get ok() { return this.#status >= 200 && this.#status <= 299 }
		get statusText() { return this.#text }
		get headers() { return this.#headers }
		clone() {
			const data = copyBody(this);
			const copy = new Response();
			copy.#status = this.#status;
			copy.#text = this.#text;
			copy.#type = this.#type;
			copy.#url = this.#url;
			copy.#redirected = this.#redirected;
			copy.#headers = newHeaders(listOf(this.#headers).flat(), this.#type !== "default");
			setBody(copy, data);
			return copy;
		}
		static error() {
			const response = new Response();
			response.#type = "error";
			response.#status = 0;
			response.#headers = newHeaders([], true);
			return response;
		}
		static redirect(url, status = 302) {
			const parts = parseURL(`${url}`);
			if (parts === null) throw new TypeError(`Failed to parse URL from ${url}`);
			if (![301, 302, 303, 307, 308].includes(Number(status))) throw new RangeError(`Response.redirect: ${status} is not a redirect`);
			const response = new Response(null, { status });
			response.#headers = newHeaders(["location", parts[HREF]], true);
			return response;
		}
		static json(value, init) {
			const text = stringify(value);
			if (text === undefined) throw new TypeError("Response.json: the value can't be JSON");
			const response = new Response(null, init);
			if (isNullBody(response.#status)) throw new TypeError(`Response.json: a response of status ${response.#status} can't have a body`);
			setBody(response, encode(text));
			if (!response.#headers.has("content-type")) response.#headers.append("content-type", "application/json");
			return response;
		}
		static {
			newResponse = (raw, request) => {
				const response = new Response();
				const manual = request.redirect === "manual" && [301, 302, 303, 307, 308].includes(raw.status);
				response.#type = "basic";
				response.#status = raw.status;
				response.#text = raw.statusText;
				response.#url = manual ? request.url : raw.url;
				response.#redirected = raw.redirected;
				response.#headers = newHeaders(raw.headers, true);
				if (!isNullBody(raw.status) && request.method !== "HEAD") setBody(response, raw.body);
				return response;
			};
		}
	}
	// The members of the mixin are their own.
	for (const c of [Request, Response]) {
		for (const name of Object.getOwnPropertyNames(Body.prototype)) {
			if (name === "constructor") continue;
			Object.defineProperty(c.prototype, name, Object.getOwnPropertyDescriptor(Body.prototype, name));
		}
		Object.setPrototypeOf(c.prototype, Object.prototype);
	}
	readOnly(Request, Response);
	for (const name of ["error", "redirect", "json"]) Object.defineProperty(Response, name, { enumerable: true });

	// fetch is no async function: what the host notes as the caller must be the
	// caller of fetch.
	const start = (input, init) => {
		const request = new Request(input, init);
		const signal = signalOf(request);
		signal?.throwIfAborted();
		let headers = "";
		for (const [name, value] of listOf(request.headers)) headers += `${name}\0${value}\0`;
		const body = takeBody(request);
		return new Promise((resolve, reject) => {
			let cancel, ended = () => {};
			if (signal !== null) {
				const { onAbort, offAbort } = use("events");
				const aborted = () => {
					reject(signal.reason);
					cancel();
				};
				onAbort(signal, aborted);
				ended = () => offAbort(signal, aborted);
			}
			cancel = send(request.method, request.url, headers, body, request.redirect, (raw) => {
				ended();
				resolve(newResponse(raw, request));
			}, (problem) => {
				ended();
				reject(problem);
			});
		});
	};
	const functions = {
		fetch(input) {
			try {
				if (arguments.length === 0) throw new TypeError("fetch: 1 argument required, but only 0 present");
				return start(input, arguments[1]);
			} catch (error) {
				return Promise.reject(error);
			}
		},
	};
	return { Request, Response, fetch: functions.fetch };
})
