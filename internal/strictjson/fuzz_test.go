package strictjson_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// FuzzDecode holds the functions against each other and against encoding/json,
// which accepts all that strictjson does.
func FuzzDecode(f *testing.F) {
	for _, c := range faults {
		f.Add([]byte(c.text))
	}
	for _, text := range []string{
		`{"a":[1,2.5,-3e10,true,false,null,"x\u00e9\n"],"b":{"c":{}}}`, `[[[[[]]]]]`, `"\ud83d\ude00"`, ` 1 `,
		`[1e400,5e-324,9223372036854775808,0.1000000000000000055511151231257827,-0]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := strictjson.Decode(data)
		require.Equal(t, err, strictjson.Valid(data))
		compact, compactErr := strictjson.Compact(data)
		require.Equal(t, err, compactErr)
		var into any
		require.Equal(t, err, strictjson.Unmarshal(data, &into))
		if err != nil {
			require.Nil(t, v)
			require.Less(t, len(err.Error()), 400)
			return
		}
		require.Equal(t, v, into)
		require.True(t, json.Valid(data), "encoding/json refuses it")

		fromCompact, err := strictjson.Decode(compact)
		require.NoError(t, err)
		require.Equal(t, v, fromCompact)
		written, err := strictjson.Marshal(v)
		require.NoError(t, err)
		again, err := strictjson.Marshal(mustDecode(t, written))
		require.NoError(t, err)
		require.Equal(t, string(written), string(again))
	})
}

func mustDecode(t *testing.T, data []byte) any {
	t.Helper()
	v, err := strictjson.Decode(data)
	require.NoError(t, err)
	return v
}
