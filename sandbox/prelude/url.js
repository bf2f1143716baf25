// URL, URLSearchParams (https://url.spec.whatwg.org). A URL is kept as its parts,
// which the host's parser makes.
(function ({ use, parseURL, setURL, formDecode, formEncode, usv, readOnly }) {
	const { pairIterators, pairsOf } = use("webidl");
	const HREF = 0, PROTOCOL = 1, USERNAME = 2, PASSWORD = 3, HOST = 4, HOSTNAME = 5, PORT = 6, PATHNAME = 7, SEARCH = 8, HASH = 9, ORIGIN = 10;

	let listOf, attach, refill;
	class URLSearchParams {
		#list = []; #update = null;
		constructor(init = "") {
			if (typeof init === "object" && init !== null || typeof init === "function") {
				for (const [name, value] of pairsOf(init, "URLSearchParams")) this.#list.push([usv(name), usv(value)]);
				return;
			}
			init = `${init}`;
			this.#list = decoded(init[0] === "?" ? init.slice(1) : init);
		}
		get size() { return this.#list.length }
		append(name, value) {
			needs(arguments, 2, "append");
			this.#list.push([usv(`${name}`), usv(`${value}`)]);
			this.#update?.();
		}
		delete(name, value) {
			needs(arguments, 1, "delete");
			name = usv(`${name}`);
			if (value !== undefined) value = usv(`${value}`);
			this.#list = this.#list.filter(([n, v]) => n !== name || value !== undefined && v !== value);
			this.#update?.();
		}
		get(name) {
			needs(arguments, 1, "get");
			name = usv(`${name}`);
			const pair = this.#list.find(([n]) => n === name);
			return pair === undefined ? null : pair[1];
		}
		getAll(name) {
			needs(arguments, 1, "getAll");
			name = usv(`${name}`);
			return this.#list.filter(([n]) => n === name).map(([, v]) => v);
		}
		has(name, value) {
			needs(arguments, 1, "has");
			name = usv(`${name}`);
			if (value !== undefined) value = usv(`${value}`);
			return this.#list.some(([n, v]) => n === name && (value === undefined || v === value));
		}
		set(name, value) {
			needs(arguments, 2, "set");
			name = usv(`${name}`);
			value = usv(`${value}`);
			const at = this.#list.findIndex(([n]) => n === name);
			if (at < 0) {
				this.#list.push([name, value]);
			} else {
				this.#list[at][1] = value;
				this.#list = this.#list.filter(([n], i) => n !== name || i === at);
			}
			this.#update?.();
		}
		sort() {
			this.#list.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
			this.#update?.();
		}
		toString() { return encoded(this.#list) }
		static {
			listOf = (params) => params.#list;
			attach = (params, update) => { params.#update = update };
			refill = (params, query) => { params.#list = decoded(query) };
		}
	}
	const decoded = (text) => {
		const flat = formDecode(text), list = [];
		for (let i = 0; i < flat.length; i += 2) list.push([flat[i], flat[i + 1]]);
		return list;
	};
	const encoded = (list) => {
		let text = "";
		for (const [name, value] of list) text += `${text === "" ? "" : "&"}${formEncode(name)}=${formEncode(value)}`;
		return text;
	};
	const needs = (given, n, where) => {
		if (given.length < n) throw new TypeError(`${where}: ${n} argument${n > 1 ? "s" : ""} required, but only ${given.length} present`);
	};
	pairIterators(URLSearchParams, listOf);

	const invalid = (input) => {
		const error = new TypeError("Invalid URL");
		error.code = "ERR_INVALID_URL";
		error.input = input;
		return error;
	};
	class URL {
		#parts; #params = null;
		constructor(url, base = undefined) {
			needs(arguments, 1, "URL");
			url = `${url}`;
			this.#parts = base === undefined ? parseURL(url) : parseURL(url, `${base}`);
			if (this.#parts === null) throw invalid(url);
		}
		static canParse(url, base) {
			needs(arguments, 1, "canParse");
			return (base === undefined ? parseURL(`${url}`) : parseURL(`${url}`, `${base}`)) !== null;
		}
		static parse(url, base) {
			needs(arguments, 1, "parse");
			return URL.canParse(url, base) ? new URL(url, base) : null;
		}
		#set(part, value) {
			const parts = setURL(this.#parts[HREF], part, `${value}`);
			if (parts !== null) this.#parts = parts;
		}
		#query() { if (this.#params !== null) refill(this.#params, this.#parts[SEARCH].slice(1)) }
		get href() { return this.#parts[HREF] }
		set href(value) {
			const parts = parseURL(`${value}`);
			if (parts === null) throw invalid(`${value}`);
			this.#parts = parts;
			this.#query();
		}
		get origin() { return this.#parts[ORIGIN] }
		get protocol() { return this.#parts[PROTOCOL] }
		set protocol(value) { this.#set("protocol", value) }
		get username() { return this.#parts[USERNAME] }
		set username(value) { this.#set("username", value) }
		get password() { return this.#parts[PASSWORD] }
		set password(value) { this.#set("password", value) }
		get host() { return this.#parts[HOST] }
		set host(value) { this.#set("host", value) }
		get hostname() { return this.#parts[HOSTNAME] }
		set hostname(value) { this.#set("hostname", value) }
		get port() { return this.#parts[PORT] }
		set port(value) { this.#set("port", value) }
		get pathname() { return this.#parts[PATHNAME] }
		set pathname(value) { this.#set("pathname", value) }
		get search() { return this.#parts[SEARCH] }
		set search(value) {
			this.#set("search", value);
			this.#query();
		}
		get searchParams() {
			if (this.#params === null) {
				this.#params = new URLSearchParams(this.#parts[SEARCH]);
				attach(this.#params, () => this.#set("search", encoded(listOf(this.#params))));
			}
			return this.#params;
		}
		get hash() { return this.#parts[HASH] }
		set hash(value) { this.#set("hash", value) }
		toString() { return this.#parts[HREF] }
		toJSON() { return this.#parts[HREF] }
	}
	readOnly(URL, URLSearchParams);
	return { URL, URLSearchParams };
})
