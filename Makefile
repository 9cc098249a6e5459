# `make` without a target says what there is.
.DEFAULT_GOAL := help
.PHONY: help build test demo bench advisories clean

help: ## Says what the targets do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Builds pipectl and its runtime
	cargo build --locked

test: ## Checks everything: format, lints, documentation, licences, all tests, cfn-lint and sqlfluff
	@scripts/test.sh

demo: ## Shows a pipeline from nothing to rows and away again, on the local cloud
	@scripts/demo.sh

bench: ## Measures pipectl
	@scripts/bench.sh

advisories: ## Checks the dependencies for known vulnerabilities (fetches RustSec's database from GitHub)
	@scripts/setup.sh
	target/tools/cargo-deny --locked check advisories

clean: ## Removes what was built, and the Python environment
	cargo clean
	rm -rf .venv
