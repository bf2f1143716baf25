//go:build !linux

package httptool_test

import "testing"

func fullQueue(t *testing.T) upstream {
	t.Skip("only Linux makes a queue as short as that")
	return upstream{}
}
