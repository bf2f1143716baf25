// performance (https://w3c.github.io/hr-time): the clock of this execution.
(function ({ readOnly, now, timeOrigin }) {
	class Performance {
		now() { return now() }
		get timeOrigin() { return timeOrigin() }
		toJSON() { return { timeOrigin: timeOrigin() } }
	}
	readOnly(Performance);
	return { performance: new Performance() };
})
