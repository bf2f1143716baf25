package service_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// The API inside a server of one's own.
func ExampleServer_Handler() {
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{
		{Name: "double", Type: runner.JavaScript, Code: "return parameters.n * 2"},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close(context.Background())
	api, err := service.New(service.Options{Runner: r})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", api.Handler()))
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, tool := range []string{"double", "triple"} {
		response, err := http.Post(server.URL+"/api/tools/"+tool+"/execute", "application/json", strings.NewReader(`{"parameters":{"n":21}}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.StatusCode, settled(string(body)))
	}
	// Output:
	// 200 {"success":true,"data":{"result":42,"duration":0,"status":"success"}}
	// 404 {"success":false,"message":"Tool not found","error":"NOT_FOUND","statusCode":404}
}
