// crypto (https://w3c.github.io/webcrypto): random values, digests and HMAC.
(function ({ use, random, randomUUID, digest, hmac, base64URL, readOnly }) {
	const exception = (message, name) => new (use("exception").DOMException)(message, name);
	const { bytes, dictionary } = use("webidl");
	const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
	const viewKind = getOwnPropertyDescriptor(getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;
	const integers = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "BigInt64Array", "BigUint64Array"];
	const secret = {};

	const hashes = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];
	const blocks = { __proto__: null, "SHA-1": 64, "SHA-256": 64, "SHA-384": 128, "SHA-512": 128 };
	const nameOf = (algorithm) => {
		const name = typeof algorithm === "object" && algorithm !== null ? algorithm.name : algorithm;
		if (name === undefined) throw new TypeError("The algorithm has no name");
		return `${name}`.toUpperCase();
	};
	const hashOf = (algorithm) => {
		const name = nameOf(algorithm);
		if (!hashes.includes(name)) throw exception(`The hash ${name} is not supported; there are ${hashes.join(", ")}`, "NotSupportedError");
		return name;
	};
	const mustBeHMAC = (algorithm) => {
		const name = nameOf(algorithm);
		if (name !== "HMAC") throw exception(`The algorithm ${name} is not supported; there is HMAC`, "NotSupportedError");
	};
	const data = (value, what) => {
		const copy = bytes(value);
		if (copy === null) throw new TypeError(`${what} must be an ArrayBuffer or a view on one`);
		return copy;
	};

	let newKey, secretOf;
	class CryptoKey {
		#secret; #algorithm; #extractable; #usages;
		constructor(token) { if (token !== secret) throw new TypeError("Illegal constructor") }
		get type() { return "secret" }
		get extractable() { return this.#extractable }
		get algorithm() { return this.#algorithm }
		get usages() { return this.#usages }
		static {
			newKey = (value, hash, extractable, usages) => {
				const key = new CryptoKey(secret);
				key.#secret = value;
				key.#algorithm = { name: "HMAC", hash: { name: hash }, length: value.byteLength * 8 };
				key.#extractable = extractable;
				key.#usages = usages;
				return key;
			};
			secretOf = (key, usage) => {
				if (typeof key !== "object" || key === null || !(#secret in key)) throw new TypeError("The key must be a CryptoKey");
				if (!key.#usages.includes(usage)) throw exception(`The key can't be used to ${usage}`, "InvalidAccessError");
				return [key.#algorithm.hash.name, key.#secret];
			};
		}
	}

	class SubtleCrypto {
		constructor(token) { if (token !== secret) throw new TypeError("Illegal constructor") }
		async digest(algorithm, input) { return digest(hashOf(algorithm), data(input, "digest: the data")) }
		async importKey(format, keyData, algorithm, extractable, usages) {
			if (arguments.length < 5) throw new TypeError("importKey: 5 arguments required");
			mustBeHMAC(algorithm);
			const hash = hashOf(algorithm.hash ?? "");
			usages = [...usages].map(String);
			if (usages.some((u) => u !== "sign" && u !== "verify")) {
				throw exception("A key for HMAC can be used to sign and verify only", "SyntaxError");
			}
			if (usages.length === 0) throw exception("Usages cannot be empty when importing a secret key.", "SyntaxError");
			let value;
			switch (`${format}`) {
				case "raw":
					value = data(keyData, "importKey: the key");
					break;
				case "jwk": {
					const { kty, k, alg, use, ext } = dictionary(keyData, "importKey");
					if (kty !== "oct") throw exception('Invalid JWK "kty" Parameter', "DataError");
					value = typeof k === "string" ? base64URL(k) : null;
					if (value === null) throw exception('Invalid JWK "k" Parameter', "DataError");
					if (alg !== undefined && alg !== `HS${hash.slice(4)}`) throw exception('JWK "alg" does not match the hash', "DataError");
					if (use !== undefined && use !== "sig") throw exception('Invalid JWK "use" Parameter', "DataError");
					if (ext === false && extractable) throw exception('JWK "ext" does not allow the key to be extractable', "DataError");
					break;
				}
				default:
					throw exception(`The key format ${format} is not supported; there are raw and jwk`, "NotSupportedError");
			}
			if (value.byteLength === 0) throw exception("Zero-length key is not supported", "DataError");
			if (algorithm.length !== undefined && Number(algorithm.length) !== value.byteLength * 8) {
				throw exception("Invalid key length", "DataError");
			}
			return newKey(value, hash, !!extractable, usages.filter((u, i) => usages.indexOf(u) === i));
		}
		async sign(algorithm, key, input) {
			mustBeHMAC(algorithm);
			const copy = data(input, "sign: the data");
			return hmac(...secretOf(key, "sign"), copy, null);
		}
		async verify(algorithm, key, signature, input) {
			mustBeHMAC(algorithm);
			const expected = data(signature, "verify: the signature"), copy = data(input, "verify: the data");
			return hmac(...secretOf(key, "verify"), copy, expected);
		}
	}

	class Crypto {
		#subtle = new SubtleCrypto(secret);
		constructor(token) { if (token !== secret) throw new TypeError("Illegal constructor") }
		get subtle() { return this.#subtle }
		getRandomValues(array) {
			if (!ArrayBuffer.isView(array) || !integers.includes(viewKind.call(array))) {
				throw exception("The data argument must be an integer-type TypedArray", "TypeMismatchError");
			}
			const { byteLength } = array;
			if (byteLength > 65536) {
				throw exception(`The requested length exceeds 65,536 bytes`, "QuotaExceededError");
			}
			new Uint8Array(array.buffer, array.byteOffset, byteLength).set(new Uint8Array(random(byteLength)));
			return array;
		}
		randomUUID() { return randomUUID() }
	}
	readOnly(CryptoKey, SubtleCrypto, Crypto);
	return { crypto: new Crypto(secret), CryptoKey };
})
