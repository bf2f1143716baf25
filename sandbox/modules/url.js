"use strict";
const { coded, needString, wrongType } = require("_errors");
const querystring = require("querystring");

// The WHATWG classes are the realm's globals.
for (const name of ["URL", "URLSearchParams"]) {
	Object.defineProperty(exports, name, { get: () => globalThis[name], enumerable: true, configurable: true });
}

// Url is what the legacy parse returns.
class Url {
	constructor() {
		Object.assign(this, { protocol: null, slashes: null, auth: null, host: null, port: null, hostname: null,
			hash: null, search: null, query: null, pathname: null, path: null, href: null });
	}
	resolve(to) { return this.resolveObject(parse(to, false, true)).format() }
	resolveObject(to) { return resolveObject(this, typeof to === "string" ? parse(to, false, true) : to) }
	format() { return assemble(this) }
}

// SLASHED are the protocols that always have a host and a path.
const SLASHED = new Set(["http:", "https:", "ftp:", "file:", "ws:", "wss:", "gopher:"]);

// What a URL can't hold as it is, and what else ends a host.
const ESCAPED = /[\t\n\r "'<>\\^`{|}]/g;
const percent = (ch) => `%${ch.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;

function parse(text, parseQuery = false, slashesDenoteHost = false) {
	if (text instanceof Url) return text;
	needString(text, "url");
	const url = new Url();
	let rest = text.trim();
	// Backslashes before the query are slashes, as in browsers.
	const query = rest.search(/[?#]/);
	rest = query < 0 ? rest.replaceAll("\\", "/") : rest.slice(0, query).replaceAll("\\", "/") + rest.slice(query);
	const scheme = /^[a-z0-9.+-]+:/i.exec(rest);
	if (scheme) {
		url.protocol = scheme[0].toLowerCase();
		rest = rest.slice(scheme[0].length);
	}
	const script = url.protocol === "javascript:";
	if ((slashesDenoteHost || scheme || /^\/\/[^@/]+@[^@/]+/.test(rest)) && rest.startsWith("//") && !script) {
		url.slashes = true;
		rest = rest.slice(2);
	}
	if (!script && (url.slashes || scheme && !SLASHED.has(url.protocol))) rest = parseHost(url, rest, text);
	if (!script) rest = rest.replace(ESCAPED, percent);
	const hash = rest.indexOf("#");
	if (hash >= 0) {
		url.hash = rest.slice(hash);
		rest = rest.slice(0, hash);
	}
	const search = rest.indexOf("?");
	if (search >= 0) {
		url.search = rest.slice(search);
		url.query = rest.slice(search + 1);
		if (parseQuery) url.query = querystring.parse(url.query);
		rest = rest.slice(0, search);
	} else if (parseQuery) {
		url.search = null;
		url.query = Object.create(null);
	}
	if (rest !== "") url.pathname = rest;
	if (SLASHED.has(url.protocol) && url.hostname && !url.pathname) url.pathname = "/";
	if (url.pathname || url.search) url.path = (url.pathname ?? "") + (url.search ?? "");
	url.href = assemble(url);
	return url;
}

function parseHost(url, rest, text) {
	// The authority ends at the first of these, but an @ may follow some of them.
	let end = rest.search(/[/?#]/);
	if (end < 0) end = rest.length;
	let authority = rest.slice(0, end);
	rest = rest.slice(end);
	const at = authority.lastIndexOf("@");
	if (at >= 0) {
		try { url.auth = decodeURIComponent(authority.slice(0, at)) } catch { throw coded(URIError, "ERR_INVALID_URI", "URI malformed") }
		authority = authority.slice(at + 1);
	}
	const stop = authority.search(/[\t\n\r "%'<>\\^`{|};]/);
	if (stop >= 0) {
		rest = authority.slice(stop) + rest;
		authority = authority.slice(0, stop);
	}
	const port = /:([0-9]*)$/.exec(authority);
	if (port) {
		if (port[1] !== "") url.port = port[1];
		authority = authority.slice(0, port.index);
	}
	const v6 = authority.startsWith("[") && authority.endsWith("]");
	let name = authority.length > 255 ? "" : authority.toLowerCase();
	if (!v6 && /[^\x00-\x7f]/.test(name) && globalThis.URL !== undefined) {
		try { name = new globalThis.URL(`http://${name}/`).hostname } catch { throw coded(TypeError, "ERR_INVALID_URL", `Invalid URL: ${text}`) }
	}
	if (!v6 && /:/.test(name)) throw coded(TypeError, "ERR_INVALID_ARG_VALUE", `The argument 'url' has an invalid port. Received '${text}'`);
	url.host = name + (url.port ? `:${url.port}` : "");
	url.hostname = v6 ? name.slice(1, -1) : name;
	if (!v6 && rest !== "" && rest[0] !== "/" && rest[0] !== "?" && rest[0] !== "#") rest = `/${rest}`;
	return rest;
}

