"use strict";
const { wrongType, coded } = require("_errors");

function aborted(signal) {
	const error = coded(Error, "ABORT_ERR", "The operation was aborted");
	error.name = "AbortError";
	if (signal.reason !== undefined) Object.defineProperty(error, "cause", { value: signal.reason, writable: true, configurable: true });
	return error;
}

function wait(delay, value, options = {}) {
	if (options === null || typeof options !== "object") return Promise.reject(wrongType("options", "of type object", options));
	const { signal } = options;
	if (signal !== undefined && (signal === null || typeof signal !== "object" || !("aborted" in signal))) {
		return Promise.reject(wrongType("options.signal", "an instance of AbortSignal", signal));
	}
	if (signal?.aborted) return Promise.reject(aborted(signal));
	return new Promise((resolve, reject) => {
		const stop = () => {
			clearTimeout(timer);
			reject(aborted(signal));
		};
		const timer = setTimeout(() => {
			signal?.removeEventListener("abort", stop);
			resolve(value);
		}, delay);
		signal?.addEventListener("abort", stop, { once: true });
	});
}

exports.setTimeout = (delay, value, options) => wait(delay, value, options);
exports.setImmediate = (value, options) => wait(0, value, options);
exports.scheduler = {
	wait: (delay, options) => wait(delay, undefined, options),
	yield: () => wait(0),
};
