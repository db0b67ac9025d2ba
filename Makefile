# make          builds bin/silod and bin/siloctl
# make test     installs the programs that the tests need, if it has the rights, and runs all tests
# make lint     checks format and style
# make fuzz     runs each fuzz target for FUZZTIME
# make bench    compares silod with Kamailio
# make docs     regenerates the generated files
# make deb      builds the Debian package in dist/
# make deb-test installs the package in a separate root, runs it, and purges it
# make install  copies the programs, the sample configuration and the manual to DESTDIR

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Debian versions begin with a digit; a build without a release tag is older than any release.
DEBVERSION = $(shell echo "$(VERSION)" | sed -e 's/^v//' -e '/^[0-9]*\./!s/^/0~/' -e 's/-/+/g')
FUZZTIME ?= 20s
PREFIX   ?= /usr/local
GO       ?= go

TOOLS := bin/tools
FILES  = $(shell find . -name '*.go' -not -path './bin/*')

.PHONY: build test lint fuzz bench docs man deb deb-test install clean

build:
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/silod ./cmd/siloctl

# With SILOD_TEST_SERVERS=required a test whose server or client program is missing fails;
# otherwise it is skipped with the name of the program.
test:
	./tools/install-test-deps
	./tools/install-test-modules
	SILOD_TEST_SERVERS=required $(GO) test -race -shuffle=on -timeout 20m ./...

lint: $(TOOLS)/golangci-lint
	@out=$$($(TOOLS)/gofumpt -l $(FILES)) && [ -z "$$out" ] || { echo "not formatted with gofumpt:"; echo "$$out"; exit 1; }
	@awk 'FNR == 401 { print FILENAME ": more than 400 lines, split it"; long = 1 } END { exit long }' $(FILES)
	$(GO) vet ./...
	$(TOOLS)/golangci-lint run ./...

$(TOOLS)/golangci-lint: tools/go.mod tools/go.sum
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) -C tools install tool
	@touch $@

fuzz:
	./tools/fuzz $(FUZZTIME)

bench:
	@[ -x bench/run ] || { echo "bench/run is missing"; exit 1; }
	./bench/run

docs:
	$(GO) test ./config -run TestGenerated -update
	$(GO) test ./cmd/silod -run TestManagementDoc -update
	$(GO) test ./imc -run TestRoomsDoc -update

man: build
	rm -rf bin/man
	bin/silod man bin/man/man8
	bin/siloctl man bin/man/man1
	gzip -9nr bin/man

deb: man $(TOOLS)/golangci-lint
	mkdir -p dist
	ARCH=$$($(GO) env GOARCH) VERSION=$(DEBVERSION) $(TOOLS)/nfpm package -f packaging/nfpm.yaml -p deb -t dist/

deb-test: deb
	./tools/install-test-deps "debootstrap debootstrap"
	./packaging/test dist/silod_$(DEBVERSION)_$$($(GO) env GOARCH).deb

install: build
	install -D -t $(DESTDIR)$(PREFIX)/bin bin/silod bin/siloctl
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/silod config/silod.toml docs/*.md

clean:
	rm -rf bin dist
