"use strict";
const { coded, wrongType, outOfRange, needFunction } = require("_errors");

const errorMonitor = Symbol("events.errorMonitor");

// The listeners are in _events, as programs expect that subclass without calling
// the constructor; a listener of once is wrapped and has the original as listener.
const listenersOf = (emitter) => Object.hasOwn(emitter, "_events") && emitter._events ? emitter._events : emitter._events = Object.create(null);

function EventEmitter(options) {
	listenersOf(this);
	void options;
}
EventEmitter.defaultMaxListeners = 10;

function add(emitter, name, listener, first) {
	needFunction(listener, "listener");
	const events = listenersOf(emitter);
	if (events.newListener) emitter.emit("newListener", name, listener.listener ?? listener);
	const list = events[name] ?? [];
	// A copy, so that an emit in progress isn't affected.
	events[name] = first ? [listener, ...list] : [...list, listener];
	const max = emitter.getMaxListeners();
	if (max > 0 && events[name].length === max + 1) {
		console.warn(`MaxListenersExceededWarning: Possible EventEmitter memory leak detected. ${max + 1} ${String(name)} listeners added. ` +
			"Use emitter.setMaxListeners() to increase limit");
	}
	return emitter;
}

function wrapOnce(emitter, name, listener) {
	needFunction(listener, "listener");
	let fired = false;
	function wrapped(...args) {
		if (fired) return undefined;
		fired = true;
		emitter.removeListener(name, wrapped);
		return listener.apply(emitter, args);
	}
	wrapped.listener = listener;
	return wrapped;
}

const methods = {
	on(name, listener) { return add(this, name, listener, false) },
	prependListener(name, listener) { return add(this, name, listener, true) },
	once(name, listener) { return add(this, name, wrapOnce(this, name, listener), false) },
	prependOnceListener(name, listener) { return add(this, name, wrapOnce(this, name, listener), true) },
	removeListener(name, listener) {
		needFunction(listener, "listener");
		const events = listenersOf(this), list = events[name];
		const at = list === undefined ? -1 : list.findLastIndex((other) => other === listener || other.listener === listener);
		if (at < 0) return this;
		events[name] = list.toSpliced(at, 1);
		if (events[name].length === 0) delete events[name];
		if (events.removeListener) this.emit("removeListener", name, list[at].listener ?? list[at]);
		return this;
	},
	removeAllListeners(name) {
		const events = listenersOf(this);
		if (!events.removeListener) {
			if (arguments.length === 0) this._events = Object.create(null);
			else delete events[name];
			return this;
		}
		for (const key of arguments.length > 0 ? [name] : Reflect.ownKeys(events).filter((key) => key !== "removeListener").concat("removeListener")) {
			for (const listener of (events[key] ?? []).toReversed()) this.removeListener(key, listener);
		}
		return this;
	},
	emit(name, ...args) {
		const events = listenersOf(this);
		if (name === "error" && events[errorMonitor]) this.emit(errorMonitor, ...args);
		const list = events[name];
		if (list === undefined) {
			if (name !== "error") return false;
			const [error] = args;
			if (error instanceof Error) throw error;
			const failure = coded(Error, "ERR_UNHANDLED_ERROR",
				`Unhandled error. (${typeof error === "string" ? `'${error}'` : require("_inspect").inspect(error)})`);
			failure.context = error;
			throw failure;
		}
		for (const listener of list) listener.apply(this, args);
		return true;
	},
	listeners(name) { return (listenersOf(this)[name] ?? []).map((listener) => listener.listener ?? listener) },
	rawListeners(name) { return (listenersOf(this)[name] ?? []).slice() },
	listenerCount(name, listener) {
		const list = listenersOf(this)[name] ?? [];
		return listener === undefined ? list.length : list.filter((other) => other === listener || other.listener === listener).length;
	},
	eventNames() { return Reflect.ownKeys(listenersOf(this)) },
	setMaxListeners(n) {
		if (typeof n !== "number" || !(n >= 0)) throw typeof n === "number" ? outOfRange("setMaxListeners", ">= 0", n) : wrongType("setMaxListeners", "of type number", n);
		this._maxListeners = n;
		return this;
	},
	getMaxListeners() { return this._maxListeners ?? EventEmitter.defaultMaxListeners },
};
methods.addListener = methods.on;
methods.off = methods.removeListener;
Object.assign(EventEmitter.prototype, methods, { _events: undefined, _maxListeners: undefined });

function abortError(signal) {
	const error = coded(Error, "ABORT_ERR", "The operation was aborted");
	error.name = "AbortError";
	if (signal.reason !== undefined) Object.defineProperty(error, "cause", { value: signal.reason, writable: true, configurable: true });
	return error;
}

// once waits for one event, of an emitter or an EventTarget.
async function once(emitter, name, options = {}) {
	const { signal } = options;
	if (signal?.aborted) throw abortError(signal);
	return await new Promise((resolve, reject) => {
		const finish = (settle) => (...args) => {
			stop();
			settle(args);
		};
		const done = finish(resolve), failed = finish(([error]) => reject(error));
		const abort = () => {
			stop();
			reject(abortError(signal));
		};
		const target = typeof emitter.on !== "function" && typeof emitter.addEventListener === "function";
		const stop = () => {
			signal?.removeEventListener("abort", abort);
			if (target) return emitter.removeEventListener(name, done);
			emitter.removeListener(name, done);
			if (name !== "error") emitter.removeListener("error", failed);
		};
		signal?.addEventListener("abort", abort, { once: true });
		if (target) return emitter.addEventListener(name, done, { once: true });
		emitter.once(name, done);
		if (name !== "error") emitter.once("error", failed);
	});
}

// on iterates over the events of a name. An error ends the iteration.
function on(emitter, name, options = {}) {
	const { signal } = options;
	if (signal?.aborted) throw abortError(signal);
	const queue = [], waiting = [];
	let failure, finished = false;
	const listener = (...args) => waiting.length > 0 ? waiting.shift().resolve({ value: args, done: false }) : queue.push(args);
	const fail = (error) => {
		if (waiting.length > 0) waiting.shift().reject(error);
		else failure = { error };
		end();
	};
	const abort = () => fail(abortError(signal));
	const end = () => {
		finished = true;
		emitter.removeListener(name, listener);
		emitter.removeListener("error", fail);
		signal?.removeEventListener("abort", abort);
		for (const { resolve } of waiting.splice(0)) resolve({ value: undefined, done: true });
		return Promise.resolve({ value: undefined, done: true });
	};
	emitter.on(name, listener);
	if (name !== "error") emitter.on("error", fail);
	signal?.addEventListener("abort", abort, { once: true });
	return {
		next() {
			if (queue.length > 0) return Promise.resolve({ value: queue.shift(), done: false });
			if (failure !== undefined) {
				const { error } = failure;
				failure = undefined;
				return Promise.reject(error);
			}
			if (finished) return Promise.resolve({ value: undefined, done: true });
			return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
		},
		return: end,
		throw(error) {
			fail(error);
			return Promise.resolve({ value: undefined, done: true });
		},
		[Symbol.asyncIterator ?? Symbol.for("Symbol.asyncIterator")]() { return this },
	};
}

module.exports = Object.assign(EventEmitter, {
	EventEmitter, once, on, errorMonitor,
	listenerCount: (emitter, name) => emitter.listenerCount(name),
	getEventListeners: (emitter, name) => emitter.listeners(name),
	setMaxListeners(n, ...emitters) {
		if (emitters.length === 0) EventEmitter.defaultMaxListeners = n;
		for (const emitter of emitters) emitter.setMaxListeners?.(n);
	},
});
