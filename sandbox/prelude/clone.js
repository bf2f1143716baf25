// structuredClone (https://html.spec.whatwg.org/#structured-cloning). Nothing can
// be transferred.
(function ({ use, loaded, classOf, bytesOf }) {
	const exception = (message, name) => new (use("exception").DOMException)(message, name);
	const { dictionary } = use("webidl");
	const { isView } = ArrayBuffer;
	const { hasOwn, keys, getOwnPropertyDescriptor, getPrototypeOf, defineProperty } = Object;
	const viewKind = getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;
	const views = { BigInt64Array, BigUint64Array, DataView, Float32Array, Float64Array, Int16Array, Int32Array, Int8Array, Uint16Array, Uint32Array, Uint8Array, Uint8ClampedArray };
	const errors = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
	const { exec } = RegExp.prototype, { valueOf: boolean } = Boolean.prototype, { valueOf: number } = Number.prototype;
	const { valueOf: string } = String.prototype, { getTime } = Date.prototype, { forEach: eachOfMap } = Map.prototype, { forEach: eachOfSet } = Set.prototype;

	// What the engine doesn't mark but its class does by its tag.
	const tag = Symbol.toStringTag;
	const uncloneable = new Set(["AbortController", "AbortSignal", "Crypto", "CryptoKey", "Event", "EventTarget", "FormData", "Generator", "Headers",
		"Performance", "Promise", "ReadableStream", "Request", "Response", "SubtleCrypto", "TextDecoder", "TextEncoder", "URL", "URLSearchParams", "WeakMap", "WeakRef", "WeakSet"]);

	const sizeOf = (c) => getOwnPropertyDescriptor(c.prototype, "size").get;
	const mapSize = sizeOf(Map), setSize = sizeOf(Set);
	// The engine's mark, and for what it leaves unmarked a method that takes no other.
	const succeeds = (method, value) => {
		try {
			method.call(value);
			return true;
		} catch {
			return false;
		}
	};
	const kindOf = (value) => {
		const mark = classOf(value);
		if (mark !== "Object") return mark;
		return succeeds(mapSize, value) ? "Map" : succeeds(setSize, value) ? "Set" : mark;
	};

	const refuse = (value) => {
		let what = typeof value === "function" ? "a function" : "an object of this kind";
		if (typeof value === "symbol") what = String(value);
		throw exception(`${what} could not be cloned.`, "DataCloneError");
	};
	const property = (target, name, value, enumerable) => {
		defineProperty(target, name, { value, writable: true, configurable: true, enumerable });
	};

	const clone = (value, memory) => {
		if (typeof value === "symbol" || typeof value === "function") refuse(value);
		if (typeof value !== "object" || value === null) return value;
		if (memory.has(value)) return memory.get(value);
		const remember = (copy) => {
			memory.set(value, copy);
			return copy;
		};
		const blobs = loaded("blob");
		if (blobs?.isBlob(value)) {
			const { File, isFile } = blobs;
			return remember(isFile(value) ? new File([value], value.name, { type: value.type, lastModified: value.lastModified }) : value.slice(0, value.size, value.type));
		}
		if (isView(value)) {
			const kind = viewKind.call(value) ?? "DataView";
			const buffer = clone(value.buffer, memory);
			if (kind === "DataView") return remember(new DataView(buffer, value.byteOffset, value.byteLength));
			return remember(new views[kind](buffer, value.byteOffset, value.length));
		}
		switch (kindOf(value)) {
			case "Boolean": return remember(Object(boolean.call(value)));
			case "Number": return remember(Object(number.call(value)));
			case "String": return remember(Object(string.call(value)));
			case "Date": return remember(new Date(getTime.call(value)));
			case "RegExp": return remember(new RegExp(value.source, value.flags));
			case "ArrayBuffer": return remember(bytesOf(value));
			case "Map": {
				const copy = remember(new Map()), pairs = [];
				eachOfMap.call(value, (v, k) => pairs.push([k, v]));
				for (const [k, v] of pairs) copy.set(clone(k, memory), clone(v, memory));
				return copy;
			}
			case "Set": {
				const copy = remember(new Set()), items = [];
				eachOfSet.call(value, (v) => items.push(v));
				for (const v of items) copy.add(clone(v, memory));
				return copy;
			}
			case "Error": {
				const name = String(value.name);
				const copy = remember(new (errors[hasOwn(errors, name) ? name : "Error"])());
				const message = getOwnPropertyDescriptor(value, "message");
				if (message !== undefined && "value" in message) property(copy, "message", String(message.value), false);
				if (hasOwn(value, "cause")) property(copy, "cause", clone(value.cause, memory), false);
				return copy;
			}
			case "Array": {
				const copy = remember(new Array(value.length));
				for (const key of keys(value)) if (hasOwn(value, key)) property(copy, key, clone(value[key], memory), true);
				return copy;
			}
			case "Object": case "Arguments": {
				if (!hasOwn(value, tag) && uncloneable.has(value[tag])) refuse(value);
				const copy = remember({});
				for (const key of keys(value)) if (hasOwn(value, key)) property(copy, key, clone(value[key], memory), true);
				return copy;
			}
		}
		return refuse(value);
	};

	const functions = {
		structuredClone(value) {
			if (arguments.length === 0) throw new TypeError("structuredClone: 1 argument required, but only 0 present");
			const { transfer } = dictionary(arguments[1], "structuredClone");
			if (transfer !== undefined && [...transfer].length > 0) {
				throw exception("Nothing can be transferred here; without transfer it is copied", "DataCloneError");
			}
			return clone(value, new Map());
		},
	};
	return { structuredClone: functions.structuredClone };
})
