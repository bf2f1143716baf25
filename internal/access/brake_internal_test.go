package access

import (
	"crypto/sha256"
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
	var address [16]byte
	now := time.Now()
	for n := range uint64(maxAddresses + maxAddresses/2) {
		binary.BigEndian.PutUint64(address[:], n)
		from := neighbourhood(netip.AddrFrom16(address))
		b.failed(from, credential{}, now)
		if n < maxHeld+maxHeld/2 {
			b.held(from, credential{sum: sha256.Sum256(address[:])})
		}
	}
	b.addresses.CleanUp()
	b.passes.CleanUp()
	require.LessOrEqual(t, b.addresses.EstimatedSize(), maxAddresses)
	require.LessOrEqual(t, b.passes.EstimatedSize(), maxHeld)
}
