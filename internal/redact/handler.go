package redact

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Handler returns a handler that passes records on to h without secrets: the
// message, and every attribute that is or holds a text, an error or another
// value, also within groups. A value that holds no secret is passed on as it is;
// one that does becomes a text.
func (r *Redactor) Handler(h slog.Handler) slog.Handler {
	if r == nil || len(r.byPrefix) == 0 {
		return h
	}
	return &handler{r, h}
}

type handler struct {
	redactor *Redactor
	next     slog.Handler
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	clean := slog.NewRecord(record.Time, record.Level, h.redactor.String(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.redactor.attr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.redactor, h.next.WithAttrs(h.redactor.attrs(attrs))}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.redactor, h.next.WithGroup(name)}
}

func (r *Redactor) attrs(attrs []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = r.attr(a)
	}
	return clean
}

func (r *Redactor) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(r.String(v.String()))
	case slog.KindGroup:
		v = slog.GroupValue(r.attrs(v.Group())...)
	case slog.KindAny:
		v = r.value(v)
	case slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		// Credentials may be numbers.
		if text := v.String(); r.String(text) != text {
			v = slog.StringValue(Marker)
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}

// value cleans a value of any type. What a handler will write of it isn't known
// here, so both of the usual ways are looked at.
func (r *Redactor) value(v slog.Value) (clean slog.Value) {
	// Foreign methods run here; one that panics must not end the program.
	defer func() {
		if recover() != nil {
			clean = slog.StringValue("!PANIC")
		}
	}()
	x := v.Any()
	if err, ok := x.(error); ok {
		return slog.StringValue(r.String(err.Error()))
	}
	text := fmt.Sprintf("%+v", x)
	encoded, err := json.Marshal(x)
	switch {
	case err == nil && r.String(string(encoded)) != string(encoded):
		return slog.StringValue(r.String(string(encoded)))
	case r.String(text) != text:
		return slog.StringValue(r.String(text))
	}
	return v
}
