package openapi_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	goleak.VerifyTestMain(m)
}
