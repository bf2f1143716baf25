"use strict";
const { classOf } = host;
// What values really are, whatever they pretend.
exports.isPrimitive = (value) => value === null || typeof value !== "object" && typeof value !== "function";

const tagOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;
exports.typedArrayName = (value) => tagOf.call(value);

const UNBOXED = [Number, String, Boolean, BigInt, Symbol].map((type) => type.prototype.valueOf);

// boxed is the primitive in an object like new Number(1), or undefined.
exports.boxed = (value) => {
	if (typeof value !== "object" || value === null) return undefined;
	for (const valueOf of UNBOXED) {
		try { return valueOf.call(value) } catch { /* it is another kind */ }
	}
	return undefined;
};

const sizes = [[WeakMap, "WeakMap"], [WeakSet, "WeakSet"]].map(([type, kind]) => [type.prototype.has, kind]);

// kindOf is the engine's own mark of an object: "Date", "Map", "Proxy", … or
// "Object"; "" for what is no object.
function kindOf(value) {
	const kind = classOf(value);
	if (kind === null) return "";
	const proto = kind === "Object" ? Object.getPrototypeOf(value) : null;
	if (proto === null || proto === Object.prototype) return kind;
	for (const [has, other] of sizes) {
		try {
			has.call(value, value);
			return other;
		} catch { /* it is another kind */ }
	}
	return kind;
}
exports.kindOf = kindOf;

const GENERATOR = Object.getPrototypeOf(function* () {}), ASYNC = Object.getPrototypeOf(async () => {});
const isGenerator = (value) => typeof value === "function" && GENERATOR.isPrototypeOf(value);
const isAsync = (value) => typeof value === "function" && ASYNC.isPrototypeOf(value);
const is = (kind) => (value) => kindOf(value) === kind;
const isTyped = (name) => (value) => tagOf.call(value) === name;
const isBoxed = (type) => (value) => typeof exports.boxed(value) === type;
const types = {
	isDate: is("Date"), isRegExp: is("RegExp"), isPromise: is("Promise"), isNativeError: is("Error"), isProxy: is("Proxy"),
	isMap: is("Map"), isSet: is("Set"), isWeakMap: is("WeakMap"), isWeakSet: is("WeakSet"),
	isMapIterator: is("Map Iterator"), isSetIterator: is("Set Iterator"),
	isArrayBuffer: is("ArrayBuffer"), isAnyArrayBuffer: is("ArrayBuffer"), isSharedArrayBuffer: () => false,
	isArrayBufferView: (value) => ArrayBuffer.isView(value),
	isDataView: (value) => ArrayBuffer.isView(value) && tagOf.call(value) === undefined,
	isTypedArray: (value) => tagOf.call(value) !== undefined,
	isAsyncFunction: isAsync,
	isGeneratorFunction: isGenerator,
	isGeneratorObject: (value) => GENERATOR.prototype.isPrototypeOf(value),
	isNumberObject: isBoxed("number"), isStringObject: isBoxed("string"), isBooleanObject: isBoxed("boolean"),
	isBigIntObject: isBoxed("bigint"), isSymbolObject: isBoxed("symbol"),
	isBoxedPrimitive: (value) => exports.boxed(value) !== undefined,
	isExternal: () => false, isModuleNamespaceObject: () => false,
};
for (const name of ["Uint8Array", "Uint8ClampedArray", "Uint16Array", "Uint32Array", "Int8Array", "Int16Array", "Int32Array",
	"Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array"]) types[`is${name}`] = isTyped(name);
types.isArgumentsObject = (value) => typeof value === "object" && value !== null && !(Symbol.toStringTag in value)
	&& Object.prototype.toString.call(value) === "[object Arguments]";
exports.types = types;
