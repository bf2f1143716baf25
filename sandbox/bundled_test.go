package sandbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBundleGoesThroughAPipe: what bundling makes is bytes, and compiling it
// reads no file any more.
func TestBundleGoesThroughAPipe(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lib.js"), []byte("export const two = 2"), 0o600))
	src := Source{Name: "t.js", Code: "import { two } from './lib.js'; export default () => two", Dir: dir}
	made, err := bundle(src)
	require.NoError(t, err)
	data, err := json.Marshal(made)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))

	var arrived bundled
	require.NoError(t, json.Unmarshal(data, &arrived))
	p, err := compileBundled(src, &arrived)
	require.NoError(t, err)
	require.True(t, p.module)

	none, err := bundle(Source{Code: "return 1"})
	require.NoError(t, err)
	require.Nil(t, none, "a body that imports nothing")
}
