package runner_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

func Example() {
	sandbox.Init() // first in main: JavaScript runs in child processes of this program
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{{
		Name: "price", Type: runner.JavaScript,
		Parameters: json.RawMessage(`{"type":"object","required":["quantity"],"properties":{"quantity":{"type":"integer"}}}`),
		Code:       `return {total: parameters.quantity * (parameters.quantity >= 100 ? 0.9 : 1)}`,
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close(context.Background())
	result, err := r.Execute(context.Background(), runner.Request{Tool: "price", Parameters: []byte(`{"quantity":120}`)})
	if err != nil || result.Failure != nil {
		fmt.Println(err, result.Failure)
		return
	}
	fmt.Println(string(result.Value))
	// Output: {"total":108}
}

// A request that breaks the tool's schema never becomes an execution.
func ExampleRunner_Execute_rejected() {
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{{
		Name: "price", Type: runner.JavaScript,
		Parameters: json.RawMessage(`{"type":"object","required":["quantity"]}`),
		Code:       `return parameters.quantity`,
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close(context.Background())
	_, err = r.Execute(context.Background(), runner.Request{Tool: "price"})
	document, _ := json.Marshal(err)
	fmt.Println(string(document))
	// Output: {"success":false,"message":"Validation failed: quantity is required","error":"BAD_REQUEST","statusCode":400,"errors":[{"field":"/quantity","message":"is required"}]}
}
