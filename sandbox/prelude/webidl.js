// What the other preludes share of Web IDL (https://webidl.spec.whatwg.org).
(function ({ encode, bytesOf, classOf }) {
	const { isView } = ArrayBuffer;
	const tag = Symbol.toStringTag;

	// dictionary takes the init object of a constructor.
	const dictionary = (value, where) => {
		if (value === undefined || value === null) return {};
		if (typeof value !== "object" && typeof value !== "function") {
			throw new TypeError(`${where}: the options must be an object`);
		}
		return value;
	};

	// bytes is a copy of what an ArrayBuffer or a view on one holds, as an
	// ArrayBuffer, or null for any other value.
	const bytes = (value) => {
		if (typeof value !== "object" || value === null) return null;
		return isView(value) || classOf(value) === "ArrayBuffer" ? bytesOf(value) : null;
	};

	const concat = (buffers) => {
		let total = 0;
		for (const buffer of buffers) total += buffer.byteLength;
		const all = new Uint8Array(total);
		let at = 0;
		for (const buffer of buffers) {
			all.set(new Uint8Array(buffer), at);
			at += buffer.byteLength;
		}
		return all.buffer;
	};

	// pairIterators gives a class the iterators over a list of pairs. list is
	// called for every step, as the list may change meanwhile.
	const pairIterators = (c, list) => {
		const prototype = Object.create(Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())));
		const states = new WeakMap();
		Object.defineProperties(prototype, {
			next: {
				value: function next() {
					const state = states.get(this);
					if (state === undefined) throw new TypeError(`next: not a ${c.name} Iterator`);
					const pairs = list(state.target);
					if (state.at >= pairs.length) return { value: undefined, done: true };
					const [name, value] = pairs[state.at++];
					return { value: state.kind === 0 ? name : state.kind === 1 ? value : [name, value], done: false };
				}, writable: true, enumerable: true, configurable: true,
			},
			[tag]: { value: `${c.name} Iterator`, configurable: true },
		});
		const start = (target, kind) => {
			list(target); // throws for a foreign this
			const iterator = Object.create(prototype);
			states.set(iterator, { target, kind, at: 0 });
			return iterator;
		};
		const methods = {
			entries() { return start(this, 2) },
			keys() { return start(this, 0) },
			values() { return start(this, 1) },
			forEach(callback, self) {
				if (typeof callback !== "function") throw new TypeError("forEach: the argument must be a function");
				for (let at = 0; at < list(this).length; at++) {
					const [name, value] = list(this)[at];
					callback.call(self, value, name, this);
				}
			},
		};
		for (const name in methods) {
			Object.defineProperty(c.prototype, name, { value: methods[name], writable: true, enumerable: true, configurable: true });
		}
		Object.defineProperty(c.prototype, Symbol.iterator, { value: methods.entries, writable: true, configurable: true });
	};

	// pairsOf reads the init of Headers and URLSearchParams: an iterable of pairs or
	// an object.
	const pairsOf = (init, where) => {
		const pairs = [];
		const method = init[Symbol.iterator];
		if (method !== undefined && method !== null) {
			for (const pair of init) {
				const items = typeof pair === "object" && pair !== null || typeof pair === "function" ? [...pair] : [];
				if (items.length !== 2) throw new TypeError(`${where}: every element must be a pair of name and value`);
				pairs.push([`${items[0]}`, `${items[1]}`]);
			}
			return pairs;
		}
		for (const name of Reflect.ownKeys(init)) {
			const property = Reflect.getOwnPropertyDescriptor(init, name);
			if (property !== undefined && property.enumerable) pairs.push([`${name}`, `${init[name]}`]);
		}
		return pairs;
	};

	return { dictionary, bytes, concat, pairIterators, pairsOf, encode };
})
