#!/bin/sh
# Makes or renews the project's environment: .venv with what requirements/$1.txt pins, plus this project, editable.
#
#   environment.sh demo    adds what the demo needs
#   environment.sh dev     makes it exactly what the tests and checks need
#
# A small venv, .uv, holds only a pinned uv, which lays 140 packages in about seven seconds on two cores (pip: about a
# minute). Where uv cannot be installed or run, plain pip reads the same hashed file. Called by the Makefile.
set -eu

cd "$(dirname "$0")/.."
purpose=$1
lock=requirements/$purpose.txt
venv=.venv
tools=.uv
export UV_PYTHON_DOWNLOADS=never

say() { printf '%s\n' "$*" >&2; }

stop() {
    for line in "$@"; do say "$line"; done
    exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The first Python that is new enough: what PYTHON names, else python3, else a versioned name.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || stop "PYTHON=$PYTHON does not run or is older than 3.11; Chopmark needs Python 3.11 or newer."
        printf '%s' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if new_enough "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    stop "Chopmark needs Python 3.11 or newer, and none was found on PATH." \
        "Install one (Debian, Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3; macOS: brew install python)" \
        "or name one: make PYTHON=/path/to/python3.12"
}

# Debian and Ubuntu ship Python without ensurepip, and then venv fails half way.
require_venv() {
    "$1" -c 'import venv, ensurepip' >/dev/null 2>&1 && return
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    stop "$1 (Python $version) cannot make virtual environments: its module 'venv' or 'ensurepip' is missing." \
        "Install it (Debian, Ubuntu: apt-get install python3-venv, or python$version-venv for just this version)," \
        "or name another Python: make PYTHON=/path/to/python3.12"
}

runs() { [ -x "$1" ] && "$@" >/dev/null 2>&1; }

make_tools() {
    if ! runs "$tools/bin/python" -m pip --version; then
        rm -rf "$tools"
        "$1" -m venv "$tools"
    fi
    installed=$(cat "$tools/.pinned" 2>/dev/null || true)
    wanted=$(cksum <requirements/uv.txt)
    if [ "$installed" != "$wanted" ] || ! runs "$tools/bin/uv" --version; then
        rm -f "$tools/.pinned"
        if "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
            --require-hashes -r requirements/uv.txt && runs "$tools/bin/uv" --version; then
            printf '%s\n' "$wanted" >"$tools/.pinned"
        fi
    fi
}

# `sync` also removes what is not in the file; for the demo that would undo an environment made for the tests.
lay() {
    case $purpose in
    demo) "$tools/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock" ;;
    *) "$tools/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes "$lock" ;;
    esac
}

with_uv() {
    # Certificates: uv's own bundle first would break behind a company's proxy, so the machine's store comes first and
    # uv's bundle second, for a bare container that has no store.
    for system_certs in 1 0; do
        export UV_SYSTEM_CERTS=$system_certs
        if lay; then
            "$tools/bin/uv" pip install --quiet --python "$venv/bin/python" --offline \
                --no-deps --no-build-isolation --reinstall-package chopmark --editable .
            return
        fi
    done
    return 1
}

with_pip() {
    pip="$tools/bin/python -m pip --python $venv/bin/python --disable-pip-version-check"
    $pip install --quiet --require-hashes -r "$lock"
    $pip install --quiet --no-deps --no-build-isolation --editable .
}

python=$(choose_python)
require_venv "$python"
make_tools "$python"
if ! new_enough "$venv/bin/python"; then
    say "Making the environment in $venv (once) ..."
    rm -rf "$venv"
    "$python" -m venv --without-pip "$venv"
fi
if [ -z "${CHOPMARK_NO_UV:-}" ] && [ -f "$tools/.pinned" ] && with_uv; then
    exit 0
fi
say "uv cannot be used here; falling back to pip, which takes about a minute longer ..."
with_pip
