// Error.captureStackTrace, which V8 has, and Error.isError (ES2026).
(function (define, isError) {
	"use strict";
	define(Error, {
		captureStackTrace(target) {
			if (Object(target) !== target) throw new TypeError("Error.captureStackTrace takes an object");
			const frames = new Error().stack.split("\n").slice(2).join("\n");
			define(target, { stack: Error.prototype.toString.call(target) + "\n" + frames }, true);
		},
		isError(value) { return isError(value); },
	});
})
