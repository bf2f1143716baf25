"use strict";
const { AxiosError } = require("_axios_errors");
const { AxiosHeaders } = require("_axios_headers");

const isPlain = (value) => {
	if (typeof value !== "object" || value === null) return false;
	const proto = Object.getPrototypeOf(value);
	return (proto === Object.prototype || proto === null) && !(Symbol.toStringTag in value);
};
const isObject = (value) => typeof value === "object" && value !== null;

// merged copies plain objects and lists, and keeps what else there is.
function merged(a, b) {
	if (isPlain(a) && isPlain(b)) {
		const result = { ...a };
		for (const [key, value] of Object.entries(b)) {
			if (key !== "__proto__" && value !== undefined) result[key] = merged(result[key], value);
		}
		return result;
	}
	if (isPlain(b)) return merged({}, b);
	return Array.isArray(b) ? b.slice() : b;
}

// What a request says of these counts alone; headers are merged whatever the
// case of their names.
const OWN = new Set(["url", "method", "data"]);
const DEEP = new Set(["headers", "params", "auth", "transitional"]);

function mergeConfig(defaults, config) {
	const result = {};
	for (const key of Object.keys({ ...defaults, ...config })) {
		if (key === "__proto__" || key === "constructor") continue;
		const a = defaults[key], b = config[key];
		let value = b;
		if (key === "headers") value = mergeHeaders(a, b);
		else if (b === undefined) value = OWN.has(key) ? undefined : merged(undefined, a);
		else if (DEEP.has(key) || isPlain(a) && isPlain(b)) value = merged(a, b);
		else if (!OWN.has(key)) value = merged(undefined, b);
		if (value !== undefined) result[key] = value;
	}
	return result;
}

function mergeHeaders(a, b) {
	const result = merged({}, { ...(a instanceof AxiosHeaders ? a.toJSON() : a) });
	for (const [name, value] of Object.entries(b instanceof AxiosHeaders ? b.toJSON() : b ?? {})) {
		if (isPlain(value)) {
			result[name] = merged(result[name], value);
			continue;
		}
		for (const other of Object.keys(result)) if (other !== name && other.toLowerCase() === name.toLowerCase() && !isPlain(result[other])) delete result[other];
		if (value !== undefined) result[name] = value;
	}
	return result;
}

// text is a value as a form holds it.
function text(value) {
	if (value === null) return "";
	if (Object.prototype.toString.call(value) === "[object Date]") return value.toISOString();
	return value;
}

// render is the name of a nested value: a[b][c], or a.b.c with dots.
function render(path, key, dots) {
	return path.concat(key).map((token, i) => {
		token = String(token).replace(/\[\]$/, "");
		return !dots && i > 0 ? `[${token}]` : token;
	}).join(dots ? "." : "");
}

// eachPair calls append for the values in an object, with the names that forms
// and queries give them.
function eachPair(object, append, { indexes = false, dots = false, metaTokens = true, visitor } = {}) {
	const stack = [];
	const leaf = (value) => !isPlain(value) && !Array.isArray(value);
	const visit = function (value, key, path) {
		let list = value;
		if (isObject(value) && path.length === 0) {
			if (key.endsWith("{}")) {
				append(metaTokens ? key : key.slice(0, -2), JSON.stringify(value));
				return false;
			}
			if (Array.isArray(value) && !value.some((item) => isObject(item) && !leaf(item)) || key.endsWith("[]") && (list = Array.from(value))) {
				key = key.replace(/\[\]$/, "");
				list.forEach((item, i) => {
					if (item === undefined || item === null) return;
					append(indexes === true ? render([key], i, dots) : indexes === null ? key : `${key}[]`, text(item));
				});
				return false;
			}
		}
		if (!leaf(value)) return true;
		append(render(path, key, dots), text(value));
		return false;
	};
	const build = (value, path) => {
		if (stack.includes(value)) throw new Error(`Circular reference detected in ${path.join(".")}`);
		stack.push(value);
		for (const [key, item] of Object.entries(value)) {
			if (item === undefined || item === null) continue;
			const inner = (visitor ?? visit).call({ append }, item, typeof key === "string" ? key.trim() : key, path);
			if (inner === true) build(item, path.concat(key));
		}
		stack.pop();
	};
	build(object, []);
}

