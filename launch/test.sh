#!/usr/bin/env bash
# Makes .venv, installs tlj with what its tests need, and runs the linter, the formatter's check and every test, on a
# machine without an accelerator in as many processes as it has cores, up to four.
# Arguments go to pytest: bash launch/test.sh tests/freezing -x
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

prepare_environment test
.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check .

workers=$(getconf _NPROCESSORS_ONLN)
# An accelerator belongs to one process at a time.
if compgen -G "/dev/nvidia[0-9]*" >/dev/null || compgen -G "/dev/accel*" >/dev/null || compgen -G "/dev/vfio/[0-9]*" >/dev/null; then
  workers=0
fi
exec .venv/bin/python -m pytest -n "$((workers > 4 ? 4 : workers))" --dist loadfile "$@"
