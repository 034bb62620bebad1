#!/usr/bin/env bash
# Makes .venv, installs tlj with what its tests need, and runs the linter, the formatter's check and every test.
# Arguments go to pytest: bash launch/test.sh tests/freezing -x
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

prepare_environment test
.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check .
exec .venv/bin/python -m pytest "$@"