const encode = (value) => encodeURIComponent(value).replace(/%3A/gi, ":").replace(/%24/g, "$").replace(/%2C/gi, ",").replace(/%20/g, "+");

// buildURL appends params to a URL.
function buildURL(url, params, serializer) {
	if (!params) return url;
	const options = typeof serializer === "function" ? { serialize: serializer } : serializer ?? {};
	let query;
	if (options.serialize) query = options.serialize(params, options);
	else if (params instanceof URLSearchParams) query = params.toString();
	else {
		const pairs = [], encoded = options.encode ? (value) => options.encode(String(value), encode) : encode;
		eachPair(params, (name, value) => pairs.push(`${encoded(name)}=${encoded(value)}`), options);
		query = pairs.join("&");
	}
	if (!query) return url;
	const hash = url.indexOf("#");
	if (hash >= 0) url = url.slice(0, hash);
	return `${url}${url.includes("?") ? "&" : "?"}${query}`;
}

function combineURLs({ baseURL, url = "", allowAbsoluteUrls = true }) {
	url = `${url}`;
	const absolute = /^([a-z][a-z\d+\-.]*:)?\/\//i.test(url);
	if (!baseURL || absolute && allowAbsoluteUrls !== false) return url;
	return url === "" ? `${baseURL}` : `${`${baseURL}`.replace(/\/?\/$/, "")}/${url.replace(/^\/+/, "")}`;
}

function toFormData(object, form = new FormData(), options) {
	if (!isObject(object)) throw new TypeError("target must be an object");
	eachPair(object, (name, value) => {
		if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) value = new Blob([value]);
		form.append(name, value);
	}, options);
	return form;
}

const contentType = (headers) => headers.getContentType() || "";

function transformRequest(data, headers) {
	const type = contentType(headers);
	const json = type.includes("application/json");
	if (data instanceof FormData) return json ? JSON.stringify(Object.fromEntries(data)) : data;
	if (data instanceof ArrayBuffer || ArrayBuffer.isView(data) || data instanceof Blob) return data;
	if (data instanceof URLSearchParams) {
		headers.setContentType("application/x-www-form-urlencoded;charset=utf-8", false);
		return data.toString();
	}
	if (isObject(data)) {
		if (type.includes("application/x-www-form-urlencoded")) {
			const form = new URLSearchParams();
			eachPair(data, (name, value) => form.append(name, value), this.formSerializer);
			return form.toString();
		}
		if (type.includes("multipart/form-data")) return toFormData(data, undefined, this.formSerializer);
	}
	if (isObject(data) || json) {
		headers.setContentType("application/json", false);
		if (typeof data === "string") {
			// Text that is JSON already goes as it is.
			try {
				JSON.parse(data);
				return data.trim();
			} catch { /* it is a text to be quoted */ }
		}
		return JSON.stringify(data);
	}
	return data;
}

function transformResponse(data) {
	const transitional = this.transitional ?? defaults.transitional;
	const json = this.responseType === "json";
	if (data && typeof data === "string" && (transitional.forcedJSONParsing && !this.responseType || json)) {
		try {
			return JSON.parse(data, this.parseReviver);
		} catch (error) {
			if (transitional.silentJSONParsing || !json) return data;
			if (error.name === "SyntaxError") throw AxiosError.from(error, AxiosError.ERR_BAD_RESPONSE, this, null, this.response);
			throw error;
		}
	}
	return data;
}

const defaults = {
	transitional: { silentJSONParsing: true, forcedJSONParsing: true, clarifyTimeoutError: false },
	adapter: ["http"],
	transformRequest: [transformRequest], transformResponse: [transformResponse],
	timeout: 0, maxContentLength: -1, maxBodyLength: -1,
	validateStatus: (status) => status >= 200 && status < 300,
	headers: { common: { Accept: "application/json, text/plain, */*" }, delete: {}, get: {}, head: {}, post: {}, put: {}, patch: {} },
};

Object.assign(exports, { buildURL, combineURLs, mergeConfig, toFormData, defaults });
