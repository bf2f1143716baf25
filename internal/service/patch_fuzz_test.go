package service

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// A patch is refused, or gives a document that a second application leaves as it is, and
// that holds no null which the patch brought.
func FuzzMergePatch(f *testing.F) {
	for _, seed := range [][2]string{ // of RFC 7396, appendix A
		{`{"a":"b"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`}, {`{"a":"b"}`, `{"a":null}`}, {`{"a":"b","b":"c"}`, `{"a":null}`},
		{`{"a":["b"]}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`}, {`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`}, {`["a","b"]`, `["c","d"]`}, {`{"a":"b"}`, `["c"]`}, {`{"a":"foo"}`, `null`},
		{`{"e":null}`, `{"a":1}`}, {`[1,2]`, `{"a":"b","c":null}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`}, {`{}`, `{"a":1e400}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, document, patch []byte) {
		if _, err := strictjson.Decode(document); err != nil {
			return // what is stored was checked
		}
		once, err := mergePatch(document, patch)
		if err != nil {
			var api *errclass.APIError
			require.True(t, errors.As(err, &api), err)
			require.Equal(t, errclass.CodeBadRequest, api.Code)
			return
		}
		again, err := mergePatch(once, patch)
		require.NoError(t, err)
		require.Equal(t, string(once), string(again))
		if !bytes.Contains(document, []byte("null")) && !bytes.ContainsAny(patch, `"[`) {
			require.NotContains(t, string(once), "null")
		}
	})
}
