#!/usr/bin/env bash
# The main job on the example repository: a real model, real sandboxes; hidden tests decide whether it is solved.
set -euo pipefail
out=$1 seed=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/python examples/make_repo.py "$work/studio"
.venv/bin/bestpatch solve "$work/studio" --issue "examples/issues/$(cat examples/demo_issue).md" --out "$out" --seed "$seed"
.venv/bin/python examples/check.py "$out"
