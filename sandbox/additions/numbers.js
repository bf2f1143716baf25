// Number and BigInt toLocaleString, in the manner of en-US whatever the locale:
// there is no Intl. Other options than those here are refused.
(function (define) {
	"use strict";
	const symbols = { USD: "$", EUR: "€", GBP: "£", JPY: "¥", INR: "₹", CNY: "CN¥", KRW: "₩", BRL: "R$", CAD: "CA$", AUD: "A$", MXN: "MX$", NZD: "NZ$", ILS: "₪", VND: "₫", TWD: "NT$", HKD: "HK$" };
	const whole = new Set(["JPY", "KRW", "VND", "CLP", "ISK"]);
	const known = new Set(["style", "currency", "minimumFractionDigits", "maximumFractionDigits", "minimumIntegerDigits", "useGrouping", "currencyDisplay", "localeMatcher", "numberingSystem"]);

	// plain is a positive number without an exponent: digits before the point, and after.
	function plain(x) {
		const [, int, fraction = "", exponent = "0"] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(x));
		const shift = Number(exponent);
		if (shift >= 0) return [int + fraction.slice(0, shift).padEnd(shift, "0"), fraction.slice(shift)];
		const digits = int.padStart(1 - shift, "0");
		return [digits.slice(0, digits.length + shift), digits.slice(digits.length + shift) + fraction];
	}
	function digitsOption(value, low, high, fallback, name) {
		if (value === undefined) return fallback;
		value = Number(value);
		if (!(value >= low && value <= high)) throw new RangeError(name + " value is out of range.");
		return Math.floor(value);
	}
	function format(int, fraction, negative, options) {
		options = options === undefined ? {} : Object(options);
		for (const key of Object.keys(options)) {
			if (options[key] !== undefined && !known.has(key)) throw new RangeError("toLocaleString: the option " + key + " is not available in the sandbox");
		}
		const { style = "decimal", currency } = options;
		if (!["decimal", "percent", "currency"].includes(style)) throw new RangeError("toLocaleString: the style " + style + " is not available in the sandbox");
		if (style === "currency" && currency === undefined) throw new TypeError("Currency code is required with currency style.");
		const code = String(currency).toUpperCase();
		if (style === "currency" && !/^[A-Z]{3}$/.test(code)) throw new RangeError("Invalid currency code : " + currency);
		const usual = style === "currency" ? (whole.has(code) ? 0 : 2) : 0;
		const wantedLow = digitsOption(options.minimumFractionDigits, 0, 100, undefined, "minimumFractionDigits");
		const wantedHigh = digitsOption(options.maximumFractionDigits, 0, 100, undefined, "maximumFractionDigits");
		const low = wantedLow ?? Math.min(usual, wantedHigh ?? usual);
		const high = wantedHigh ?? Math.max(low, style === "decimal" ? 3 : usual);
		if (low > high) throw new RangeError("maximumFractionDigits value is out of range.");
		const integers = digitsOption(options.minimumIntegerDigits, 1, 21, 1, "minimumIntegerDigits");
		if (int !== undefined) {
			if (style === "percent") {
				fraction = fraction.padEnd(2, "0");
				[int, fraction] = [int + fraction.slice(0, 2), fraction.slice(2)];
			}
			if (fraction.length > high) {
				const up = fraction[high] >= "5" ? 1n : 0n;
				const digits = (BigInt(int + fraction.slice(0, high)) + up).toString().padStart(high + 1, "0");
				[int, fraction] = [digits.slice(0, digits.length - high), digits.slice(digits.length - high)];
			}
			int = int.replace(/^0+(?=\d)/, "").padStart(integers, "0");
			while (fraction.length > low && fraction.endsWith("0")) fraction = fraction.slice(0, -1);
			fraction = fraction.padEnd(low, "0");
			if (options.useGrouping !== false && options.useGrouping !== "false") {
				if (!(options.useGrouping === "min2" && int.length < 5)) int = int.replace(/\B(?=(\d{3})+$)/g, ",");
			}
		}
		const number = int === undefined ? fraction : int + (fraction && "." + fraction);
		let prefix = "", suffix = style === "percent" ? "%" : "";
		if (style === "currency") prefix = symbols[code] && options.currencyDisplay !== "code" ? symbols[code] : code + "\u00a0";
		return (negative ? "-" : "") + prefix + number + suffix;
	}
	const numberValue = Number.prototype.valueOf, bigintValue = BigInt.prototype.valueOf;
	define(Number.prototype, {
		toLocaleString(locales = undefined, options = undefined) {
			const x = numberValue.call(this), negative = x < 0 || Object.is(x, -0);
			if (x !== x) return format(undefined, "NaN", false, options);
			if (x === Infinity || x === -Infinity) return format(undefined, "∞", negative, options);
			return format(...plain(Math.abs(x)), negative, options);
		},
	}, true);
	define(BigInt.prototype, {
		toLocaleString(locales = undefined, options = undefined) {
			const x = bigintValue.call(this);
			return format((x < 0n ? -x : x).toString(), "", x < 0n, options);
		},
	}, true);
})
