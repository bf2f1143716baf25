// Object.groupBy, Map.groupBy (ES2024) and Array.fromAsync (ES2026, in engines since 2024).
(function (define) {
	"use strict";
	function group(items, callback, put) {
		if (items === undefined || items === null) throw new TypeError("groupBy: the items must not be " + items);
		if (typeof callback !== "function") throw new TypeError("groupBy: the callback is not a function");
		let i = 0;
		for (const item of items) put(callback(item, i++), item);
	}
	define(Object, {
		groupBy(items, callback) {
			const groups = Object.create(null);
			group(items, callback, (key, item) => {
				if (typeof key !== "symbol") key = String(key);
				if (key in groups) groups[key].push(item);
				else groups[key] = [item];
			});
			return groups;
		},
	});
	define(Map, {
		groupBy(items, callback) {
			const groups = new Map();
			group(items, callback, (key, item) => {
				const members = groups.get(key);
				if (members) members.push(item);
				else groups.set(key, [item]);
			});
			return groups;
		},
	});
	define(Array, {
		async fromAsync(items, mapper = undefined, receiver = undefined) {
			if (mapper !== undefined && typeof mapper !== "function") throw new TypeError("Array.fromAsync: the mapper is not a function");
			const list = typeof this === "function" ? new this() : [];
			let n = 0;
			const put = async (value) => {
				if (mapper) value = await mapper.call(receiver, value, n);
				Object.defineProperty(list, n++, { value, writable: true, enumerable: true, configurable: true });
			};
			const own = Symbol.asyncIterator && items[Symbol.asyncIterator];
			const method = own ?? items[Symbol.iterator];
			if (method === undefined || method === null) {
				for (let i = 0; i < items.length; i++) await put(await items[i]);
			} else {
				const iterator = method.call(items), next = iterator.next;
				for (;;) {
					const step = await next.call(iterator);
					if (Object(step) !== step) throw new TypeError("an iterator's result is not an object");
					if (step.done) break;
					try {
						await put(own ? step.value : await step.value);
					} catch (error) {
						try { await iterator.return?.(); } catch {}
						throw error;
					}
				}
			}
			list.length = n;
			return list;
		},
	});
})
