// What every addition is given to define properties with: as built-ins have
// them, not enumerable. A built-in that the engine has stays as it is.
(function (target, properties, replace) {
	for (const key of Reflect.ownKeys(properties)) {
		if (replace || !(key in target)) {
			Object.defineProperty(target, key, { value: properties[key], writable: true, configurable: true });
		}
	}
})
