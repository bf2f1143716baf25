//go:build !unix

package sandbox

import (
	"fmt"
	"os"
	"runtime"
)

func spawn() (process *os.Process, socket, stderr *os.File, err error) {
	return nil, nil, nil, fmt.Errorf("process isolation isn't available on %s; use inline", runtime.GOOS)
}
