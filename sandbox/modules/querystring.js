"use strict";
const { coded } = require("_errors");
const { Buffer } = require("buffer");

function escape(text) {
	if (typeof text !== "string") text = typeof text === "object" ? String(text) : `${text}`;
	try { return encodeURIComponent(text) } catch { throw coded(URIError, "ERR_INVALID_URI", "URI malformed") }
}

// unescapeBuffer decodes what is percent-encoded and leaves what is broken.
function unescapeBuffer(text) {
	const bytes = Buffer.from(text);
	const out = [];
	for (let i = 0; i < bytes.length; i++) {
		const hex = bytes[i] === 37 ? bytes.toString("latin1", i + 1, i + 3) : "";
		if (/^[0-9a-fA-F]{2}$/.test(hex)) {
			out.push(parseInt(hex, 16));
			i += 2;
		} else out.push(bytes[i]);
	}
	return Buffer.from(out);
}

function unescape(text) {
	try { return decodeURIComponent(text) } catch { return unescapeBuffer(text).toString() }
}

const primitive = (value) => {
	switch (typeof value) {
	case "string": return value;
	case "number": return Number.isFinite(value) ? `${value}` : "";
	case "bigint": case "boolean": return `${value}`;
	}
	return "";
};

function stringify(object, separator, equals, options) {
	if (object === null || typeof object !== "object") return "";
	separator ||= "&";
	equals ||= "=";
	const encode = typeof options?.encodeURIComponent === "function" ? options.encodeURIComponent : exports.escape;
	const parts = [];
	for (const key of Object.keys(object)) {
		const name = encode(primitive(key)) + equals;
		const value = object[key];
		if (Array.isArray(value)) for (const item of value) parts.push(name + encode(primitive(item)));
		else parts.push(name + encode(primitive(value)));
	}
	return parts.join(separator);
}

function parse(text, separator, equals, options) {
	const result = Object.create(null);
	if (typeof text !== "string" || text === "") return result;
	separator ||= "&";
	equals ||= "=";
	const limit = typeof options?.maxKeys === "number" ? options.maxKeys : 1000;
	const decode = typeof options?.decodeURIComponent === "function" ? options.decodeURIComponent : exports.unescape;
	const decoded = (part) => {
		part = part.replaceAll("+", " ");
		try { return decode(part) } catch { return unescape(part) }
	};
	let parts = text.split(separator).filter((part) => part !== "");
	if (limit > 0) parts = parts.slice(0, limit);
	for (const part of parts) {
		const at = part.indexOf(equals);
		const name = decoded(at < 0 ? part : part.slice(0, at));
		const value = at < 0 ? "" : decoded(part.slice(at + equals.length));
		if (!(name in result)) result[name] = value;
		else if (Array.isArray(result[name])) result[name].push(value);
		else result[name] = [result[name], value];
	}
	return result;
}

Object.assign(exports, { escape, unescape, unescapeBuffer, stringify, parse, encode: stringify, decode: parse });
