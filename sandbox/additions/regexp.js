// RegExp with what the engine lacks: property escapes with flag u, and flag v.
// They are written out as ranges; source and flags show what was asked for.
(function (define, translate) {
	"use strict";
	const original = RegExp;
	const isRegExp = (value) => {
		if (Object(value) !== value) return false;
		const match = value[Symbol.match];
		return match !== undefined ? Boolean(match) : value instanceof original;
	};
	function Wrapper(pattern, flags) {
		const regexp = isRegExp(pattern);
		if (new.target === undefined && regexp && flags === undefined && pattern.constructor === Wrapper) return pattern;
		const target = new.target ?? Wrapper;
		const source = regexp ? pattern.source : pattern === undefined ? "" : String(pattern);
		const options = flags === undefined ? (regexp ? pattern.flags : "") : String(flags);
		const sets = options.includes("v");
		if (!sets && !(options.includes("u") && (source.includes("\\p") || source.includes("\\P")))) {
			return Reflect.construct(original, [source, options], target);
		}
		if (sets && options.includes("u")) throw new SyntaxError("Invalid flags supplied to RegExp constructor '" + options + "'");
		const made = Reflect.construct(original, [translate(source, sets), options.replace("v", "u")], target);
		define(made, { source: source || "(?:)" }, true);
		if (sets) define(made, { unicodeSets: true, flags: [...options].sort().join("") }, true);
		return made;
	}
	define(Wrapper, { name: "RegExp" }, true);
	Object.defineProperty(Wrapper, "name", { writable: false });
	Object.defineProperty(Wrapper, "prototype", { value: original.prototype, writable: false });
	for (const key of Reflect.ownKeys(original)) {
		if (!Object.hasOwn(Wrapper, key)) Object.defineProperty(Wrapper, key, Object.getOwnPropertyDescriptor(original, key));
	}
	define(original.prototype, { constructor: Wrapper }, true);
	define(globalThis, { RegExp: Wrapper }, true);
})
