# Sourced by the launchers of scripts/operations: installs what it needs and runs the module of the launcher's name.
source "$(dirname "$0")/setup.sh" layers scripts
exec "$PYTHON" -P -m "scripts.operations.$(basename "$0")" "$@"
