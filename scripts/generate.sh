#!/bin/sh
# Generates the Go code of every .proto file under internal/, next to its source.
# The tools are installed into a temporary folder, at the versions named here, so
# that two runs on two machines give the same bytes. Needs go, python3 and the
# two package registries; run it from anywhere.
set -eu

GRPCIO_TOOLS=1.85.1 # brings protoc
PROTOC_GEN_GO=v1.36.12
PROTOC_GEN_GO_GRPC=v1.6.2
MODULE=github.com/tokenwheel/tokenwheel

cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT INT TERM

python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check "grpcio-tools==$GRPCIO_TOOLS"
mkdir "$tools/bin"
GOBIN="$tools/bin" go install "google.golang.org/protobuf/cmd/protoc-gen-go@$PROTOC_GEN_GO"
GOBIN="$tools/bin" go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$PROTOC_GEN_GO_GRPC"

# A file is registered under its path, which must be ours alone in any binary:
# internal/x/y.proto is known to protoc, and imported, as tokenwheel/x/y.proto.
find internal -name '*.proto' | sort | while read -r file; do
	PATH="$tools/bin:$PATH" "$tools/venv/bin/python" -m grpc_tools.protoc \
		-I "tokenwheel=internal" \
		--go_out=. --go_opt="module=$MODULE" \
		--go-grpc_out=. --go-grpc_opt="module=$MODULE" \
		"tokenwheel/${file#internal/}"
done
