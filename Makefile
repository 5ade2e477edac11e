# Everything a developer or a CI machine runs. Tools come through "go run" at
# pinned versions, so that Go and git are all one needs.

GO          ?= go
GOFUMPT     := $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
OWN         := $(shell git ls-files '*.go' | grep -v '^models/oc/')

.PHONY: build
build: ## build bin/setpoint: one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/setpoint ./cmd/setpoint

.PHONY: demo
demo: build ## the whole road on this machine, in seconds; KEEP=1 leaves it up
	./bin/setpoint demo $(if $(KEEP),--keep)

.PHONY: test
test: ## every test
	$(GO) test ./...

.PHONY: e2e-forge
e2e-forge: ## statuses on a real Gitea or Forgejo: GITEA_URL=… GITEA_TOKEN=…
	@if [ -z "$(GITEA_URL)" ] || [ -z "$(GITEA_TOKEN)" ]; then \
	  echo "e2e-forge is not run: it needs a Gitea or Forgejo, GITEA_URL=https://… GITEA_TOKEN=… (scopes write:repository, write:user)"; \
	else \
	  GITEA_URL='$(GITEA_URL)' GITEA_TOKEN='$(GITEA_TOKEN)' $(GO) test -count=1 -v -run '^TestAPushIsToldOnARealGitea$$' ./e2e; \
	fi

.PHONY: e2e-gnmic
e2e-gnmic: ## a simulated target driven by gnmic: GNMIC=/path/to/gnmic
	@if [ -z "$(GNMIC)" ]; then \
	  echo "e2e-gnmic is not run: it needs the gnmic command (gnmic.openconfig.net), GNMIC=/path/to/gnmic"; \
	elif ! command -v '$(GNMIC)' >/dev/null; then \
	  echo "e2e-gnmic: GNMIC=$(GNMIC) is no command"; exit 1; \
	else \
	  GNMIC="$$(realpath "$$(command -v '$(GNMIC)')")" $(GO) test -count=1 -v -run '^TestGnmic$$' ./reconciler/device/sim; \
	fi

.PHONY: e2e-target
e2e-target: ## setpoint at work on a gNMI target that is not ours: TARGET=host:port, see docs/targets.md
	@if [ -z "$(TARGET)" ]; then \
	  echo "e2e-target is not run: it needs a gNMI target that it may change, TARGET=host:port (SERVER=… USER=… PASSWORD_FILE=… CA=… INSECURE=1 ORIGIN=… LEAVES=…, docs/targets.md)"; \
	else \
	  TARGET='$(TARGET)' TARGET_SERVER='$(SERVER)' TARGET_USER='$(if $(filter command,$(origin USER)),$(USER))' TARGET_INSECURE='$(INSECURE)' TARGET_ORIGIN='$(ORIGIN)' TARGET_LEAVES='$(LEAVES)' \
	  TARGET_PASSWORD_FILE='$(if $(PASSWORD_FILE),$(abspath $(PASSWORD_FILE)))' TARGET_CA='$(if $(CA),$(abspath $(CA)))' \
	  $(GO) test -count=1 -timeout 30m -run '^TestATargetThatIsNotOurs$$' ./e2e -v; \
	fi

.PHONY: check
check: tidy fmt vet staticcheck limits race ## what CI holds a change to

.PHONY: tidy
tidy:
	$(GO) mod tidy -diff

.PHONY: fmt
fmt:
	@out=$$($(GOFUMPT) -l $(OWN)) || exit 1; \
	if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: staticcheck
staticcheck:
	$(STATICCHECK) $$($(GO) list ./... | grep -v /models/oc)

.PHONY: limits
limits: # what the race detector would multiply
	$(GO) test -run '^TestLimits$$' ./renderer/worker

.PHONY: race
race:
	$(GO) test -race -shuffle=on -timeout 15m ./...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),20s) $$p || exit 1; \
	  done; \
	done

FLEETS ?= 1,100,1000

.PHONY: bench
bench: ## the road with fleets of 1, 100 and 1,000, and the renderer alone, some minutes; UPDATE=1 records it
	cd e2e && $(GO) test -count=1 -timeout 30m -run '^TestTheRoadIsMeasured$$' -fleets $(FLEETS) $(if $(UPDATE),-update)

.PHONY: microbench
microbench: ## every benchmark of a single part
	$(GO) test -run '^$$' -bench . -benchmem ./...

include models/gen/models.mk
