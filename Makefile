# Everything that is needed to work on Keyward. Tools are built into ./bin from pinned sources. Nothing is installed
# elsewhere.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# make itself separates names by spaces, and the shell gives other characters a meaning.
ifneq ($(shell case "$$PWD" in (*[[:space:]\'\"\$$\`\\\;\&\|\<\>\(\)\*\?\#:%]*) echo yes;; esac),)
$(error The path of this folder has a space or a special character, with which make does not work: move it to another path than $(CURDIR))
endif
ROOT := $(CURDIR)
BIN := $(ROOT)/bin
# What everything that is built says about itself: programs, images, metrics and the chart.
VERSION ?= $(shell $(ROOT)/hack/version.sh)
REVISION ?= $(shell git -C $(ROOT) describe --always --abbrev=40 --dirty --exclude '*' 2>/dev/null || echo unknown)
# The time of everything that is released, in place of the time of the build.
SOURCE_DATE_EPOCH ?= $(shell git -C $(ROOT) log -1 --format=%ct 2>/dev/null || echo 0)
FUZZTIME ?= 60s
SOAK ?= 1h
# Without tables for debuggers, which are a third of a program. Stack traces do not need them.
STAMP := github.com/keyward-dev/keyward/internal/version
LDFLAGS = -s -w -X $(STAMP).version=$(VERSION) -X $(STAMP).revision=$(REVISION)

# The race detector needs a C compiler; tests run without it where there is none.
RACE := $(if $(shell command -v $(or $(CC),gcc) || command -v clang),-race)

# Other modules of this repository, to lint.
MODULES := hack/devcluster hack/release hack/tools/lint hack/tools/dashboards test/chart test/gatewaykits test/gitops test/oidc test/scanners

# One clear line instead of a compiler error.
GO_WANTED := $(shell sed -n 's/^go //p' $(ROOT)/go.mod)
ifneq ($(filter-out help,$(or $(MAKECMDGOALS),help)),)
GO_FOUND := $(shell cd $(ROOT) && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)
ifeq ($(GO_FOUND),)
$(error Go is missing: install Go $(GO_WANTED) or newer from https://go.dev/dl)
endif
ifneq ($(shell printf '%s\n' $(GO_WANTED) $(GO_FOUND:go%=%) | sort -V | head -n 1),$(GO_WANTED))
$(error $(GO_FOUND) is too old: install Go $(GO_WANTED) or newer from https://go.dev/dl)
endif
endif

##@ Use

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z][a-z0-9-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: bin/devcluster build $(if $(NODE),bin/node/devcluster-node static) ## Run all of Keyward on a real Kubernetes API, on this machine; with NODE=1 in Pods
	@exec bin/keyward-run $(if $(NODE),--node)

.PHONY: build
build: ## Build the manager, the validator, the console, kubectl's plugin and the runner into bin/
	@go run ./hack/build -name keyward -ldflags '$(LDFLAGS)' bin/keyward-manager=./cmd/manager bin/keyward-validator=./cmd/validator \
		bin/keyward-console=./cmd/console bin/kubectl-keyward=./cmd/kubectl-keyward bin/keyward-run=./hack/run
	@install -m 755 cmd/kubectl-keyward/kubectl_complete-keyward bin/

.PHONY: clean
clean: ## Remove what make run keeps in .local: data, keys and logs
	@if [ -e .local ]; then go run ./hack/clean .local; fi

.PHONY: distclean
distclean: clean ## Remove the built programs and tools, too
	rm -rf bin dist

##@ Release

PLATFORMS ?= linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64
RELEASE = SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) bin/keyward-release $(1) -version '$(VERSION)' -revision '$(REVISION)' -platforms '$(PLATFORMS)'

.PHONY: images
images: bin/keyward-release ## Build the images into dist/images; PLATFORMS= only for this machine, PUSH=registry/repository also pushes
	@$(call RELEASE,images) -push '$(PUSH)'

.PHONY: image-files
image-files: bin/keyward-release ## Write the files of the images into dist/files, for the Dockerfile
	@$(call RELEASE,files)

.PHONY: dist
dist: bin/keyward-release ## Build everything that is released into dist: programs, images, manifests, checksums
	@$(call RELEASE,dist) -push '$(PUSH)' $(if $(DOWNLOADS),-downloads '$(DOWNLOADS)')

.PHONY: chart
chart: bin/keyward-release ## Package the Helm chart into dist, as make dist does, with the version of this checkout
	@$(call RELEASE,chart)

# It needs of this repository only the test and its tools: what is installed is in dist, and may have been built elsewhere.
.PHONY: dist-verify
dist-verify: bin/devcluster bin/node/devcluster-node bin/helm bin/kubectl-krew static ## Install from dist alone on a real node, by Helm and by install.yaml; first: make dist PLATFORMS=
	KEYWARD_NODE=1 KEYWARD_NODE_DIST=$(ROOT)/dist go test -count=1 -timeout 15m -v -run '^TestDist$$' ./test/node $(if $(UPDATE),-update)

bin/keyward-release: $(shell find hack/release -name '*.go' ! -name '*_test.go') hack/release/go.mod hack/release/go.sum
	@mkdir -p bin && cd hack/release && go build -buildvcs=false -o $(BIN)/keyward-release .

##@ Develop

.PHONY: docs
docs: bin/hugo ## Build the site of the documentation into dist/docs, and check its links
	@go run ./hack/site -hugo bin/hugo -into dist/docs

.PHONY: pictures
pictures: ## Take the pictures of docs/console.md again, with Chromium (hack/install-gateways.sh)
	go test -count=1 -run '^TestPictures$$' ./console/page -pictures

# Caches are shared and must not be changed: client-go panics if they are.
test e2e: export KUBE_CACHE_MUTATION_DETECTOR := true
# make lint vets everything, tests included. go test would vet it again, and all dependencies before it, with and without -race.
test e2e test-chart test-gitops test-gatewaykits test-node: export GOFLAGS := $(GOFLAGS) -vet=off

# Tests that have thousands of clients, and measure what they cost: with the race detector they would measure that.
MEASURED := ^Test(UnfinishedHeads|SlowClients|UnfinishedRequestsHoldLittle|ResetsAreBounded|RequestsThatNeverEndKeepNobodyOut|SlowSenders|UnreadResponses|ManyConnections)$$
# Most packages wait for an API server most of the time, so there are more of them than processors.
JOBS := $(shell n=$$(getconf _NPROCESSORS_ONLN || echo 4); [ "$$n" -gt 4 ] || n=4; echo $$n)
.PHONY: test
test: bin/devcluster ## Run all tests, as CI does
	@$(if $(RACE),,echo "no C compiler: testing without the race detector")
	@# The race detector waits a second before each program ends, in case a race is still to come.
	KUBEBUILDER_ASSETS=$(BIN)/envtest GORACE=atexit_sleep_ms=100 go test $(RACE) -p $(JOBS) -timeout 20m -skip '$(MEASURED)' \
		$$(go list ./... | grep -v '/test/e2e$$')
	go test -timeout 10m -run '$(MEASURED)' ./server ./webhook/admissionserver
	@# Many random histories take one processor, and what is exhaustive in routing has no time for the race detector.
	go test ./internal/lifecycle -rapid.checks=2000 & deep=$$!; failed=0; go test ./internal/routing || failed=$$?; \
	(cd hack/devcluster && go test ./...) || failed=$$?; wait $$deep || failed=$$?; exit $$failed
	@$(MAKE) --no-print-directory test-chart test-gitops test-gatewaykits
	cd test/scanners && go test ./...
	cd test/oidc && go test ./...
	cd hack/release && go test ./...
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory e2e
	@if command -v chromium >/dev/null || [ "$${KEYWARD_READERS:-}" = all ]; then $(MAKE) --no-print-directory e2e-console; \
	else echo "no Chromium: the console is not used as people do (hack/install-gateways.sh)"; fi

# Separate from other tests, because they measure time; and never cached, because they depend on more than Go code. Most of
# them wait most of the time, so they run on two clusters, each for about as long: one for tests of counts, of what is killed, and of
# releases that differ, and one for all others. What searches all that a run has left is on both. A third cluster has two processors so
# busy that keys end seconds late. Browsers, which use the console, are a target of their own.
FIRST := Quota|Use$$|Usage|Bytes|RateLimit|Killed|Skew
WHOLE := EventsHaveNo|PlaintextIs
BROWSED := ^TestConsole$$
.PHONY: e2e
e2e: bin/devcluster ## Run the end-to-end tests: real processes on a real Kubernetes API
	go test $(RACE) -count=1 -timeout 30m -run '$(FIRST)|$(WHOLE)' ./test/e2e & first=$$!; failed=0; \
	go test $(RACE) -count=1 -timeout 40m -skip '$(FIRST)|$(BROWSED)' ./test/e2e || failed=$$?; \
	wait $$first || failed=$$?; exit $$failed

.PHONY: e2e-console
e2e-console: bin/devcluster ## Use the console in Chromium as people do, on the running product
	KEYWARD_CONSOLE=1 go test -count=1 -timeout 10m -run '$(BROWSED)' ./test/e2e

# In a module of its own, without the race detector: that would compile all of Helm once more.
.PHONY: test-chart
test-chart: bin/devcluster ## Test the chart: renderings, and its life on a real Kubernetes API
	cd test/chart && go test -timeout 15m ./...

# Like test-chart; the programs that it runs are built as for users.
.PHONY: test-gitops
test-gitops: bin/devcluster ## Test Keyward under Flux's engine, kstatus, Argo CD's scripts, kustomize and Helm
	cd test/gitops && go test -timeout 15m ./...

.PHONY: test-gatewaykits
test-gatewaykits: bin/devcluster ## Test the kits of config/gateways with the schemas and protobufs that gateways publish
	cd test/gatewaykits && KUBEBUILDER_ASSETS=$(BIN)/envtest go test -timeout 15m ./...

# Separate from other tests, because they need Linux, root and containerd (hack/install-node.sh); without them they are skipped.
# The cluster and the tests are never cached, because they depend on more than Go code.
.PHONY: test-node
test-node: bin/devcluster bin/node/devcluster-node bin/helm build static ## Run the tests on a real node: Pods, probes, rollouts, evictions, a restart; UPDATE=1 writes what it measured into docs/performance.md
	cd hack/devcluster && KEYWARD_NODE=1 go test -count=1 -timeout 10m -v -run '^TestNode' ./cluster
	KEYWARD_NODE=1 go test -count=1 -timeout 20m -v -run '^(TestNode|TestReadHowTo)$$' ./test/node $(if $(UPDATE),-update)

# Programs for images: static by the linker, without compiling everything again without cgo.
STATIC = $(shell [ "$$(go env CGO_ENABLED)" = 0 ] || echo -linkmode=external -extldflags=-static)
.PHONY: static
static:
	@mkdir -p bin/static
	@go run ./hack/build -name images -ldflags '$(LDFLAGS) $(STATIC)' bin/static/manager=./cmd/manager bin/static/validator=./cmd/validator bin/static/console=./cmd/console \
		bin/static/contentserver=./hack/run/contentserver bin/static/app=./test/node/app \
		2> >(grep -v 'statically linked applications\|^# \|in function' >&2 || true)

.PHONY: soak
soak: bin/devcluster ## Run for SOAK (1h) under half load while keys are created and deleted: no leaks, no races
	KEYWARD_E2E_SOAK=$(SOAK) KEYWARD_E2E_RACE=$(RACE) go test $(RACE) -count=1 -timeout 24h -v -run '^TestSoak$$' ./test/e2e

.PHONY: rotations
rotations: bin/devcluster ## Rotate a key 30 times under load, while the manager is killed at random moments
	KEYWARD_E2E_ROTATIONS=30 go test $(RACE) -count=1 -timeout 15m -v -run '^TestRotationsRefuseNobody$$' ./test/e2e

.PHONY: histories
histories: ## Check 100,000 generated histories of keys
	go test -count=1 -timeout 2h -v -run '^Test(Histories|NobodyIsRefused|WakeIsExact)$$' ./internal/lifecycle -rapid.checks=100000 -rapid.nofailfile

.PHONY: bench
bench: bin/devcluster build ## Measure everything that docs/performance.md promises, against baselines (half an hour)
	@go build -o bin/keyward-bench ./hack/bench
	bin/keyward-bench -json bin/bench.json

.PHONY: bench-hostile
bench-hostile: ## Measure what hostile tenants and strangers cost, for docs/security.md (ten minutes)
	@mkdir -p bin
	@go build -ldflags '$(LDFLAGS)' -o bin/keyward-validator ./cmd/validator
	@go build -o bin/keyward-bench ./hack/bench
	bin/keyward-bench hostile -json bin/bench-hostile.json

.PHONY: bench-revoke
bench-revoke: bin/devcluster ## Measure how soon a revocation is enforced, for docs/performance.md
	go test -run '^$$' -bench '^BenchmarkRevocation$$' -benchtime 200x -timeout 30m ./test/e2e

# The path of a request, and of an update of the snapshot.
MICRO_PACKAGES := ./internal/keyformat ./internal/origin ./internal/routing \
	./server/credential ./server/decision ./server/integrations/envoy ./server/integrations/forwardauth ./server/http1 ./server/authorizer ./server/httpapi ./server/integrations/reverseproxy ./server/store ./server/usage
MICRO := ^Benchmark(WellFormed|DigestOf|ParseAndMatch|Match|CanonicalPath|Decide|Parse|Encode|Answer|Read|Tally|MillionKeys|Pass|Used)$$
MICRO_COUNT ?= 10

.PHONY: bench-micro
bench-micro: ## Run the micro benchmarks MICRO_COUNT times (10), for benchstat
	@go test -run '^$$' -bench '$(MICRO)' -benchtime 200ms -count $(MICRO_COUNT) -timeout 30m $(MICRO_PACKAGES)

.PHONY: verify
verify: ## Generate, format and lint; then require that nothing has changed
	@$(MAKE) --no-print-directory generate licenses fmt lint
	@if [ -n "$$(git status --porcelain)" ]; then \
		git --no-pager diff; \
		git status --short; \
		echo "verify: the tree is not clean: commit the changes above (after a fresh checkout: run make generate fmt and commit)"; \
		exit 1; \
	fi
	@echo "verify: clean"

.PHONY: generate
generate: bin/controller-gen bin/buf bin/protoc-gen-go bin/protoc-gen-go-grpc bin/dashboards ## Generate code, CRDs, Roles, webhooks, dashboards, chart
	bin/controller-gen object paths=./api/v1alpha1
	bin/controller-gen crd paths=./api/v1alpha1 output:crd:dir=config/crd/bases
	bin/controller-gen rbac:roleName=keyward-manager paths=./controllers/... paths=./webhook/... paths=./cmd/manager output:rbac:dir=config/rbac
	bin/controller-gen webhook paths=./webhook/... output:webhook:dir=config/webhook
	cd api && PATH=$(BIN):$$PATH $(BIN)/buf lint && PATH=$(BIN):$$PATH $(BIN)/buf generate
	bin/dashboards config/monitoring/dashboards
	go run ./hack/chart

.PHONY: licenses
licenses: ## Write NOTICE: the licences of everything that is linked into the programs
	go run ./hack/notice

.PHONY: vulncheck
vulncheck: bin/govulncheck ## Look for known vulnerabilities; reports if their database cannot be reached
	hack/vulncheck.sh

.PHONY: fmt
fmt: bin/golangci-lint ## Format all Go code
	bin/golangci-lint fmt ./...

.PHONY: lint
lint: bin/golangci-lint ## Lint all Go code, the API conventions and the vocabulary
	go run ./hack/words
	bin/golangci-lint run ./...
	bin/golangci-lint run -c .golangci-kal.yml ./api/v1alpha1/...
	@for module in $(MODULES); do \
		echo "bin/golangci-lint run ($$module)"; \
		(cd $$module && $(BIN)/golangci-lint run -c $(ROOT)/.golangci.yml ./...); \
	done

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (60s)
	@{ grep -rl --include='*_test.go' '^func Fuzz' api internal pkg controllers server webhook test cmd console 2>/dev/null || true; } | sort | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file" | while read -r target; do \
			echo "fuzz: $$target in $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null; \
		done; \
	done

# Built on demand, only when their sources or pins change.

bin/devcluster: hack/build-devcluster.sh hack/devcluster/go.mod hack/devcluster/go.sum \
		$(shell find hack/devcluster -type f ! -name '*_test.go' ! -path '*/cmd/*' ! -path '*/testdata/*' ! -name 'go.*')
	@hack/build-devcluster.sh

# What only a cluster with a node needs.
bin/node/devcluster-node: hack/build-node.sh hack/devcluster/go.mod hack/devcluster/go.sum \
		$(shell find hack/devcluster/cmd -name '*.go' ! -name '*_test.go')
	@hack/build-node.sh

# tool BINARY,MODULE,PACKAGE: builds one tool out of a module below hack/tools.
define tool
bin/$(1): $(wildcard hack/tools/$(2)/*.go) hack/tools/$(2)/go.mod hack/tools/$(2)/go.sum
	@echo "tools: building $(1)"
	@go run ./hack/build -C hack/tools/$(2) -name $(1) -ldflags '-s -w' bin/$(1)=$(3)
	@touch $$@
endef

$(eval $(call tool,controller-gen,generate,sigs.k8s.io/controller-tools/cmd/controller-gen))
$(eval $(call tool,protoc-gen-go,generate,google.golang.org/protobuf/cmd/protoc-gen-go))
$(eval $(call tool,protoc-gen-go-grpc,generate,google.golang.org/grpc/cmd/protoc-gen-go-grpc))
$(eval $(call tool,buf,buf,github.com/bufbuild/buf/cmd/buf))
$(eval $(call tool,golangci-lint,lint,.))
$(eval $(call tool,dashboards,dashboards,.))
$(eval $(call tool,kubectl-krew,krew,sigs.k8s.io/krew/cmd/krew))
$(eval $(call tool,validate-krew-manifest,krew,sigs.k8s.io/krew/cmd/validate-krew-manifest))
# Helm itself, out of the module that tests the chart, so that most of it is compiled once.
bin/helm: test/chart/go.mod test/chart/go.sum
	@go run ./hack/build -C test/chart -name helm -ldflags '-s -w' bin/helm=helm.sh/helm/v4/cmd/helm
	@touch $@

$(eval $(call tool,hugo,site,github.com/gohugoio/hugo))
$(eval $(call tool,govulncheck,vuln,golang.org/x/vuln/cmd/govulncheck))
# For the tests of config/gateways/traefik, which are skipped without it: compiling it takes six CPU minutes, once.
$(eval $(call tool,traefik,traefik,github.com/traefik/traefik/v3/cmd/traefik))
