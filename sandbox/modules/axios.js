"use strict";
const { passFailure, httpFailure, timeoutFailure } = host;
const { Buffer } = require("buffer");
const { AxiosError, CanceledError, isCancel, CancelToken } = require("_axios_errors");
const { AxiosHeaders } = require("_axios_headers");
const { buildURL, combineURLs, mergeConfig, toFormData, defaults: builtin } = require("_axios_config");

// A timeout longer than a timer can wait is none.
const MAX_DELAY = 2 ** 31 - 1;

class InterceptorManager {
	handlers = [];
	use(fulfilled, rejected, options = {}) {
		this.handlers.push({ fulfilled, rejected, synchronous: !!options.synchronous, runWhen: options.runWhen ?? null });
		return this.handlers.length - 1;
	}
	eject(id) { if (this.handlers[id]) this.handlers[id] = null }
	clear() { this.handlers = [] }
	forEach(visit) { for (const handler of this.handlers) if (handler !== null) visit(handler) }
}

// run applies transformers to data, as they are in defaults and configs.
function run(transformers, context, data, headers, status) {
	for (const transform of [transformers ?? []].flat()) data = transform.call(context, data, headers, status);
	return data;
}

class Axios {
	constructor(config) {
		this.defaults = config ?? {};
		this.interceptors = { request: new InterceptorManager(), response: new InterceptorManager() };
	}

	// request is no async function up to here, so that the stack of blank, which
	// becomes the error of this request, is the caller's.
	request(urlOrConfig, config) {
		config = typeof urlOrConfig === "string" || urlOrConfig instanceof URL ? { ...config, url: `${urlOrConfig}` } : urlOrConfig ?? {};
		const blank = new AxiosError("");
		config = mergeConfig(this.defaults, config);
		config.method = (config.method ?? "get").toLowerCase();
		config.headers = AxiosHeaders.merged(config.headers, config.method);

		const before = [], after = [];
		let synchronous = true;
		this.interceptors.request.forEach((handler) => {
			if (typeof handler.runWhen === "function" && handler.runWhen(config) === false) return;
			synchronous = synchronous && handler.synchronous;
			before.unshift(handler);
		});
		this.interceptors.response.forEach((handler) => after.push(handler));
		const send = (config) => dispatch(config, blank);

		let promise;
		if (synchronous) {
			for (const { fulfilled, rejected } of before) {
				try {
					if (fulfilled) config = fulfilled(config);
				} catch (error) {
					rejected?.call(this, error);
					promise = Promise.reject(error);
					break;
				}
			}
			promise ??= send(config);
		} else {
			promise = Promise.resolve(config);
			for (const { fulfilled, rejected } of before) promise = promise.then(fulfilled, rejected);
			promise = promise.then(send);
		}
		for (const { fulfilled, rejected } of after) promise = promise.then(fulfilled, rejected);
		return promise;
	}

	getUri(config) {
		config = mergeConfig(this.defaults, config ?? {});
		return buildURL(combineURLs(config), config.params, config.paramsSerializer);
	}
}
for (const method of ["delete", "get", "head", "options"]) {
	Axios.prototype[method] = { [method](url, config) { return this.request({ ...config, method, url, data: config?.data }) } }[method];
}
for (const method of ["post", "put", "patch"]) {
	Axios.prototype[method] = { [method](url, data, config) { return this.request({ ...config, method, url, data }) } }[method];
	const form = `${method}Form`;
	Axios.prototype[form] = { [form](url, data, config) {
		return this.request({ ...config, method, url, data, headers: { "Content-Type": "multipart/form-data", ...config?.headers } });
	} }[form];
}

function throwIfCancelled(config) {
	config.cancelToken?.throwIfRequested();
	if (config.signal?.aborted) throw new CanceledError(null, config);
}

// dispatch sends one request and settles as validateStatus says.
async function dispatch(config, blank) {
	throwIfCancelled(config);
	config.headers = AxiosHeaders.from(config.headers);
	config.data = run(config.transformRequest, config, config.data, config.headers);
	if (["post", "put", "patch"].includes(config.method)) config.headers.setContentType("application/x-www-form-urlencoded", false);
	const adapter = typeof config.adapter === "function" ? config.adapter : (config) => send(config, blank);
	let response;
	try {
		response = await adapter(config);
	} catch (error) {
		if (!isCancel(error)) throwIfCancelled(config);
		if (error?.response) parse(config, error.response);
		throw error;
	}
	throwIfCancelled(config);
	return parse(config, response);
}

