"use strict";
class AxiosError extends Error {
	constructor(message, code, config, request, response) {
		super(message);
		AxiosError.fill(this, message, code, config, request, response);
	}
	// fill makes an error say what became of the request that it was made with.
	static fill(error, message, code, config, request, response) {
		const hidden = (name, value) => Object.defineProperty(error, name, { value, writable: true, configurable: true });
		hidden("message", message);
		hidden("name", "AxiosError");
		hidden("isAxiosError", true);
		if (code) error.code = code;
		if (config) error.config = config;
		if (request) error.request = request;
		if (response) {
			error.response = response;
			error.status = response.status ?? null;
		}
		return error;
	}
	// The config may hold credentials, but programs return errors all the same, as
	// with the original: what is left out here are the request and the response.
	toJSON() {
		const { message, name, stack, code, status, config } = this;
		return { message, name, stack, config, code, status: status ?? null };
	}
	static from(error, code, config, request, response, more) {
		const made = new AxiosError(error?.message ?? "Error", code ?? error?.code, config, request, response);
		Object.defineProperty(made, "cause", { value: error, writable: true, configurable: true });
		if (error?.name) made.name = error.name;
		return Object.assign(made, more);
	}
}
for (const code of ["ERR_BAD_OPTION_VALUE", "ERR_BAD_OPTION", "ECONNABORTED", "ETIMEDOUT", "ERR_NETWORK", "ERR_FR_TOO_MANY_REDIRECTS",
	"ERR_DEPRECATED", "ERR_BAD_RESPONSE", "ERR_BAD_REQUEST", "ERR_CANCELED", "ERR_NOT_SUPPORT", "ERR_INVALID_URL"]) AxiosError[code] = code;

class CanceledError extends AxiosError {
	constructor(message, config, request) {
		super(message ?? "canceled", AxiosError.ERR_CANCELED, config, request);
		Object.defineProperty(this, "name", { value: "CanceledError", writable: true, configurable: true });
		Object.defineProperty(this, "__CANCEL__", { value: true });
	}
}

class CancelToken {
	#listeners = new Set();
	constructor(executor) {
		if (typeof executor !== "function") throw new TypeError("executor must be a function.");
		let resolve;
		this.promise = new Promise((done) => resolve = done);
		executor((message, config, request) => {
			if (this.reason) return;
			this.reason = new CanceledError(message, config, request);
			resolve(this.reason);
			for (const listener of [...this.#listeners]) listener(this.reason);
		});
	}
	throwIfRequested() { if (this.reason) throw this.reason }
	subscribe(listener) { if (this.reason) listener(this.reason); else this.#listeners.add(listener) }
	unsubscribe(listener) { this.#listeners.delete(listener) }
	static source() {
		let cancel;
		const token = new CancelToken((c) => cancel = c);
		return { token, cancel };
	}
}

Object.assign(exports, { AxiosError, CanceledError, CancelToken, isCancel: (value) => !!value?.__CANCEL__ });
