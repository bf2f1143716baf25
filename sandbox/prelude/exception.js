// DOMException (https://webidl.spec.whatwg.org/#idl-DOMException).
(function () {
	const codes = {
		__proto__: null, IndexSizeError: 1, HierarchyRequestError: 3, WrongDocumentError: 4, InvalidCharacterError: 5,
		NoModificationAllowedError: 7, NotFoundError: 8, NotSupportedError: 9, InUseAttributeError: 10, InvalidStateError: 11,
		SyntaxError: 12, InvalidModificationError: 13, NamespaceError: 14, InvalidAccessError: 15, TypeMismatchError: 17,
		SecurityError: 18, NetworkError: 19, AbortError: 20, URLMismatchError: 21, QuotaExceededError: 22, TimeoutError: 23,
		InvalidNodeTypeError: 24, DataCloneError: 25,
	};
	const define = Object.defineProperty;
	// An Error made by its constructor: so it has a stack and the host knows it.
	class DOMException extends Error {
		#name;
		constructor(message = "", options = "Error") {
			message = `${message}`;
			super(message);
			if (typeof options === "object" && options !== null) { // as node has it
				this.#name = options.name === undefined ? "Error" : `${options.name}`;
				if ("cause" in options) {
					define(this, "cause", { value: options.cause, writable: true, configurable: true, enumerable: false });
				}
			} else {
				this.#name = `${options}`;
			}
			define(this, "message", { value: message, writable: true, configurable: true, enumerable: false });
		}
		get name() { return this.#name }
		get code() { return codes[this.#name] ?? 0 }
		get [Symbol.toStringTag]() { return "DOMException" }
	}
	for (const name in codes) {
		// IndexSizeError is INDEX_SIZE_ERR, URLMismatchError URL_MISMATCH_ERR.
		let constant = "";
		for (let i = 0; i < name.length - "Error".length; i++) {
			const c = name[i];
			if (i > 0 && c >= "A" && c <= "Z" && (name[i - 1] > "Z" || name[i + 1] > "Z")) constant += "_";
			constant += c.toUpperCase();
		}
		const property = { value: codes[name], enumerable: true };
		define(DOMException, constant + "_ERR", property);
		define(DOMException.prototype, constant + "_ERR", property);
	}
	return { DOMException };
})
