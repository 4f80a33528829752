#!/bin/sh
# Makes the stubs again, with protoc, protoc-gen-go and protoc-gen-go-grpc of the PATH: ./generate.sh [OUT]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
protos=$here/../../protos
module=github.com/honeyguide/honeyguide/clients/go
cd "$protos"
mapped=""
for file in honeyguide/v1/*.proto; do mapped="$mapped,M$file=$module/honeyguidev1"; done
protoc -I . --go_out="${1:-$here}" --go_opt="module=$module$mapped" \
  --go-grpc_out="${1:-$here}" --go-grpc_opt="module=$module$mapped" honeyguide/v1/*.proto
