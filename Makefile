# Set-up, the main job, tests, service. What depends on what is DVC's to know, not this file's.

PYTHON ?= python3
BIN := .venv/bin
# Compiled modules save half of every start-up; the first import compiles what is used, all that is installed took a minute and more.
unexport PYTHONDONTWRITEBYTECODE
# torch may lie in a folder of wheels that only pip is told of.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Nothing that runs here reports its use.
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export BENTOML_DO_NOT_TRACK := True
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export HF_HUB_DISABLE_TELEMETRY := 1
# Most tests use one core; past four processes their imports cost more than they save. A file's tests stay together until one runs idle.
TESTS := pytest -m "not real" --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: setup repro test test-real check check-release serve data profile recipe matrix review schedule

setup: .venv/ready

# jieba's files warn when they are compiled, which neither tests nor people need to see.
.venv/ready: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/python -W ignore -m compileall -q .venv/lib/python*/site-packages/jieba
	touch $@

repro: setup
	@test -e data || dvc update --quiet data.dvc
	@python -m stages
	python -m lingyu.runtime.warm dvc repro

test: setup
	$(TESTS)

# make test-real BASE=file.gguf: a real pretrained model on the whole road, for an hour. `python -m bench.real_base fetch FOLDER` brings one.
test-real: setup
	LINGYU_REAL_BASE="$(BASE)" pytest --numprocesses 0 -m real -rs

check: setup
	ruff format --check .
	ruff check .
	mypy
	$(TESTS)

# What a release of the project needs besides: nothing stale, and README and docs show the run that dvc.lock names.
check-release: setup
	python -m bench.results --check

serve: setup
	bentoml serve $(CURDIR)/out/package/bento

# make data FROM=folder: the folder's files become data/, under DVC.
data: setup
	@python -m stages "$(FROM)"
	rm -rf data
	dvc import-url --force "$(FROM)" data
	@echo "data/ now holds $(FROM). Next: make repro"

# make schedule CRON="0 3 * * 1": retraining on this machine, with server and worker, in the foreground (docs/retraining.md).
CRON ?= 0 3 * * 1
schedule: setup
	python -m flows.schedule --cron "$(CRON)"

# make profile NAME=laptop: the sizes of profiles/NAME.yaml in params.yaml.
profile: setup
	python -m lingyu profile "$(NAME)"

# make recipe NAME=lexilaw: rebuilds that system on its sample corpus, in .lingyu/recipes/lexilaw, and checks it. With DATA=folder its values go
# into params.yaml, after a profile where you use one, and the folder's files become data/; make repro then runs them.
recipe: setup
ifdef DATA
	@python -m stages "$(DATA)"
	python -m lingyu recipe "$(NAME)"
	@$(MAKE) --no-print-directory data FROM="$(DATA)"
else
	python -m lingyu recipes "$(NAME)" --profile "$(or $(PROFILE),tiny)"
endif

# make matrix [NAMES="lexilaw fire"]: all recipes, two at a time, and docs/systems.md from what they show.
matrix: setup
	python -m lingyu recipes $(or $(NAMES),--all) --jobs 2 --page docs/systems.md

# make review FILE=queue.xlsx: a reviewer's decisions go into reviews/ of the folder that data/ is made from, and into data/.
review: setup
	python -m lingyu review "$(FILE)"
	dvc update --quiet data.dvc
	@echo "data/reviews has them. Next: make repro"
