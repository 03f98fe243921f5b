# make test is the README's second command: everything, on a fresh machine.
.PHONY: test lint unit demo mutants real real-ha differential fuzz bench bench-yarn generate

GOLANGCI := go tool -modfile=test/tools/go.mod golangci-lint

test: lint unit demo mutants real real-ha
	@echo "all tiers passed"

lint:
	go mod tidy -diff
	go vet ./...
	$(GOLANGCI) run ./...
	cd test/real && go vet ./...

# The simulator is one goroutine: the race detector would find nothing and cost minutes.
unit:
	go test -race -timeout 30m $$(go list ./... | grep -v /internal/sim$$)
	go test -timeout 30m ./internal/sim

# The README's first command, checked: exits 0 only when everything was seen.
demo:
	go run ./cmd/tokenwheel demo --for 60s --check

# Plants bugs, one at a time, and wants each caught by the suite meant for it.
mutants:
	cd test/mutants && go test -count=1 -timeout 30m ./...

# A real KDC, NameNode and DataNode, Java's own client, and kill -9.
real:
	cd test/real && go test -count=1 -timeout 30m -skip '^TestTwoNameNodes$$' ./...

# NameNodes that fail over, some twenty times while the daemon works. Two minutes.
real-ha:
	cd test/real && go test -count=1 -timeout 15m -v -run '^TestTwoNameNodes$$' .

# The test kit beside the real NameNode: SCRIPTS random stories of SEED (0: by chance).
SCRIPTS ?= 1000
SEED ?= 0
differential:
	cd test/real && go test -count=1 -timeout 30m -v ./differential -args -scripts $(SCRIPTS) -seed $(SEED)

# Each fuzz target for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	@set -e; for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

bench:
	go test -run '^$$' -bench . -benchmem ./internal/wheel ./hadooptoken

# YARN's own renewer and ours side by side (docs/performance.md); ROWS chooses among memory,namenode,lateness,losses.
ROWS ?= memory,namenode,lateness,losses
bench-yarn:
	cd test/real && go run ./beside -rows $(ROWS)

generate:
	scripts/generate.sh
