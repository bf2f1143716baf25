package errclass_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

func ExampleClassify() {
	_, err := http.Get("http://127.0.0.1:1/orders?token=secret") //nolint:bodyclose // nobody listens on port 1
	failure := errclass.Classify(err)
	fmt.Println(failure.Class, failure.Reason, failure.Retryable)

	document, err := errclass.Outcome{Err: failure, Duration: 5001 * time.Millisecond}.AppendJSON(nil)
	fmt.Println(string(document), err)
	// Output:
	// connection_refused refused true
	// {"success":false,"error":"Tool execution failed: Connection refused","duration":5001,"status":"error"} <nil>
}

func ExampleClassify_timeout() {
	failure := errclass.Classify(fmt.Errorf("waiting for stock: %w", context.DeadlineExceeded))
	fmt.Println(failure.Message())
	fmt.Println(failure.Hint)
	fmt.Println(errors.Is(failure, context.DeadlineExceeded))
	// Output:
	// Tool execution failed: Timeout
	// Raise the timeout or make the tool do less.
	// true
}

func ExampleAPIError() {
	rejected := &errclass.APIError{
		Code:    errclass.CodeBadRequest,
		Message: "Validation failed: quantity is required",
		Fields:  []errclass.FieldError{{Field: "/quantity", Message: "is required"}},
	}
	document, err := rejected.MarshalJSON()
	fmt.Println(rejected.StatusCode(), string(document), err)
	// Output:
	// 400 {"success":false,"message":"Validation failed: quantity is required","error":"BAD_REQUEST","statusCode":400,"errors":[{"field":"/quantity","message":"is required"}]} <nil>
}
