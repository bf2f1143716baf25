// Iterator and the iterator helpers (ES2025).
(function (define) {
	"use strict";
	const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));

	function Iterator() {
		if (new.target === undefined || new.target === Iterator) throw new TypeError("Iterator is abstract: it can't be constructed");
	}
	Object.defineProperty(Iterator, "prototype", { value: prototype, writable: false });
	define(globalThis, { Iterator });
	define(prototype, { constructor: Iterator, [Symbol.toStringTag]: "Iterator" }, true);

	function checkObject(value, what) {
		if (Object(value) !== value) throw new TypeError(what + " is not an object");
		return value;
	}
	// A wrong argument closes the iterator, as ES2025 has it.
	function checkFunction(source, callback) {
		if (typeof callback === "function") return;
		close(source);
		throw new TypeError("the callback is not a function");
	}
	function checkLimit(source, limit) {
		try {
			limit = Number(limit);
			if (!(Math.trunc(limit) >= 0)) throw new RangeError("the limit must be a number from 0");
		} catch (error) {
			close(source);
			throw error;
		}
		return Math.trunc(limit);
	}
	function close(source) {
		try { source.return?.(); } catch {}
	}
	function step(source, next) {
		return checkObject(next.call(source), "an iterator's result");
	}

	// steps runs a source through a generator that yields nothing, one or many
	// values for each; it closes the source when it is left early.
	function* steps(source, next, each) {
		let open = false;
		try {
			for (let i = 0; ; i++) {
				open = false;
				const result = step(source, next);
				if (result.done) return;
				const value = result.value;
				open = true;
				yield* each(value, i);
			}
		} catch (error) {
			if (open) close(source);
			open = false;
			throw error;
		} finally {
			if (open) source.return?.();
		}
	}

	const states = new WeakMap();
	const helperPrototype = Object.create(prototype);
	function stateOf(helper) {
		const state = states.get(helper);
		if (!state) throw new TypeError("not an iterator helper");
		return state;
	}
	define(helperPrototype, {
		next() {
			const state = stateOf(this);
			state.begun = true;
			return state.generator.next();
		},
		return() {
			const state = stateOf(this);
			if (!state.begun) {
				state.begun = true;
				state.generator.return();
				state.source.return?.();
				return { value: undefined, done: true };
			}
			return state.generator.return();
		},
	});
	Object.defineProperty(helperPrototype, Symbol.toStringTag, { value: "Iterator Helper", configurable: true });
	function helper(source, each, first = (run) => run) {
		const next = source.next;
		const made = Object.create(helperPrototype);
		states.set(made, { source, begun: false, generator: first(steps(source, next, each), source, next) });
		return made;
	}

	// flattenable is the iterator of what flatMap's callback and Iterator.from take.
	function flattenable(value, strings) {
		if (!(strings && typeof value === "string")) checkObject(value, "the value");
		const method = value[Symbol.iterator];
		return checkObject(method === undefined || method === null ? value : method.call(value), "the iterator");
	}

	function consume(source, callback, visit) {
		checkObject(source, "the iterator");
		if (visit) checkFunction(source, callback);
		const next = source.next;
		for (let i = 0; ; i++) {
			const result = step(source, next);
			if (result.done) return undefined;
			const value = result.value;
			let answer;
			try {
				answer = visit(value, i);
			} catch (error) {
				close(source);
				throw error;
			}
			if (answer) {
				source.return?.();
				return answer;
			}
		}
	}

	define(prototype, {
		map(mapper) {
			checkObject(this, "the iterator");
			checkFunction(this, mapper);
			return helper(this, function* (value, i) { yield mapper(value, i); });
		},
		filter(predicate) {
			checkObject(this, "the iterator");
			checkFunction(this, predicate);
			return helper(this, function* (value, i) { if (predicate(value, i)) yield value; });
		},
		take(limit) {
			checkObject(this, "the iterator");
			limit = checkLimit(this, limit);
			return helper(this, undefined, (_, source, next) => (function* () {
				let left = limit, open = true;
				try {
					for (; left > 0; left--) {
						open = false;
						const result = step(source, next);
						if (result.done) return;
						const value = result.value;
						open = true;
						yield value;
					}
				} finally {
					if (open) source.return?.();
				}
			})());
		},
		drop(limit) {
			checkObject(this, "the iterator");
			limit = checkLimit(this, limit);
			return helper(this, function* (value, i) { if (i >= limit) yield value; });
		},
		flatMap(mapper) {
			checkObject(this, "the iterator");
			checkFunction(this, mapper);
			return helper(this, function* (value, i) {
				const inner = flattenable(mapper(value, i), false);
				yield* { [Symbol.iterator]: () => inner };
			});
		},
		reduce(reducer, ...initial) {
			checkObject(this, "the iterator");
			checkFunction(this, reducer);
			let some = initial.length > 0, result = initial[0];
			consume(this, reducer, (value, i) => {
				result = some ? reducer(result, value, i) : value;
				some = true;
			});
			if (!some) throw new TypeError("reduce of an empty iterator with no initial value");
			return result;
		},
		toArray() {
			const list = [];
			consume(this, Object, (value) => { list.push(value); });
			return list;
		},
		forEach(callback) {
			consume(this, callback, (value, i) => { callback(value, i); });
		},
		some(predicate) {
			return consume(this, predicate, (value, i) => Boolean(predicate(value, i))) ?? false;
		},
		every(predicate) {
			return !(consume(this, predicate, (value, i) => !predicate(value, i)) ?? false);
		},
		find(predicate) {
			const found = consume(this, predicate, (value, i) => predicate(value, i) ? { value } : undefined);
			return found?.value;
		},
	});

	const wrapperPrototype = Object.create(prototype);
	const wrapped = new WeakMap();
	define(wrapperPrototype, {
		next() {
			const { source, next } = wrapped.get(this);
			return next.call(source);
		},
		return() {
			const { source } = wrapped.get(this);
			return source.return === undefined ? { value: undefined, done: true } : source.return();
		},
	});
	define(Iterator, {
		from(value) {
			const source = flattenable(value, true);
			if (source instanceof Iterator) return source;
			const wrapper = Object.create(wrapperPrototype);
			wrapped.set(wrapper, { source, next: source.next });
			return wrapper;
		},
	});
})
