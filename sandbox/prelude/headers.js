// Headers (https://fetch.spec.whatwg.org/#headers-class). A list of pairs with
// names in lower case; what may stand in it the host decides.
(function ({ use, headerName, headerValue, readOnly }) {
	const { pairIterators, pairsOf } = use("webidl");
	let listOf, sortedOf, newHeaders;

	const nameOf = (name) => {
		const normal = headerName(`${name}`);
		if (normal === null) throw new TypeError(`Headers: "${name}" is not a valid header name`);
		return normal;
	};
	const valueOf = (name, value) => {
		const normal = headerValue(`${value}`);
		if (normal === null) throw new TypeError(`Headers: the value of "${name}" holds what a header can't`);
		return normal;
	};

	class Headers {
		#list = []; #immutable = false; #sorted = null;
		constructor(init = undefined) {
			if (init === undefined) return;
			if (typeof init !== "object" && typeof init !== "function" || init === null) {
				throw new TypeError("Headers: the argument must be an object or an iterable of pairs");
			}
			const own = #list in init;
			for (const [name, value] of own ? init.#list : pairsOf(init, "Headers")) this.append(name, value);
		}
		#changing() {
			if (this.#immutable) throw new TypeError("Headers: these are immutable");
			this.#sorted = null;
		}
		append(name, value) {
			needs(arguments, 2, "append");
			name = nameOf(name);
			value = valueOf(name, value);
			this.#changing();
			this.#list.push([name, value]);
		}
		set(name, value) {
			needs(arguments, 2, "set");
			name = nameOf(name);
			value = valueOf(name, value);
			this.#changing();
			const at = this.#list.findIndex(([n]) => n === name);
			if (at < 0) {
				this.#list.push([name, value]);
				return;
			}
			this.#list[at] = [name, value];
			this.#list = this.#list.filter(([n], i) => n !== name || i === at);
		}
		delete(name) {
			needs(arguments, 1, "delete");
			name = nameOf(name);
			this.#changing();
			this.#list = this.#list.filter(([n]) => n !== name);
		}
		get(name) {
			needs(arguments, 1, "get");
			name = nameOf(name);
			let value = null;
			for (const [n, v] of this.#list) {
				if (n === name) value = value === null ? v : `${value}, ${v}`;
			}
			return value;
		}
		has(name) {
			needs(arguments, 1, "has");
			name = nameOf(name);
			return this.#list.some(([n]) => n === name);
		}
		getSetCookie() { return this.#list.filter(([n]) => n === "set-cookie").map(([, v]) => v) }
		static {
			listOf = (headers) => headers.#list;
			sortedOf = (headers) => {
				if (headers.#sorted !== null) return headers.#sorted;
				const sorted = [], at = new Map();
				for (const [name, value] of headers.#list) {
					if (name === "set-cookie" || !at.has(name)) {
						at.set(name, sorted.length);
						sorted.push([name, value]);
					} else {
						sorted[at.get(name)][1] += `, ${value}`;
					}
				}
				sorted.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
				return headers.#sorted = sorted;
			};
			// newHeaders makes those of a response: nobody may change them.
			newHeaders = (flat, immutable) => {
				const headers = new Headers();
				for (let i = 0; i < flat.length; i += 2) {
					const name = headerName(flat[i]), value = headerValue(flat[i + 1]);
					if (name !== null && value !== null) headers.#list.push([name, value]);
				}
				headers.#immutable = immutable;
				return headers;
			};
		}
	}
	const needs = (given, n, where) => {
		if (given.length < n) throw new TypeError(`${where}: ${n} argument${n > 1 ? "s" : ""} required, but only ${given.length} present`);
	};
	pairIterators(Headers, sortedOf);
	readOnly(Headers);
	return { Headers, listOf, newHeaders };
})
