// SuppressedError, DisposableStack and AsyncDisposableStack (ES2026), for using.
(function (define) {
	"use strict";
	class SuppressedError extends Error {
		constructor(error, suppressed, message) {
			super(message);
			define(this, { error, suppressed }, true);
			if (message === undefined) delete this.message;
		}
	}
	define(SuppressedError.prototype, { name: "SuppressedError", message: "" }, true);

	const states = new WeakMap();
	function open(stack) {
		const list = states.get(stack);
		if (list === undefined) throw new TypeError("not a disposable stack");
		if (list === null) throw new ReferenceError("the stack is disposed already");
		return list;
	}
	function disposer(value, ...symbols) {
		for (const symbol of symbols) {
			const method = value[symbol];
			if (method === undefined || method === null) continue;
			if (typeof method !== "function") break;
			return () => method.call(value);
		}
		throw new TypeError("the value is not disposable");
	}
	function take(stack) {
		const list = open(stack);
		states.set(stack, null);
		return list;
	}
	class Failure {
		failed = false;
		add(error) {
			this.error = this.failed ? new SuppressedError(error, this.error, "An error was suppressed during disposal") : error;
			this.failed = true;
		}
		throw() { if (this.failed) throw this.error; }
	}
	class DisposableStack {
		constructor() { states.set(this, []); }
		get disposed() { return states.get(this) === null; }
		use(value) {
			const list = open(this);
			if (value !== undefined && value !== null) list.push(disposer(value, Symbol.dispose));
			return value;
		}
		adopt(value, callback) {
			if (typeof callback !== "function") throw new TypeError("the callback is not a function");
			open(this).push(() => callback(value));
			return value;
		}
		defer(callback) {
			if (typeof callback !== "function") throw new TypeError("the callback is not a function");
			open(this).push(() => callback());
		}
		move() {
			const moved = new DisposableStack();
			states.set(moved, take(this));
			return moved;
		}
		dispose() {
			if (this.disposed) return;
			const failure = new Failure();
			for (const dispose of take(this).reverse()) {
				try { dispose(); } catch (error) { failure.add(error); }
			}
			failure.throw();
		}
	}
	class AsyncDisposableStack {
		constructor() { states.set(this, []); }
		get disposed() { return states.get(this) === null; }
		use(value) {
			const list = open(this);
			if (value !== undefined && value !== null) list.push(disposer(value, Symbol.asyncDispose, Symbol.dispose));
			return value;
		}
		adopt(value, callback) {
			if (typeof callback !== "function") throw new TypeError("the callback is not a function");
			open(this).push(() => callback(value));
			return value;
		}
		defer(callback) {
			if (typeof callback !== "function") throw new TypeError("the callback is not a function");
			open(this).push(() => callback());
		}
		move() {
			const moved = new AsyncDisposableStack();
			states.set(moved, take(this));
			return moved;
		}
		async disposeAsync() {
			if (this.disposed) return;
			const failure = new Failure();
			for (const dispose of take(this).reverse()) {
				try { await dispose(); } catch (error) { failure.add(error); }
			}
			failure.throw();
		}
	}
	define(DisposableStack.prototype, { [Symbol.dispose]: DisposableStack.prototype.dispose, [Symbol.toStringTag]: "DisposableStack" });
	define(AsyncDisposableStack.prototype, { [Symbol.asyncDispose]: AsyncDisposableStack.prototype.disposeAsync, [Symbol.toStringTag]: "AsyncDisposableStack" });
	define(globalThis, { SuppressedError, DisposableStack, AsyncDisposableStack });
	define(prototypeOfIterators(), { [Symbol.dispose]() { this.return?.(); } });
	function prototypeOfIterators() { return Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())); }
})
