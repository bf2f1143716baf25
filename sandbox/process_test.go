package sandbox_test

import (
	"testing"
	"time"
	"errors"

	"github.com/almyty-inc/toolrun/sandbox"
)

func TestAdhoc(t *testing.T) {
	pool := newPool(t, sandbox.Options{Isolation: sandbox.Process})
	for _, l := range pool.Hardening() { t.Log(l) }
	for _, c := range []string{
		"return new ArrayBuffer(2**33).byteLength", "const a=[]; for(;;) a.push('x'.repeat(1e6)+a.length)", "const a=[]; for(;;) a.push(new Array(1000).fill(a.length))",
		"return ({toString: Date.prototype.toJSON})+''", "const f=()=>f(); f()", "return 'x'.repeat(2**29).length", "return Array.prototype.indexOf.call({length: 2**53-1}, 1)",
		"let s='x'; for(;;) s+=s", "const m=new Map(); let i=0; for(;;) m.set(i++, {a:i})", "return JSON.parse('['.repeat(1e6))", "return 9n**999999999n",
		"return eval('1'+'+1'.repeat(200000))",
	} {
		start := time.Now()
		_, f := runFor(t, pool, code(c), 1*time.Second)
		t.Logf("%-60s %v %v %v %v", c, time.Since(start).Round(time.Millisecond), f.Reason, f, errors.Unwrap(f))
		start = time.Now()
		if v := value(t, pool, code("return 1")); v != "1" { t.Fatal(v) }
		t.Log(time.Since(start))
	}
}
