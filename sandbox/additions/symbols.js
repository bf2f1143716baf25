// The well-known symbols that the engine lacks; esbuild's lowering of async
// generators, for await and using takes them from here.
(function () {
	"use strict";
	for (const name of ["asyncIterator", "dispose", "asyncDispose"]) {
		if (!(name in Symbol)) Object.defineProperty(Symbol, name, { value: Symbol("Symbol." + name) });
	}
})
