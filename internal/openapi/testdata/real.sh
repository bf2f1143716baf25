#!/usr/bin/env bash
# Imports the descriptions of real APIs and prints how many of each one's operations became valid tools, and why the others didn't:
# the table of the README. Needs the npm registry and the Go module proxy; versions are pinned. Usage: real.sh [DIR to keep what is made]
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=${1:-$(mktemp -d)}
[ $# -gt 0 ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work"
go build -o "$work/toolrun" ./cmd/toolrun

npm_package() { # NAME@VERSION: prints where it is unpacked
  local dir="$work/npm/${1//\//_}"
  if [ ! -d "$dir" ]; then
    mkdir -p "$dir"
    tar -xzf "$dir/$(cd "$dir" && npm pack --silent "$1")" -C "$dir"
  fi
  printf '%s/package' "$dir"
}

go_module() { # NAME@VERSION: prints where it is unpacked
  (cd "$work" && GOFLAGS='' GOWORK=off go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

table=''
row() { # TITLE PACKAGE SPEC...: imports each SPEC and adds up
  local title=$1 package=$2 operations=0 valid=0 log="$work/$1.log"
  shift 2
  : >"$log"
  for spec in "$@"; do
    local out
    out="$work/out/$title/$(printf '%s' "$spec" | cksum | cut -d' ' -f1)"
    "$work/toolrun" import openapi "$spec" -o "$out" -v ${server:+--server "$server"} 2>"$log.one"
    operations=$((operations + $(sed -n '1s/.*: \([0-9]*\) operations\{0,1\}, .*/\1/p' "$log.one")))
    if [ -d "$out" ]; then
      valid=$((valid + $("$work/toolrun" validate "$out" | sed 's/ .*//')))
      "$work/toolrun" test "$out" >"$log.test" || { cat "$log.test"; exit 1; }
    fi
    cat "$log.one" >>"$log"
  done
  table+="| $title | \`$package\` | $operations | $valid |"$'\n'
  printf '== %s: %s of %s\n' "$title" "$valid" "$operations"
  # What isn't imported, by reason: how often each occurs.
  sed -n 's/^  [A-Z]* [^ ]*: \(.*\) \[#.*\]$/\1/p' "$log" | sed 's/"[^"]*"/"…"/g' | sort | uniq -c | sort -rn
}

oas=@readme/oas-examples@8.2.2
examples=$(npm_package "$oas")
row 'Petstore' "$oas" "$examples"/{2.0,3.0,3.1}/json/petstore.json

octokit=@octokit/openapi@23.0.2
row 'GitHub' "$octokit" "$(npm_package "$octokit")/generated/api.github.com.json"

stripe=github.com/stripe/stripe-mock@v0.203.0
row 'Stripe' "$stripe" "$(go_module "$stripe")/embedded/openapi/spec3.json"

kubernetes=k8s.io/client-go@v0.37.2
server=https://kubernetes.example row 'Kubernetes (core, apps, batch, …)' "$kubernetes" "$(go_module "$kubernetes")"/openapi/openapitest/testdata/*_openapi.json

docker=github.com/moby/moby/api@v1.56.1
server=http://localhost:2375 row 'Docker Engine (Swagger 2.0)' "$docker" "$(go_module "$docker")/swagger.yaml"

directus=@directus/specs@15.2.0
server=https://directus.example row 'Directus' "$directus" "$(npm_package "$directus")/dist/openapi.json"

blockfrost=@blockfrost/openapi@0.1.93
row 'Blockfrost' "$blockfrost" "$(npm_package "$blockfrost")/openapi.yaml"

server=https://api.example row "ReadMe's corner cases" "$oas" "$examples"/3.[01]/json/*.json

printf '\n| API | package | operations | valid tools |\n| --- | --- | --: | --: |\n%s' "$table"
