package errclass_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

func TestAPIErrorCodes(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"BAD_REQUEST": 400, "UNAUTHORIZED": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405,
		"CONFLICT": 409, "PAYLOAD_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415, "VALIDATION_ERROR": 422,
		"RATE_LIMITED": 429, "INTERNAL_ERROR": 500, "BAD_GATEWAY": 502, "SERVICE_UNAVAILABLE": 503,
	}
	values := declared(t, "api.go", "Code")
	require.Len(t, values, len(want))
	for name, code := range values {
		e := errclass.NewAPIError(errclass.Code(code), "m")
		require.Equal(t, want[code], e.StatusCode(), name)
		doc, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf(`{"success":false,"message":"m","error":%q,"statusCode":%d}`, code, want[code]), string(doc))
	}
}

func TestAPIErrorDocument(t *testing.T) {
	t.Parallel()
	cause := errors.New(secret)
	tests := []struct {
		name string
		err  *errclass.APIError
		want string
	}{
		{"parameters that break the schema", &errclass.APIError{
			Code: errclass.CodeBadRequest, Message: "Validation failed: quantity is required",
			Fields: []errclass.FieldError{{Field: "/quantity", Message: "is required"}}, Cause: cause,
		}, `{"success":false,"message":"Validation failed: quantity is required","error":"BAD_REQUEST","statusCode":400,` +
			`"errors":[{"field":"/quantity","message":"is required"}]}`},
		{"a finer status", &errclass.APIError{Code: errclass.CodeBadRequest, Status: http.StatusRequestTimeout, RetryAfter: time.Second, Message: "slow"},
			`{"success":false,"message":"slow","error":"BAD_REQUEST","statusCode":408}`},
		{"a status that is no error's", &errclass.APIError{Code: errclass.CodeNotFound, Status: 200, Message: "m"},
			`{"success":false,"message":"m","error":"NOT_FOUND","statusCode":404}`},
		{"an unknown code", &errclass.APIError{Code: "?", Message: "m"},
			`{"success":false,"message":"m","error":"INTERNAL_ERROR","statusCode":500}`},
		{"zero", &errclass.APIError{}, `{"success":false,"message":"","error":"INTERNAL_ERROR","statusCode":500}`},
		{"lines", errclass.NewAPIError(errclass.CodeConflict, "a\r\n%s\x00", "<b>"),
			`{"success":false,"message":"a <b>","error":"CONFLICT","statusCode":409}`},
	}
	for _, tt := range tests {
		doc, err := tt.err.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, tt.want, string(doc), tt.name)
	}
	require.ErrorIs(t, tests[0].err, cause)
}

func TestAPIErrorIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\x01x", 5000)
	for _, n := range []int{99, 100, 101, 5000} {
		fields := make([]errclass.FieldError, n)
		for i := range fields {
			fields[i] = errclass.FieldError{NodeID: "n\n", Field: fmt.Sprint("/", i), Message: long}
		}
		e := &errclass.APIError{Code: errclass.CodeValidation, Message: strings.Repeat("m", 501), Fields: fields}
		doc, err := e.MarshalJSON()
		require.NoError(t, err)
		var got struct {
			Message string
			Errors  []errclass.FieldError
		}
		require.NoError(t, json.Unmarshal(doc, &got))
		require.Equal(t, 500, utf8.RuneCountInString(got.Message))
		require.Len(t, got.Errors, min(n, 101))
		require.Equal(t, "/98", got.Errors[98].Field)
		require.Equal(t, "n", got.Errors[98].NodeID)
		require.Equal(t, 500, utf8.RuneCountInString(got.Errors[98].Message))
		if n > 100 {
			require.Equal(t, errclass.FieldError{Message: fmt.Sprintf("and %d more", n-100)}, got.Errors[100])
		}
		require.Equal(t, long, fields[0].Message) // the caller's list stays as it was
	}
}
