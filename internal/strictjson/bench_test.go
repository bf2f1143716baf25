package strictjson_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// body is a response of about 1 MB as list endpoints send them.
func body() []byte {
	var b bytes.Buffer
	b.WriteString(`{"items": [`)
	for i := range 5000 {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(`{"id": ` + strconv.Itoa(i) + `, "name": "item number ` + strconv.Itoa(i) + `", "price": 12.5, "tags": ["a", "b"],` +
			` "owner": {"login": "someone", "url": "https://example.com/users/someone", "admin": false}, "note": null}`)
	}
	b.WriteString(`], "next": null}`)
	return b.Bytes()
}

// The benchmarks come in pairs: strictjson and what encoding/json does.
func BenchmarkBody(b *testing.B) {
	data := body()
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("valid/strict", func() error { return strictjson.Valid(data) })
	run("valid/std", func() error {
		if !json.Valid(data) {
			b.Fatal("invalid")
		}
		return nil
	})
	run("compact/strict", func() error { _, err := strictjson.Compact(data); return err })
	run("compact/std", func() error { var out bytes.Buffer; return json.Compact(&out, data) })
	run("decode/strict", func() error { _, err := strictjson.Decode(data); return err })
	run("decode/std", func() error { var v any; return json.Unmarshal(data, &v) })

	v, err := strictjson.Decode(data)
	if err != nil {
		b.Fatal(err)
	}
	run("marshal/strict", func() error { _, err := strictjson.Marshal(v); return err })
	run("marshal/std", func() error { _, err := json.Marshal(v); return err })
}
