//go:build linux && !amd64 && !arm64

package sandbox

import (
	"fmt"
	"runtime"
)

func filterSystemCalls() error {
	return fmt.Errorf("no filter for %s", runtime.GOARCH)
}
