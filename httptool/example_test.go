package httptool_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/almyty-inc/toolrun/httptool"
)

func Example() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"data": {"path": %q}}`, r.URL.EscapedPath())
	}))
	defer upstream.Close()

	// Nothing but this one address can be reached.
	transport, err := httptool.NewTransport(httptool.Policy{Allow: []string{strings.TrimPrefix(upstream.URL, "http://")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer transport.CloseIdleConnections()

	tool, faults := httptool.Compile(httptool.Config{
		URL:             "{{env.BASE_URL}}/orders/{{parameters.id}}",
		ResponseMapping: &httptool.ResponseMapping{DataPath: "data.path"},
	}, nil, nil)
	if faults != nil {
		fmt.Println(faults)
		return
	}
	response, err := tool.Run(context.Background(), transport, httptool.Input{
		Parameters: map[string]any{"id": "../admin"},
		Env:        map[string]string{"BASE_URL": upstream.URL},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(response.Value))
	// Output: "/orders/..%2Fadmin"
}

// The zero policy reaches nothing.
func ExampleNewTransport() {
	transport, _ := httptool.NewTransport(httptool.Policy{})
	_, err := transport.RoundTrip(httptest.NewRequest("GET", "http://127.0.0.1:9/", nil))
	fmt.Println(err)
	// Output: Request blocked: the egress policy does not allow 127.0.0.1:9
}
