//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
)

// tool is what is executed, and what is known of it.
type tool struct {
	name       string
	idempotent bool
	counted    bool   // the upstream sees each run
	class      string // of its outcome; empty for a success
	definition string
}

// Each has time enough: the machine may be slow.
const common = `
configuration: {timeout: 300000, idempotent: IDEMPOTENT}
parameters:
  type: object
  required: [call, ms]
  properties: {call: {type: string}, ms: {type: integer}}
`

const request = `
type: http
executionConfig:
  method: POST
  url: http://UPSTREAM/calls/{{parameters.call}}
  queryParams: {ms: '{{parameters.ms}}'}
  headers: {X-Worker: '{{credentials.worker}}'}
  timeout: 120000
`

const fetching = `
type: http
code: |
  const response = await fetch('http://UPSTREAM/calls/' + parameters.call, {method: 'POST', headers: {'X-Worker': credentials.worker}});
  const body = await response.json();
  await new Promise(done => setTimeout(done, parameters.ms));
  return {call: body.call};
`

const waiting = `
type: javascript
code: |
  await new Promise(done => setTimeout(done, parameters.ms));
  return {call: parameters.call};
`

var tools = []tool{
	{name: "charge", counted: true, definition: request},
	{name: "charge_again", idempotent: true, counted: true, definition: request},
	{name: "notify", counted: true, definition: fetching},
	{name: "notify_again", idempotent: true, counted: true, definition: fetching},
	{name: "wait", definition: waiting},
	{name: "wait_again", idempotent: true, definition: waiting},
	{name: "missing", counted: true, class: "http_error", definition: strings.NewReplacer("/calls/", "/missing/").Replace(request)},
	{name: "throw_again", idempotent: true, class: "sandbox_error", definition: "\ntype: javascript\ncode: throw new Error('call ' + parameters.call)\n"},
}

func writeTools(dir, upstream string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, t := range tools {
		idempotent := "false"
		if t.idempotent {
			idempotent = "true"
		}
		text := "name: " + t.name + strings.NewReplacer("UPSTREAM", upstream, "IDEMPOTENT", idempotent).Replace(t.definition+common)
		if err := os.WriteFile(filepath.Join(dir, t.name+".yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