function parse(config, response) {
	response.data = run(config.transformResponse, Object.assign(Object.create(config), { response }), response.data, response.headers, response.status);
	response.headers = AxiosHeaders.from(response.headers);
	return response;
}

// fail fills in the error that the request began with.
function fail(blank, message, code, config, request, response) {
	return AxiosError.fill(blank, message, code, config, request, response);
}

// bodyOf is a request's data as fetch takes it.
function bodyOf(config, blank, request) {
	const { data } = config;
	if (data === undefined || data === null) return undefined;
	if (config.method === "get" || config.method === "head") {
		if (data === "" || data === "{}") return undefined;
		throw fail(blank, `a ${config.method.toUpperCase()} request can't have data in the sandbox; use params, or another method`, AxiosError.ERR_BAD_REQUEST, config, request);
	}
	if (typeof data === "string") return data;
	if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer) return data;
	if (data instanceof URLSearchParams || data instanceof FormData || data instanceof Blob) return data;
	throw fail(blank, "Data after transformation must be a string, an ArrayBuffer, a Buffer, or a FormData", AxiosError.ERR_BAD_REQUEST, config, request);
}

function targetOf(config, blank) {
	const text = buildURL(combineURLs(config), config.params, config.paramsSerializer);
	let url;
	try { url = new URL(text) } catch { throw fail(blank, `Invalid URL: ${text}`, AxiosError.ERR_INVALID_URL, config) }
	if (url.protocol !== "http:" && url.protocol !== "https:") {
		throw fail(blank, `Unsupported protocol ${url.protocol}`, AxiosError.ERR_BAD_REQUEST, config);
	}
	return url;
}