function assemble(url) {
	let auth = url.auth ? `${encodeURIComponent(url.auth).replace(/%3A/i, ":")}@` : "";
	let protocol = url.protocol ?? "", pathname = url.pathname ?? "", hash = url.hash ?? "", host = "";
	if (protocol && !protocol.endsWith(":")) protocol += ":";
	if (url.host) host = auth + url.host;
	else if (url.hostname) host = auth + (url.hostname.includes(":") ? `[${url.hostname}]` : url.hostname) + (url.port ? `:${url.port}` : "");
	let search = url.search ?? "";
	if (!search && url.query !== null && typeof url.query === "object") {
		const query = querystring.stringify(url.query);
		search = query && `?${query}`;
	}
	pathname = pathname.replace(/[?#]/g, (ch) => encodeURIComponent(ch));
	if (url.slashes || SLASHED.has(protocol)) {
		if (url.slashes || host) {
			if (pathname && pathname[0] !== "/") pathname = `/${pathname}`;
			host = `//${host}`;
		} else if (protocol === "file:") host = "//";
	}
	if (search && search[0] !== "?") search = `?${search}`;
	if (hash && hash[0] !== "#") hash = `#${hash}`;
	return protocol + host + pathname + search.replaceAll("#", "%23") + hash;
}

function format(value, options) {
	if (typeof value === "string") value = parse(value);
	else if (value === null || typeof value !== "object") throw wrongType("urlObject", "of type object or string", value);
	else if (globalThis.URL !== undefined && value instanceof globalThis.URL) return formatWhatwg(value, options);
	return assemble(value);
}

function formatWhatwg(url, { auth = true, fragment = true, search = true } = {}) {
	const copy = new globalThis.URL(url.href);
	if (!auth) copy.username = copy.password = "";
	if (!fragment) copy.hash = "";
	if (!search) copy.search = "";
	return copy.href;
}

// resolveObject follows RFC 3986, section 5.2, as far as legacy URLs do.
function resolveObject(base, to) {
	const result = Object.assign(new Url(), base, { hash: to.hash });
	const finish = () => {
		if (result.pathname !== null || result.search !== null) result.path = (result.pathname ?? "") + (result.search ?? "");
		result.href = assemble(result);
		return result;
	};
	if (to.href === "") return finish();
	if (to.protocol && to.protocol !== base.protocol || to.host) {
		const absolute = Object.assign(new Url(), to, { protocol: to.protocol ?? base.protocol, slashes: to.slashes ?? base.slashes });
		if (absolute.pathname) absolute.pathname = dots(absolute.pathname, true);
		else if (SLASHED.has(absolute.protocol)) absolute.pathname = "/";
		Object.assign(result, absolute);
		return finish();
	}
	if (to.pathname) {
		const absolute = to.pathname[0] === "/";
		const folder = (base.pathname ?? "").replace(/[^/]*$/, "");
		result.pathname = dots(absolute ? to.pathname : folder + to.pathname, absolute || (base.pathname ?? "/")[0] === "/" || !!base.host);
		if (base.host && result.pathname[0] !== "/") result.pathname = `/${result.pathname}`;
		[result.search, result.query] = [to.search, to.query];
	} else if (to.search !== null) [result.search, result.query] = [to.search, to.query];
	return finish();
}

// dots resolves . and .. in a path.
function dots(path, absolute) {
	const parts = path.split("/"), out = [];
	const last = parts.at(-1);
	for (const part of parts) {
		if (part === ".") continue;
		if (part !== "..") out.push(part);
		else if (out.length > (absolute ? 1 : 0) && out.at(-1) !== "..") out.pop();
		else if (!absolute) out.push("..");
	}
	if (last === "." || last === "..") out.push("");
	if (absolute && out[0] !== "") out.unshift("");
	return out.length === 1 && out[0] === "" && absolute ? "/" : out.join("/");
}

const resolve = (from, to) => parse(from, false, true).resolve(to);

function fileURLToPath(url) {
	if (typeof url === "string") url = new globalThis.URL(url);
	else if (!(url instanceof globalThis.URL)) throw wrongType("path", "of type string or an instance of URL", url);
	if (url.protocol !== "file:") throw coded(TypeError, "ERR_INVALID_URL_SCHEME", "The URL must be of scheme file");
	if (url.hostname !== "") throw coded(TypeError, "ERR_INVALID_FILE_URL_HOST", 'File URL host must be "localhost" or empty on linux');
	if (/%2f/i.test(url.pathname)) throw coded(TypeError, "ERR_INVALID_FILE_URL_PATH", "File URL path must not include encoded / characters");
	return decodeURIComponent(url.pathname);
}

function pathToFileURL(path) {
	needString(path, "path");
	const slash = path.endsWith("/") ? "/" : "";
	const resolved = require("path").resolve(path);
	const url = new globalThis.URL("file:///");
	url.pathname = (resolved === "/" ? "/" : resolved + slash).replace(/[%\\\n\r\t?#]/g, (ch) => percent(ch));
	return url;
}

function urlToHttpOptions(url) {
	const options = {
		protocol: url.protocol, hostname: url.hostname.replace(/^\[|\]$/g, ""), hash: url.hash, search: url.search,
		pathname: url.pathname, path: `${url.pathname}${url.search}`, href: url.href,
	};
	if (url.port !== "") options.port = Number(url.port);
	if (url.username || url.password) options.auth = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
	return options;
}

const hostOf = (domain) => {
	try { return new globalThis.URL(`ws://${domain}`).hostname } catch { return "" }
};

Object.assign(exports, { Url, parse: (text, query, slashes) => parse(text, query, slashes), format, resolve, fileURLToPath, pathToFileURL, urlToHttpOptions,
	resolveObject: (from, to) => parse(from, false, true).resolveObject(to),
	domainToASCII: hostOf, domainToUnicode: (domain) => domain });
