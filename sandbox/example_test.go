package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

func Example() {
	pool, err := sandbox.New(sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	result, err := pool.Run(ctx, sandbox.Job{
		Source: sandbox.Source{Name: "total.ts", Code: `
			const items: { price: number }[] = parameters.items;
			console.log("adding %d prices", items.length);
			return { total: items.reduce((sum, item) => sum + item.price, 0) };`},
		Parameters: []byte(`{"items":[{"price":3},{"price":4}]}`),
	})
	fmt.Println(string(result.Value), err)
	fmt.Println(result.Logs[0].Message)
	// Output:
	// {"total":7} <nil>
	// adding 2 prices
}

func ExamplePool_Run_failure() {
	pool, err := sandbox.New(sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	_, err = pool.Run(context.Background(), sandbox.Job{
		Source: sandbox.Source{Name: "price.js", Code: "const item = parameters.item;\nreturn item.price * 2"},
	})
	var failure *errclass.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Class, failure.Reason)
		fmt.Println(failure.Message())
	}
	// Output:
	// sandbox_error exception
	// Tool execution failed: Sandbox error: TypeError: Cannot read property 'price' of undefined (price.js:2:13)
}

func ExampleJob_invoke() {
	pool, err := sandbox.New(sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	result, err := pool.Run(context.Background(), sandbox.Job{
		Source: sandbox.Source{Code: `
			const { rate } = await tools.invoke("rates", { currency: parameters.currency });
			return parameters.amount * rate;`},
		Parameters: []byte(`{"amount":20,"currency":"CHF"}`),
		Invoke: func(_ context.Context, tool string, parameters []byte) ([]byte, error) {
			fmt.Println(tool, string(parameters))
			return []byte(`{"rate":1.5}`), nil
		},
	})
	fmt.Println(string(result.Value), err)
	// Output:
	// rates {"currency":"CHF"}
	// 30 <nil>
}

func ExampleJob_fetch() {
	pool, err := sandbox.New(sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	result, err := pool.Run(context.Background(), sandbox.Job{
		Source: sandbox.Source{Code: `
			const url = new URL("https://rates.example.com/v1/EUR");
			url.searchParams.set("to", "CHF");
			const response = await fetch(url);
			if (!response.ok) throw new Error("the service answered " + response.status);
			return (await response.json()).rate;`},
		// An embedder would send the request here; runner does, by its egress policy.
		Fetch: func(_ context.Context, req *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
			fmt.Println(req.Method, req.URL)
			return &sandbox.FetchResponse{Status: 200, Body: []byte(`{"rate":0.94}`)}, nil
		},
	})
	fmt.Println(string(result.Value), err)
	// Output:
	// GET https://rates.example.com/v1/EUR?to=CHF
	// 0.94 <nil>
}