// authorize takes the user and password of the config, else of the URL, which
// fetch doesn't take there.
function authorize(config, url) {
	let { username = "", password = "" } = config.auth ?? {};
	if (!config.auth && (url.username || url.password)) [username, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
	url.username = url.password = "";
	if (!config.auth && !username && !password) return;
	config.headers.set("Authorization", `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`);
}

function send(config, blank) {
	return new Promise((resolve, reject) => {
		const url = targetOf(config, blank);
		authorize(config, url);
		const request = { method: config.method.toUpperCase(), path: `${url.pathname}${url.search}`, host: url.host, protocol: url.protocol, responseURL: url.href, res: { responseUrl: url.href } };
		const body = bodyOf(config, blank, request);
		const countable = typeof body === "string" || ArrayBuffer.isView(body) || body instanceof ArrayBuffer;
		if (config.maxBodyLength >= 0 && countable && Buffer.byteLength(body) > config.maxBodyLength) {
			throw fail(blank, "Request body larger than maxBodyLength limit", AxiosError.ERR_BAD_REQUEST, config, request);
		}
		if (config.responseType === "stream") {
			throw fail(blank, 'responseType "stream" is not available in the sandbox; use "arraybuffer" or "text"', AxiosError.ERR_NOT_SUPPORT, config, request);
		}
		if (body instanceof FormData) config.headers.delete("Content-Type");
		const headers = new Headers();
		for (const [name, value] of Object.entries(config.headers.toJSON())) {
			for (const one of [value].flat()) headers.append(name, String(one).trim());
		}

		const controller = new AbortController();
		let timer;
		const stop = (error) => {
			finish();
			reject(error);
			controller.abort(error);
		};
		const cancel = (reason) => stop(!reason || reason.type ? new CanceledError(null, config, request) : reason);
		const finish = () => {
			clearTimeout(timer);
			config.signal?.removeEventListener("abort", cancel);
			config.cancelToken?.unsubscribe(cancel);
		};
		const timeout = Number(config.timeout) || 0;
		if (timeout > 0 && timeout <= MAX_DELAY) {
			timer = setTimeout(() => {
				const code = config.transitional?.clarifyTimeoutError ? AxiosError.ETIMEDOUT : AxiosError.ECONNABORTED;
				const error = fail(blank, config.timeoutErrorMessage ?? `timeout of ${timeout}ms exceeded`, code, config, request);
				timeoutFailure(error, timeout, url.host);
				stop(error);
			}, timeout);
		}
		config.signal?.addEventListener("abort", cancel);
		config.cancelToken?.subscribe(cancel);

		fetch(url.href, { method: request.method, headers, body, redirect: config.maxRedirects === 0 ? "manual" : "follow", signal: controller.signal })
			.then((answer) => received(config, request, answer))
			.then((response) => {
				finish();
				settle(config, request, response, blank, url, resolve, reject);
			}, (error) => {
				finish();
				reject(unreached(error, config, request, blank));
			});
	});
}

// received reads a response as responseType says. JSON is parsed later, by
// transformResponse.
async function received(config, request, answer) {
	request.responseURL = request.res.responseUrl = answer.url;
	let data = Buffer.from(await answer.arrayBuffer());
	const bytes = data;
	if (config.maxContentLength >= 0 && data.length > config.maxContentLength) {
		throw new AxiosError(`maxContentLength size of ${config.maxContentLength} exceeded`, AxiosError.ERR_BAD_RESPONSE, config, request);
	}
	switch (config.responseType) {
	case "arraybuffer": break;
	case "blob": data = new Blob([data], { type: answer.headers.get("content-type") ?? "" }); break;
	default: data = data.toString(config.responseEncoding ?? "utf8").replace(/^\ufeff/, "");
	}
	const headers = new AxiosHeaders();
	for (const [name, value] of answer.headers) {
		if (name === "set-cookie") headers[name] = [...headers[name] ?? [], value];
		else headers[name] = value;
	}
	const response = { status: answer.status, statusText: answer.statusText, headers, config, request, data };
	Object.defineProperty(response, BYTES, { value: bytes });
	return response;
}
const BYTES = Symbol("bytes");

function settle(config, request, response, blank, url, resolve, reject) {
	const { status } = response;
	if (!status || !config.validateStatus || config.validateStatus(status)) return resolve(response);
	const code = status >= 400 && status < 500 ? AxiosError.ERR_BAD_REQUEST : AxiosError.ERR_BAD_RESPONSE;
	const error = fail(blank, `Request failed with status code ${status}`, code, config, request, response);
	httpFailure(error, status, url.host, response.headers.get("retry-after") ?? "", response[BYTES].toString("utf8", 0, 65536));
	reject(error);
}

// CODES are what node calls the failures of the network, by our reasons.
const CODES = {
	refused: "ECONNREFUSED", reset: "ECONNRESET", unreachable: "EHOSTUNREACH", dns_not_found: "ENOTFOUND", dns_temporary: "EAI_AGAIN",
	tls_expired: "CERT_HAS_EXPIRED", tls_untrusted: "UNABLE_TO_VERIFY_LEAF_SIGNATURE", tls_hostname: "ERR_TLS_CERT_ALTNAME_INVALID",
	redirect_loop: "ERR_FR_TOO_MANY_REDIRECTS", connect: "ETIMEDOUT",
};

// unreached is the error of a request without an answer. It stands for the same
// failure as fetch's own.
function unreached(error, config, request, blank) {
	if (error instanceof AxiosError || isCancel(error)) return error;
	const problem = fail(blank, error?.cause?.message ?? error?.message ?? String(error), AxiosError.ERR_NETWORK, config, request);
	Object.defineProperty(problem, "cause", { value: error, writable: true, configurable: true });
	const [kind, reason] = passFailure(problem, error) ?? [];
	problem.code = CODES[reason] ?? (kind === "timeout" ? AxiosError.ETIMEDOUT : kind === "request_blocked" ? "ERR_BLOCKED"
		: kind === "invalid_response" ? AxiosError.ERR_BAD_RESPONSE : AxiosError.ERR_NETWORK);
	return problem;
}

function createInstance(config) {
	const context = new Axios(config);
	const instance = function axios(...args) { return context.request(...args) };
	for (const name of Object.getOwnPropertyNames(Axios.prototype)) {
		if (name !== "constructor") instance[name] = Axios.prototype[name].bind(context);
	}
	instance.defaults = context.defaults;
	instance.interceptors = context.interceptors;
	instance.create = function create(more) { return createInstance(mergeConfig(context.defaults, more ?? {})) };
	return instance;
}

const axios = createInstance(builtin);
Object.assign(axios, {
	Axios, AxiosError, CanceledError, Cancel: CanceledError, CancelToken, AxiosHeaders, isCancel, mergeConfig, toFormData,
	VERSION: "1.0.0-toolrun",
	all: (promises) => Promise.all(promises),
	spread: (callback) => (values) => callback(...values),
	isAxiosError: (value) => typeof value === "object" && value !== null && value.isAxiosError === true,
	default: axios,
});
module.exports = axios;
