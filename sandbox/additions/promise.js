// Promise.withResolvers (ES2024) and Promise.try (ES2025).
(function (define) {
	"use strict";
	define(Promise, {
		withResolvers() {
			let resolve, reject;
			const promise = new this((a, b) => { resolve = a; reject = b; });
			return { promise, resolve, reject };
		},
		try(callback, ...args) {
			return new this((resolve) => resolve(callback(...args)));
		},
	});
})
