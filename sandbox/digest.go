package sandbox

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // signatures of other systems need it
	"crypto/sha1" //nolint:gosec // signatures of other systems need it
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"github.com/dop251/goja"
)

// digests are the algorithms of node's crypto, by the names that node takes in
// any case and with the dash or without.
var digests = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New,
	"sha224": sha256.New224, "sha256": sha256.New,
	"sha384": sha512.New384, "sha512": sha512.New,
	"sha512-224": sha512.New512_224, "sha512-256": sha512.New512_256,
	"sha3-224": func() hash.Hash { return sha3.New224() }, "sha3-256": func() hash.Hash { return sha3.New256() },
	"sha3-384": func() hash.Hash { return sha3.New384() }, "sha3-512": func() hash.Hash { return sha3.New512() },
}

// startHash is startHash(algorithm): what newDigest makes, or null.
func (e *execution) startHash(call goja.FunctionCall) goja.Value {
	if algorithm := digests[call.Argument(0).String()]; algorithm != nil {
		return e.newDigest(algorithm())
	}
	return goja.Null()
}

// startHmac is startHmac(algorithm, key…).
func (e *execution) startHmac(call goja.FunctionCall) goja.Value {
	if algorithm := digests[call.Argument(0).String()]; algorithm != nil {
		return e.newDigest(hmac.New(algorithm, span(call, 1)))
	}
	return goja.Null()
}

// newDigest wraps a running digest: {update(bytes…), digest(), copy()}.
func (e *execution) newDigest(h hash.Hash) goja.Value {
	object := e.rt.CreateObject(nil)
	e.method(object, "update", func(call goja.FunctionCall) goja.Value {
		_, _ = h.Write(span(call, 0))
		return goja.Undefined()
	})
	e.method(object, "digest", func(goja.FunctionCall) goja.Value {
		return e.newBuffer(h.Sum(nil))
	})
	e.method(object, "copy", func(goja.FunctionCall) goja.Value {
		if cloner, ok := h.(hash.Cloner); ok {
			if clone, err := cloner.Clone(); err == nil {
				return e.newDigest(clone)
			}
		}
		panic(e.newError("this digest can't be copied"))
	})
	return object
}

// stopCheck is how many rounds of a key derivation run between two looks at the
// deadline: goja looks between instructions only.
const stopCheck = 1 << 10

// pbkdf2 is pbkdf2(algorithm, password…, salt…, iterations, length) after
// RFC 8018, or null for an unknown algorithm.
func (e *execution) pbkdf2(call goja.FunctionCall) goja.Value {
	algorithm := digests[call.Argument(0).String()]
	if algorithm == nil {
		return goja.Null()
	}
	rounds, length := int(call.Argument(7).ToInteger()), int(call.Argument(8).ToInteger())
	return e.newBuffer(e.derive(algorithm, span(call, 1), span(call, 4), rounds, length))
}

// derive ends early, with whatever it has, when the execution is to stop.
func (e *execution) derive(algorithm func() hash.Hash, password, salt []byte, rounds, length int) []byte {
	prf := hmac.New(algorithm, password)
	size := prf.Size()
	key := make([]byte, 0, length+size)
	for block := uint32(1); len(key) < length && !e.stopping.Load(); block++ {
		prf.Reset()
		prf.Write(salt)
		prf.Write(binary.BigEndian.AppendUint32(nil, block))
		u := prf.Sum(nil)
		t := append([]byte(nil), u...)
		for i := 1; i < rounds; i++ {
			if i%stopCheck == 0 && e.stopping.Load() {
				break
			}
			prf.Reset()
			prf.Write(u)
			u = prf.Sum(u[:0])
			subtle.XORBytes(t, t, u)
		}
		key = append(key, t...)
	}
	if len(key) < length {
		return make([]byte, length)
	}
	return key[:length]
}

// sameBytes is sameBytes(a…, b…) in constant time; the lengths are equal.
func (e *execution) sameBytes(call goja.FunctionCall) goja.Value {
	return e.rt.ToValue(subtle.ConstantTimeCompare(span(call, 0), span(call, 3)) == 1)
}
