package sandbox

import (
	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/internal/weburl"
)

// parseURL gives the parts of a URL, in the order that the prelude knows, or null.
func (e *execution) parseURL(call goja.FunctionCall) goja.Value {
	var base *weburl.URL
	if argument := call.Argument(1); !goja.IsUndefined(argument) {
		parsed, ok := weburl.Parse(argument.String(), nil)
		if !ok {
			return goja.Null()
		}
		base = parsed
	}
	u, ok := weburl.Parse(call.Argument(0).String(), base)
	if !ok {
		return goja.Null()
	}
	return e.urlParts(u)
}

// setURL changes a part of a URL: setURL(href, part, value).
func (e *execution) setURL(call goja.FunctionCall) goja.Value {
	u, ok := weburl.Parse(call.Argument(0).String(), nil)
	if !ok {
		return goja.Null()
	}
	u.Set(call.Argument(1).String(), call.Argument(2).String())
	return e.urlParts(u)
}

func (e *execution) urlParts(u *weburl.URL) goja.Value {
	return e.rt.NewArray(u.Href(), u.Protocol(), u.Username(), u.Password(), u.Host(), u.Hostname(), u.Port(),
		u.Pathname(), u.Search(), u.Hash(), u.Origin())
}

func (e *execution) formDecode(call goja.FunctionCall) goja.Value {
	pairs := weburl.DecodeForm(call.Argument(0).String())
	items := make([]any, len(pairs))
	for i, text := range pairs {
		items[i] = text
	}
	return e.rt.NewArray(items...)
}

func (e *execution) formEncode(call goja.FunctionCall) goja.Value {
	return e.rt.ToValue(weburl.EncodeField(call.Argument(0).String()))
}
