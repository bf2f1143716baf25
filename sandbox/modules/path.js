"use strict";
// Paths as POSIX has them. There are no files to name: this is for URLs' paths
// and for keys. The working directory is "/".
const { needString, wrongType } = require("_errors");

// normalized resolves . and .. of a path without its leading slash.
function normalized(path, absolute) {
	const parts = [];
	for (const part of path.split("/")) {
		if (part === "" || part === ".") continue;
		if (part !== "..") parts.push(part);
		else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
		else if (!absolute) parts.push("..");
	}
	return parts.join("/");
}

function normalize(path) {
	needString(path, "path");
	if (path === "") return ".";
	const absolute = path[0] === "/", slash = path.endsWith("/");
	let result = normalized(path, absolute);
	if (result === "" && !absolute) return slash ? "./" : ".";
	if (result !== "" && slash) result += "/";
	return absolute ? `/${result}` : result;
}

function join(...paths) {
	for (const path of paths) needString(path, "path");
	const joined = paths.filter((path) => path !== "").join("/");
	return joined === "" ? "." : normalize(joined);
}

function resolve(...paths) {
	let resolved = "";
	for (let i = paths.length - 1; i >= 0 && resolved[0] !== "/"; i--) {
		needString(paths[i], `paths[${i}]`);
		if (paths[i] !== "") resolved = resolved === "" ? paths[i] : `${paths[i]}/${resolved}`;
	}
	return `/${normalized(resolved, true)}`;
}

function relative(from, to) {
	needString(from, "from");
	needString(to, "to");
	if (from === to) return "";
	const split = (path) => resolve(path).split("/").filter((part) => part !== "");
	const a = split(from), b = split(to);
	let same = 0;
	while (same < a.length && same < b.length && a[same] === b[same]) same++;
	return [...a.slice(same).map(() => ".."), ...b.slice(same)].join("/");
}

// trimmed is a path without the slashes at its end.
function trimmed(path) {
	let end = path.length;
	while (end > 1 && path[end - 1] === "/") end--;
	return path.slice(0, end === 1 && path[0] === "/" ? path.length : end);
}

function dirname(path) {
	needString(path, "path");
	if (path === "") return ".";
	path = trimmed(path);
	const at = path.lastIndexOf("/");
	if (at < 0) return ".";
	let end = at;
	if (end === 0 || /^\/+$/.test(path.slice(0, end + 1))) return /^\/\/[^/]/.test(path) && end === 1 ? "//" : "/";
	// Of several slashes in a row only the last counts as the separator.
	return path.slice(0, end);
}

function basename(path, suffix) {
	if (suffix !== undefined) needString(suffix, "suffix");
	needString(path, "path");
	if (path === suffix) return "";
	path = path.replace(/\/+$/, "");
	const base = path.slice(path.lastIndexOf("/") + 1);
	return suffix && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
}

function extname(path) {
	const base = basename(path);
	const at = base.lastIndexOf(".");
	return at <= 0 || base === ".." ? "" : base.slice(at);
}

function parse(path) {
	needString(path, "path");
	const root = path[0] === "/" ? "/" : "";
	const base = basename(path), ext = extname(path);
	const end = trimmed(path).lastIndexOf("/");
	const dir = end > 0 ? path.slice(0, end) : root;
	return { root, dir: path === "" ? "" : dir, base, ext, name: ext === "" ? base : base.slice(0, -ext.length) };
}

function format(object) {
	if (object === null || typeof object !== "object") throw wrongType("pathObject", "of type object", object);
	const dir = object.dir || object.root;
	const ext = object.ext ? (object.ext[0] === "." ? object.ext : `.${object.ext}`) : "";
	const base = object.base || `${object.name || ""}${ext}`;
	if (!dir) return base;
	return dir === object.root ? `${dir}${base}` : `${dir}/${base}`;
}

function isAbsolute(path) {
	needString(path, "path");
	return path[0] === "/";
}

Object.assign(exports, {
	sep: "/", delimiter: ":", normalize, join, resolve, relative, dirname, basename, extname, parse, format, isAbsolute,
	toNamespacedPath: (path) => path,
});
exports.posix = exports;
