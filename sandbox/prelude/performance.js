// performance (https://w3c.github.io/hr-time): the clock of this execution.
(function ({ use, now, timeOrigin }) {
	const { EventTarget } = use("events");
	const { readOnly } = use("webidl");
	class Performance extends EventTarget {
		now() { return now() }
		get timeOrigin() { return timeOrigin() }
		toJSON() { return { timeOrigin: timeOrigin() } }
	}
	readOnly(Performance);
	return { performance: new Performance() };
})
