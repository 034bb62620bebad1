# Sourced by the scripts here: goes to the root of the project and makes .venv with what `pip install -e .[EXTRA]` needs.
# Usage: source launch/environment.sh; prepare_environment [EXTRA]
# shellcheck shell=bash

CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

say() { echo "tlj: $*" >&2; }

# A pyenv shim may be on the PATH and yet run nothing, so each candidate is asked.
is_right_python() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

# Prints the first Python 3.11 or 3.12 that can make a virtual environment.
find_python() {
  local name candidate without_venv=""
  for name in "${PYTHON:-}" python3.12 python3.11 python3 python; do
    [[ -n "$name" ]] || continue
    while IFS= read -r candidate; do
      is_right_python "$candidate" || continue
      if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$candidate"
        return 0
      fi
      without_venv="$candidate"
    done < <(type -aP "$name")
    if [[ "$name" == "${PYTHON:-}" ]]; then
      say "PYTHON=$PYTHON is not a Python 3.11 or 3.12 that can make a virtual environment; looking for another"
      PYTHON=""
    fi
  done
  if [[ -n "$without_venv" ]]; then
    say "$without_venv cannot make a virtual environment (no ensurepip); on Debian or Ubuntu: apt-get install python3-venv"
  else
    say "no Python 3.11 or 3.12 found; install one, or give it as PYTHON=/path/to/python3.12 bash $0"
  fi
  return 2
}

# A half-made .venv, or one of another Python, does not answer.
venv_works() {
  [[ -x .venv/bin/python ]] && is_right_python .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1
}

# Makes .venv where it is missing, and installs the project with an extra where that was not done yet.
prepare_environment() {
  local extra="${1:-}" python stamp
  if ! venv_works; then
    python="$(find_python)" || exit 2
    [[ ! -e .venv ]] || say ".venv is half-made or of another Python: making it anew"
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || { say "making .venv failed"; exit 1; }
  fi
  # A moved folder breaks an editable install, so the folder is part of the stamp.
  stamp="$({ pwd; cat pyproject.toml; } | cksum | tr ' ' '-')"
  # What the extra brings holds everything that the plain install brings.
  if [[ -e ".venv/tlj-$stamp-$extra" || (-z "$extra" && -e ".venv/tlj-$stamp-test") ]]; then
    return 0
  fi
  say "installing what tlj needs into .venv (the first time this takes a few minutes)"
  if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 5 --timeout 60 \
    --editable ".${extra:+[$extra]}"; then
    say "the installation failed (see above); run the same command again to go on"
    exit 1
  fi
  touch ".venv/tlj-$stamp-$extra"
}
