# What there is to run. `make check` is what must pass before a change is sent.

FUZZTIME ?= 20s
BENCH ?= .
BENCHFLAGS ?= -benchtime 1x
SIZE ?= 1GB
TORTURES ?= FaultMatrix|DamageMatrix|StaleListings|NoRightToDelete|DiskFillsUp|PowerIsLost

.PHONY: check
check:
	.ci/run

.PHONY: test
test:
	go test ./...

.PHONY: race
race:
	go test -race -short ./...

.PHONY: lint
lint:
	golangci-lint run ./...

.PHONY: fuzz
fuzz:
	@set -e; for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

.PHONY: bench
bench:
	go test -run '^$$' -bench '$(BENCH)' $(BENCHFLAGS) -timeout 2h ./...

.PHONY: peers
peers:
	cd bench && go run . -size $(SIZE) -out results

# Fails if a ratio to another tool is more than twice what it was.
.PHONY: guard
guard:
	cd bench && go run . -size 250MB -rounds 3 -only '^(varve.*|restic|rocksdb|limit: copy)$$' -guard 2

.PHONY: mutants
mutants:
	go test -timeout 30m -run '^TestMutants$$' -v . -mutants

# What the tests do for a few seconds each, for long.
.PHONY: long
long:
	go test -timeout 1h -run '^TestKilled' -v . -crash.rounds 300
	go test -timeout 1h -run '^Test(Versioned)?Bank$$' -v . -audit.restores 10000
	go test -timeout 1h -run '^TestModel' . -model.time 20m
	go test -timeout 1h -run '^TestRetentionInterleaved$$' . -retention.seeds 5000
	go test -timeout 1h -run '^TestSchedule' . -schedule.seeds 300
	go test -timeout 1h -run '^TestSoak$$' -v . -soak.rounds 500
	go test -timeout 1h -run '^TestTimeFilterLarge$$' -v ./export/mvcckv -filter.mb 1000
	go test -timeout 1h -run '^TestTimeFilterLarge$$' -v ./export/mvcckv -filter.mb 1000 -filter.value 100

# Every case of the generated matrices, of which `make test` takes a part.
.PHONY: torture
torture:
	bash -o pipefail -c "go test -timeout 3h -run '^Test($(TORTURES))\$$' -v . -torture | grep -v -e '^===' -e '^ *--- PASS'"

.PHONY: nightly
nightly: mutants long torture
	go test -race -count 3 -shuffle on -timeout 2h ./...
	$(MAKE) fuzz FUZZTIME=5m
