#!/usr/bin/env bash
# Prints the path of a Python 3.11, 3.12 or 3.10 (in this order) that really runs and can make virtual environments.
# A candidate is judged by running it: version managers put commands on the PATH that start nothing.
# With PYTHON set, only that one is considered.
set -u

check='import sys, venv, ensurepip
sys.exit(sys.version_info[:2] not in {(3, 10), (3, 11), (3, 12)} or print(sys.executable))'
wanted='Python 3.10, 3.11 or 3.12 with its venv module (on Debian and Ubuntu: apt-get install python3-venv)'

if [ -n "${PYTHON:-}" ]; then
    "$PYTHON" -c "$check" 2>/dev/null && exit
    echo "PYTHON=$PYTHON is not usable: it must be $wanted" >&2
    exit 1
fi

candidates() {
    local version
    for version in 3.11 3.12 3.10; do
        type -ap "python$version"
        ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python 2>/dev/null
    done
    type -ap python3 python
}

while IFS= read -r candidate; do
    "$candidate" -c "$check" 2>/dev/null </dev/null && exit
done < <(candidates)
echo "No suitable Python found: install $wanted, or name one: make setup PYTHON=/path/to/python3" >&2
exit 1
