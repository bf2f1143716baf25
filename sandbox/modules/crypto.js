"use strict";
const { classOf, startHash, startHmac, random, sameBytes, pbkdf2 } = host;
const { coded, wrongType, outOfRange, invalidValue, needString, needInteger, needFunction } = require("_errors");
const { Buffer } = require("buffer");

const HASHES = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512-224", "sha512-256",
	"sha3-224", "sha3-256", "sha3-384", "sha3-512"];

// algorithmOf is the host's name of an algorithm: "SHA-256" and "RSA-SHA256" are sha256.
const algorithmOf = (name) => name.toLowerCase().replace(/^rsa-/, "").replace(/^sha-/, "sha").replace(/^sha512\//, "sha512-");

const unknown = (name) => coded(Error, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${name}; available: ${HASHES.join(", ")}`);

// toBytes is a text or a view as bytes.
function toBytes(value, encoding, name) {
	if (typeof value === "string") return Buffer.from(value, encoding === "buffer" ? "utf8" : encoding);
	if (ArrayBuffer.isView(value)) return value;
	if (classOf(value) === "ArrayBuffer") return new Uint8Array(value);
	throw wrongType(name, "of type string or an instance of Buffer, TypedArray, or DataView", value);
}
const spanOf = (bytes) => [bytes.buffer, bytes.byteOffset, bytes.byteLength];

const inEncoding = (buffer, encoding) => encoding === undefined || encoding === null || encoding === "buffer"
	? Buffer.from(buffer) : Buffer.from(buffer).toString(encoding);

// Digest is what Hash and Hmac share.
class Digest {
	#running; #done = false;
	constructor(running) { this.#running = running }
	update(data, encoding) {
		if (this.#done) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
		this.#running.update(...spanOf(toBytes(data, encoding, "data")));
		return this;
	}
	digest(encoding) {
		if (this.#done) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
		this.#done = true;
		return inEncoding(this.#running.digest(), encoding);
	}
	static copyOf(digest) {
		if (digest.#done) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
		return digest.#running.copy();
	}
}

class Hash extends Digest {
	copy() { return new Hash(Digest.copyOf(this)) }
}
class Hmac extends Digest {}

exports.createHash = function createHash(algorithm, options) {
	needString(algorithm, "algorithm");
	const running = startHash(algorithmOf(algorithm));
	if (running === null) throw coded(Error, "ERR_OSSL_EVP_UNSUPPORTED", `Digest method not supported: ${algorithm}; available: ${HASHES.join(", ")}`);
	if (options?.outputLength !== undefined) throw invalidValue("options.outputLength", options.outputLength, "is not supported");
	return new Hash(running);
};

exports.createHmac = function createHmac(algorithm, key) {
	needString(algorithm, "hmac");
	if (key === null || key === undefined) {
		throw wrongType("key", "of type string or an instance of ArrayBuffer, Buffer, TypedArray, DataView, KeyObject, or CryptoKey", key);
	}
	const running = startHmac(algorithmOf(algorithm), ...spanOf(toBytes(key, "utf8", "key")));
	if (running === null) throw unknown(algorithm);
	return new Hmac(running);
};

exports.hash = function hash(algorithm, input, encoding = "hex") {
	return exports.createHash(algorithm).update(input).digest(encoding);
};
exports.getHashes = () => HASHES.slice();
exports.Hash = Hash;
exports.Hmac = Hmac;

// later calls back as node does, after the caller's turn.
function later(callback, work) {
	const result = work();
	setTimeout(() => callback(null, result), 0);
}

// The host gives no more than this at once.
const CHUNK = 65536;
function randomBuffer(size) {
	const buffer = Buffer.alloc(size);
	for (let at = 0; at < size; at += CHUNK) buffer.set(new Uint8Array(random(Math.min(CHUNK, size - at))), at);
	return buffer;
}

const MAX_RANDOM = 2 ** 26;
exports.randomBytes = function randomBytes(size, callback) {
	if (typeof size !== "number") throw wrongType("size", "of type number", size);
	if (!(size >= 0 && size <= MAX_RANDOM)) throw outOfRange("size", `>= 0 && <= ${MAX_RANDOM}`, size);
	const bytes = randomBuffer(size);
	if (callback === undefined) return bytes;
	needFunction(callback, "callback");
	later(callback, () => bytes);
};
exports.pseudoRandomBytes = exports.randomBytes;

exports.randomFillSync = function randomFillSync(buffer, offset = 0, size = buffer.byteLength - offset) {
	if (!ArrayBuffer.isView(buffer)) throw wrongType("buf", "an instance of ArrayBuffer, Buffer, TypedArray, or DataView", buffer);
	needInteger(offset, "offset", 0, buffer.byteLength);
	needInteger(size, "size", 0, buffer.byteLength - offset);
	new Uint8Array(buffer.buffer, buffer.byteOffset + offset, size).set(randomBuffer(size));
	return buffer;
};

exports.randomUUID = function randomUUID() {
	const bytes = Buffer.from(random(16));
	bytes[6] = bytes[6] & 15 | 64;
	bytes[8] = bytes[8] & 63 | 128;
	return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
};

exports.randomInt = function randomInt(min, max, callback) {
	if (max === undefined || typeof max === "function") [min, max, callback] = [0, min, max];
	if (!Number.isSafeInteger(min)) throw wrongType("min", "a safe integer", min);
	if (!Number.isSafeInteger(max)) throw wrongType("max", "a safe integer", max);
	const range = max - min;
	if (range <= 0) throw outOfRange("max", `greater than the value of "min" (${min})`, max);
	if (range > 2 ** 48 - 1) throw outOfRange("max - min", `<= ${2 ** 48 - 1}`, range);
	// What lies beyond the last whole range would favour small numbers.
	const limit = 2 ** 48 - 2 ** 48 % range;
	let value;
	do value = Buffer.from(random(6)).readUIntBE(0, 6); while (value >= limit);
	value = value % range + min;
	if (callback === undefined) return value;
	later((_, n) => callback(undefined, n), () => value);
};

exports.timingSafeEqual = function timingSafeEqual(a, b) {
	for (const [value, name] of [[a, "buf1"], [b, "buf2"]]) {
		if (!ArrayBuffer.isView(value) && classOf(value) !== "ArrayBuffer") {
			throw coded(TypeError, "ERR_INVALID_ARG_TYPE", `The "${name}" argument must be an instance of ArrayBuffer, Buffer, TypedArray, or DataView.`);
		}
	}
	if (a.byteLength !== b.byteLength) {
		throw coded(RangeError, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length");
	}
	return sameBytes(...spanOf(toBytes(a)), ...spanOf(toBytes(b)));
};

exports.pbkdf2Sync = function pbkdf2Sync(password, salt, iterations, length, digest) {
	needString(digest, "digest");
	password = toBytes(password, "utf8", "password");
	salt = toBytes(salt, "utf8", "salt");
	needInteger(iterations, "iterations", 1, 2 ** 31 - 1);
	needInteger(length, "keylen", 0, 2 ** 31 - 1);
	if (length > MAX_RANDOM) throw outOfRange("keylen", `>= 0 && <= ${MAX_RANDOM}`, length);
	const key = pbkdf2(algorithmOf(digest), ...spanOf(password), ...spanOf(salt), iterations, length);
	if (key === null) throw unknown(digest);
	return Buffer.from(key);
};
exports.pbkdf2 = function pbkdf2(password, salt, iterations, length, digest, callback) {
	needFunction(callback, "callback");
	later(callback, () => exports.pbkdf2Sync(password, salt, iterations, length, digest));
};

// The global crypto, where the realm has it.
Object.defineProperties(exports, {
	webcrypto: { get: () => globalThis.crypto, enumerable: true, configurable: true },
	subtle: { get: () => globalThis.crypto?.subtle, enumerable: true, configurable: true },
	getRandomValues: { get: () => globalThis.crypto?.getRandomValues.bind(globalThis.crypto), enumerable: true, configurable: true },
});

// What is missing says so, rather than being "not a function".
for (const name of ["createCipheriv", "createDecipheriv", "createSign", "createVerify", "sign", "verify", "scrypt", "scryptSync",
	"hkdf", "hkdfSync", "generateKeyPair", "generateKeyPairSync", "createPrivateKey", "createPublicKey", "createSecretKey",
	"publicEncrypt", "privateDecrypt", "createDiffieHellman", "createECDH"]) {
	exports[name] = () => { throw coded(Error, "ERR_FEATURE_UNAVAILABLE", `crypto.${name} is not available in the sandbox`) };
}
