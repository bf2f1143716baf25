// WeakRef and FinalizationRegistry. A realm lives for one execution, so the
// target is held to its end and no callback ever comes: both are allowed.
(function (define) {
	"use strict";
	const holdable = (value) => typeof value === "function" || (typeof value === "object" && value !== null) || typeof value === "symbol" && Symbol.keyFor(value) === undefined;
	class WeakRef {
		#target;
		constructor(target) {
			if (!holdable(target)) throw new TypeError("WeakRef: the target must be an object");
			this.#target = target;
		}
		deref() { return this.#target; }
	}
	class FinalizationRegistry {
		#tokens = new Set();
		constructor(cleanup) {
			if (typeof cleanup !== "function") throw new TypeError("FinalizationRegistry: cleanup must be a function");
		}
		register(target, held, token = undefined) {
			if (!holdable(target)) throw new TypeError("FinalizationRegistry.register: the target must be an object");
			if (target === held) throw new TypeError("FinalizationRegistry.register: the target and the held value must not be the same");
			if (holdable(token)) this.#tokens.add(token);
			else if (token !== undefined) throw new TypeError("FinalizationRegistry.register: the token must be an object");
		}
		unregister(token) {
			if (!holdable(token)) throw new TypeError("FinalizationRegistry.unregister: the token must be an object");
			return this.#tokens.delete(token);
		}
	}
	for (const c of [WeakRef, FinalizationRegistry]) Object.defineProperty(c.prototype, Symbol.toStringTag, { value: c.name, configurable: true });
	define(globalThis, { WeakRef, FinalizationRegistry });
})
