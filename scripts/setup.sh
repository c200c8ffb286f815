# Sourced by every launcher: source "$(dirname "$0")/setup.sh" GROUP...
# Finds Python 3.11 to 3.13, makes .venv in the repository, and installs the pinned requirements of the
# groups (layers, inference, training, scripts, tests) unless that is done already. Sets PARLEY_ROOT, PYTHON and
# PYTHONPATH. With --find-python in place of groups it installs nothing. Says what it does on stderr.

PARLEY_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PARLEY_ROOT

parley_find_python() {
    local candidate
    # a name on the path may be a version manager's shim that runs nothing: ask each to run
    for candidate in ${PARLEY_PYTHON:+"$PARLEY_PYTHON"} python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
            >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

if ! PYTHON="$(parley_find_python)"; then
    echo "parley: no Python 3.11, 3.12 or 3.13 (with its venv module) found; install one, or name it in PARLEY_PYTHON" >&2
    exit 1
fi
if [ "${1:?name the groups of requirements}" != --find-python ]; then
    "$PYTHON" "$PARLEY_ROOT/scripts/local/environment.py" "$PARLEY_ROOT" "$@" </dev/null >&2 || exit 1
    PYTHON="$PARLEY_ROOT/.venv/bin/python"
fi
export PYTHON
export PYTHONPATH="$PARLEY_ROOT:$PARLEY_ROOT/layers:$PARLEY_ROOT/chalice-app"
