package access

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who sends from ever new addresses, or makes ever new tokens, fills no memory.
func TestBrakeIsBounded(t *testing.T) {
	b := newBrake(1, time.Now)
	t.Cleanup(b.close)
	require.EqualValues(t, maxAddresses, b.addresses.GetMaximum())
	require.EqualValues(t, maxHeld, b.passes.GetMaximum())
	const bound = 1000 // filling the real ones takes the race detector seconds
	b.addresses.SetMaximum(bound)
	b.passes.SetMaximum(bound)
	var address [16]byte
	now := time.Now()
	for n := range uint64(2 * bound) {
		binary.BigEndian.PutUint64(address[:], n)
		from := neighbourhood(netip.AddrFrom16(address))
		b.held(from, &Principal{ID: "user:ada", guessable: true}, now)
		b.failed(from, now)
	}
	b.addresses.CleanUp()
	b.passes.CleanUp()
	require.LessOrEqual(t, b.addresses.EstimatedSize(), bound)
	require.LessOrEqual(t, b.passes.EstimatedSize(), bound)
}
