package sandbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"github.com/dop251/goja"
	"github.com/google/uuid"
)

// maxRandom is the quota of crypto.getRandomValues.
const maxRandom = 65536

func (e *execution) random(call goja.FunctionCall) goja.Value {
	data := make([]byte, min(max(call.Argument(0).ToInteger(), 0), maxRandom))
	_, _ = rand.Read(data) // it never fails
	return e.newBuffer(data)
}

func (e *execution) randomUUID(goja.FunctionCall) goja.Value {
	return e.rt.ToValue(uuid.NewString())
}

// hashes are those of WebCrypto; SHA-1 is there for what still uses it.
var hashes = map[string]func() hash.Hash{
	"SHA-1": sha1.New, "SHA-256": sha256.New, "SHA-384": sha512.New384, "SHA-512": sha512.New,
}

func (e *execution) hash(name goja.Value) func() hash.Hash {
	algorithm := hashes[name.String()]
	if algorithm == nil {
		panic(e.rt.NewTypeError("unknown hash"))
	}
	return algorithm
}

func (e *execution) digest(call goja.FunctionCall) goja.Value {
	h := e.hash(call.Argument(0))()
	_, _ = h.Write(e.buffer(call.Argument(1))) // it never fails
	return e.newBuffer(h.Sum(nil))
}

// hmac signs, hmac(hash, key, data, null), or verifies a signature in place of
// the null.
func (e *execution) hmac(call goja.FunctionCall) goja.Value {
	mac := hmac.New(e.hash(call.Argument(0)), e.buffer(call.Argument(1)))
	_, _ = mac.Write(e.buffer(call.Argument(2))) // it never fails
	sum := mac.Sum(nil)
	if expected := call.Argument(3); !goja.IsNull(expected) {
		return e.rt.ToValue(hmac.Equal(sum, e.buffer(expected)))
	}
	return e.newBuffer(sum)
}
