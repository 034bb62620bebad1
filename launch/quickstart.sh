#!/usr/bin/env bash
# Makes .venv, installs tlj and runs the main job: does transfer help on the handwritten digits?
# Arguments go to `tlj compare`, over those below: bash launch/quickstart.sh --config.seeds=0,1,2
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

prepare_environment ""
exec .venv/bin/tlj compare --config=configs/digits.py --workdir=runs/digits "$@"
