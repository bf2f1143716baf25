// Event, EventTarget, AbortController, AbortSignal (https://dom.spec.whatwg.org).
(function ({ use, fail, setTimeout, now, readOnly, constants }) {
	const { dictionary } = use("webidl");
	const exception = (message, name) => new (use("exception").DOMException)(message, name);
	const secret = {};
	let dispatch; // sets what only dispatchEvent may set

	class Event {
		#type; #bubbles; #cancelable; #composed; #time = now();
		#target = null; #phase = 0; #canceled = false; #stopped = false; #passive = false; #busy = false; #propagates = true;
		constructor(type, init = undefined) {
			if (arguments.length === 0) throw new TypeError("Event: 1 argument required, but only 0 present");
			init = dictionary(init, "Event");
			this.#type = `${type}`;
			this.#bubbles = !!init.bubbles;
			this.#cancelable = !!init.cancelable;
			this.#composed = !!init.composed;
		}
		get type() { return this.#type }
		get target() { return this.#target }
		get srcElement() { return this.#target }
		get currentTarget() { return this.#phase === 0 ? null : this.#target }
		get eventPhase() { return this.#phase }
		get bubbles() { return this.#bubbles }
		get cancelable() { return this.#cancelable }
		get composed() { return this.#composed }
		get defaultPrevented() { return this.#canceled }
		get returnValue() { return !this.#canceled }
		get cancelBubble() { return !this.#propagates }
		set cancelBubble(value) { if (value) this.#propagates = false }
		get isTrusted() { return false }
		get timeStamp() { return this.#time }
		composedPath() { return this.#phase === 0 ? [] : [this.#target] }
		preventDefault() { if (this.#cancelable && !this.#passive) this.#canceled = true }
		stopPropagation() { this.#propagates = false }
		stopImmediatePropagation() { this.#propagates = false; this.#stopped = true }
		get [Symbol.toStringTag]() { return "Event" }
		static {
			dispatch = (event, target, listeners) => {
				if (typeof event !== "object" || event === null || !(#type in event)) {
					throw new TypeError("dispatchEvent: the argument must be an Event");
				}
				if (event.#busy) throw exception("The event is already being dispatched", "InvalidStateError");
				event.#busy = true;
				event.#target = target;
				event.#phase = 2;
				for (const listener of listeners(event.#type)) {
					if (event.#stopped) break;
					if (listener.removed) continue;
					if (listener.once) listener.remove();
					event.#passive = listener.passive;
					try {
						const { callback } = listener;
						if (typeof callback === "function") callback.call(target, event);
						else callback.handleEvent(event);
					} catch (error) {
						fail(error);
					}
					event.#passive = false;
				}
				event.#phase = 0;
				event.#busy = event.#stopped = false;
				event.#propagates = true;
				return !event.#canceled;
			};
		}
	}

	class EventTarget {
		#listeners = [];
		addEventListener(type, callback, options) {
			const listeners = this.#listeners;
			if (arguments.length < 2) throw new TypeError("addEventListener: 2 arguments required");
			const capture = typeof options === "object" && options !== null ? !!options.capture : !!options;
			const { once, passive, signal } = typeof options === "object" && options !== null ? options : {};
			if (signal !== undefined && !isSignal(signal)) throw new TypeError("addEventListener: signal must be an AbortSignal");
			if (callback === null || callback === undefined) return;
			if (typeof callback !== "function" && typeof callback !== "object") {
				throw new TypeError("addEventListener: the listener must be a function or an object");
			}
			type = `${type}`;
			if (signal?.aborted) return;
			for (const l of listeners) {
				if (l.type === type && l.callback === callback && l.capture === capture) return;
			}
			const listener = {
				type, callback, capture, once: !!once, passive: !!passive, removed: false,
				remove() {
					listener.removed = true;
					const at = listeners.indexOf(listener);
					if (at >= 0) listeners.splice(at, 1);
				},
			};
			listeners.push(listener);
			if (signal) onAbort(signal, listener.remove);
		}
		removeEventListener(type, callback, options) {
			const capture = typeof options === "object" && options !== null ? !!options.capture : !!options;
			type = `${type}`;
			for (const l of this.#listeners) {
				if (l.type === type && l.callback === callback && l.capture === capture) return l.remove();
			}
		}
		dispatchEvent(event) {
			const listeners = this.#listeners;
			return dispatch(event, this, (type) => listeners.filter((l) => l.type === type));
		}
		get [Symbol.toStringTag]() { return "EventTarget" }
	}

	let isSignal, onAbort, offAbort, abort;
	class AbortSignal extends EventTarget {
		#aborted = false; #reason; #algorithms = new Set(); #handler = null; #handling = false;
		constructor(token) {
			if (token !== secret) throw new TypeError("Illegal constructor");
			super();
		}
		static abort(reason) {
			const signal = new AbortSignal(secret);
			abort(signal, arguments.length === 0 ? undefined : reason);
			return signal;
		}
		static timeout(milliseconds) {
			const ms = Math.trunc(Number(milliseconds));
			if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
				throw new TypeError("AbortSignal.timeout: the time must be a number of milliseconds");
			}
			const signal = new AbortSignal(secret);
			setTimeout(() => abort(signal, exception("The operation was aborted due to timeout", "TimeoutError")), ms);
			return signal;
		}
		static any(signals) {
			const sources = [];
			for (const source of signals) {
				if (!isSignal(source)) throw new TypeError("AbortSignal.any: every element must be an AbortSignal");
				sources.push(source);
			}
			const signal = new AbortSignal(secret);
			for (const source of sources) {
				if (source.#aborted) {
					abort(signal, source.#reason);
					return signal;
				}
			}
			for (const source of sources) onAbort(source, () => abort(signal, source.#reason));
			return signal;
		}
		get aborted() { return this.#aborted }
		get reason() { return this.#reason }
		throwIfAborted() { if (this.#aborted) throw this.#reason }
		get onabort() { return this.#handler }
		set onabort(handler) {
			this.#handler = typeof handler === "function" || typeof handler === "object" ? handler : null;
			if (this.#handler === null || this.#handling) return;
			this.#handling = true;
			this.addEventListener("abort", (event) => {
				if (typeof this.#handler === "function") this.#handler.call(this, event);
			});
		}
		get [Symbol.toStringTag]() { return "AbortSignal" }
		static {
			isSignal = (x) => typeof x === "object" && x !== null && #aborted in x;
			onAbort = (signal, algorithm) => { signal.#algorithms.add(algorithm) };
			offAbort = (signal, algorithm) => { signal.#algorithms.delete(algorithm) };
			abort = (signal, reason) => {
				if (signal.#aborted) return;
				signal.#aborted = true;
				signal.#reason = reason === undefined ? exception("This operation was aborted", "AbortError") : reason;
				const algorithms = [...signal.#algorithms];
				signal.#algorithms.clear();
				for (const algorithm of algorithms) algorithm();
				signal.dispatchEvent(new Event("abort"));
			};
		}
	}

	class AbortController {
		#signal = new AbortSignal(secret);
		get signal() { return this.#signal }
		abort(reason) { abort(this.#signal, reason) }
		get [Symbol.toStringTag]() { return "AbortController" }
	}
	constants(Event, "NONE CAPTURING_PHASE AT_TARGET BUBBLING_PHASE", 0);
	readOnly(Event, EventTarget, AbortSignal, AbortController);
	return { Event, EventTarget, AbortSignal, AbortController, isSignal, onAbort, offAbort };
})
