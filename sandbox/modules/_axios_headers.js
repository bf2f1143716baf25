"use strict";
// AxiosHeaders is an object whose own properties are the headers; names differ
// in case only if they are the same.
const METHODS = ["delete", "get", "head", "post", "put", "patch", "options"];

const findKey = (headers, name) => {
	name = String(name).toLowerCase();
	return Object.keys(headers).find((key) => key.toLowerCase() === name);
};

const normal = (value) => value === false || value === null || value === undefined ? value : Array.isArray(value) ? value.map(normal) : String(value);

class AxiosHeaders {
	constructor(headers) { if (headers) this.set(headers) }
	set(name, value, rewrite) {
		if (typeof name === "string" && value === undefined && name.includes("\n")) {
			for (const line of name.split("\n")) {
				const at = line.indexOf(":");
				if (at > 0) this.set(line.slice(0, at).trim(), line.slice(at + 1).trim());
			}
			return this;
		}
		if (typeof name === "object" && name !== null) {
			const entries = typeof name[Symbol.iterator] === "function" ? [...name] : Object.entries(name);
			for (const [key, one] of entries) this.#one(key, one, value);
			return this;
		}
		this.#one(name, value, rewrite);
		return this;
	}
	#one(name, value, rewrite) {
		name = String(name).trim();
		if (name === "") return;
		const key = findKey(this, name);
		if (key === undefined || this[key] === undefined || rewrite === true || rewrite === undefined && this[key] !== false) {
			this[key ?? name] = normal(value);
		}
	}
	get(name, parser) {
		const key = findKey(this, name);
		if (key === undefined) return undefined;
		if (!parser) return this[key];
		return parser instanceof RegExp ? parser.exec(this[key]) : typeof parser === "function" ? parser.call(this, this[key], key) : this[key];
	}
	has(name) {
		const key = findKey(this, name);
		return key !== undefined && this[key] !== undefined;
	}
	delete(name) {
		let deleted = false;
		for (const one of [name].flat()) {
			const key = findKey(this, one);
			if (key !== undefined) deleted = delete this[key];
		}
		return deleted;
	}
	clear() {
		for (const key of Object.keys(this)) delete this[key];
		return true;
	}
	normalize() { return this }
	concat(...more) { return AxiosHeaders.concat(this, ...more) }
	toJSON(asStrings) {
		const object = Object.create(null);
		for (const [name, value] of Object.entries(this)) {
			if (value !== null && value !== undefined && value !== false) object[name] = asStrings && Array.isArray(value) ? value.join(", ") : value;
		}
		return object;
	}
	toString() { return Object.entries(this.toJSON()).map(([name, value]) => `${name}: ${value}`).join("\n") }
	getSetCookie() { return this.get("set-cookie") ?? [] }
	[Symbol.iterator]() { return Object.entries(this.toJSON())[Symbol.iterator]() }
	get [Symbol.toStringTag]() { return "AxiosHeaders" }
	static from(value) { return value instanceof AxiosHeaders ? value : new AxiosHeaders(value) }
	static concat(first, ...more) {
		const headers = new AxiosHeaders(first);
		for (const one of more) headers.set(one);
		return headers;
	}
	// merged takes the headers of a merged config: those of all methods, those of
	// this one, and the request's own.
	static merged(config, method) {
		const { common, ...rest } = config ?? {};
		const headers = new AxiosHeaders(common);
		if (rest[method]) headers.set(rest[method]);
		for (const name of METHODS) if (typeof rest[name] === "object") delete rest[name];
		return headers.set(rest);
	}
}
for (const name of ["Content-Type", "Content-Length", "Accept", "Accept-Encoding", "User-Agent", "Authorization"]) {
	const method = name.replace("-", "");
	const define = (key, value) => Object.defineProperty(AxiosHeaders.prototype, key, { value, writable: true, configurable: true });
	define(`get${method}`, function (parser) { return this.get(name, parser) });
	define(`set${method}`, function (value, rewrite) { return this.set(name, value, rewrite) });
	define(`has${method}`, function () { return this.has(name) });
}
exports.AxiosHeaders = AxiosHeaders;
