package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/schema"
)

func TestEnumNamesTheValueThatWasMeant(t *testing.T) {
	s, faults := schema.Compile([]byte(`{"enum": ["connection_refused", "timeout", 1]}`))
	require.Empty(t, faults)
	for value, want := range map[any]string{
		"timout":   `must be one of: "connection_refused", "timeout", 1 (did you mean "timeout"?)`,
		"whatever": `must be one of: "connection_refused", "timeout", 1`,
		int64(2):   `must be one of: "connection_refused", "timeout", 1`,
	} {
		require.Equal(t, want, s.Validate(value)[0].Message)
	}
}
