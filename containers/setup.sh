#!/usr/bin/env bash
# Makes the environment .venv: the planning side, the training side with FFCV, and what the tests need.
#
# `make setup` calls it, once and again when what it reads has changed. PYTHON chooses the interpreter (3.11 or newer).
# pip and apt are used as they are configured on this machine. Stopped in the middle, it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
wheels=build/wheels
log=build/setup.log

fail() {
    printf '\nSet-up stopped: %s\n' "$*" >&2
    exit 1
}

step() {
    started=$SECONDS
    printf '%s\n' "$*"
}

took() { printf '  done in %d s\n' $((SECONDS - started)); }

find_python() {  # sets `python` and its `version`
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
            return
        fi
    done
    fail "${PYTHON:-python3} is not Python 3.11 or newer ($("${PYTHON:-python3}" --version 2>&1 || true)).
Install one, then say which: make setup PYTHON=python3.12"
}

provide_tools() {  # what Debian leaves out of Python, and a compiler: installed as root, elsewhere asked for
    local missing=()
    "$python" -c 'import venv, ensurepip' 2>/dev/null || command -v virtualenv >/dev/null ||
        missing+=("python$version-venv")
    command -v "${CXX:-g++}" >/dev/null || missing+=(g++)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        printf '  installing %s\n' "${missing[*]}"
        { apt-get -qq update &&
            DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "${missing[@]}"; } \
            >>"$log" 2>&1 && return
        tail -n 5 "$log" >&2
    fi
    fail "Python's venv module or a C++ compiler (for FFCV) is missing. Install what is missing and try again.
Debian, Ubuntu: apt-get install ${missing[*]}"
}

make_venv() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    find_python
    provide_tools
    if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    else
        virtualenv --quiet --clear --python "$python" "$venv"
    fi
}

make_ffcv() {  # one wheel of FFCV, built again only when its recipe is newer
    local wheel
    wheel=$(find "$wheels" -name 'ffcv-*.whl' 2>/dev/null | head -n 1)
    [ -n "$wheel" ] && [ -z "$(find containers/ffcv -type f -newer "$wheel")" ] && return
    rm -rf "$wheels"
    PYTHON="$PWD/$venv/bin/python" bash containers/ffcv/build.sh "$wheels" >>"$log"
}

install() {  # pip's own words go to the log, its large downloads to the screen
    PYTHONUNBUFFERED=1 "$venv/bin/python" -m pip install --disable-pip-version-check "$@" 2>&1 | tee -a "$log" |
        sed -unE -e 's/^ *Downloading (.*\/)?([^-]+)-([^-]+)-[^ ]*\.whl (\([0-9]{2,}\.[0-9] MB\))$/  \2 \3 \4/p' \
            -e 's/^Installing collected packages: .{999,}/  unpacking/p' -e '/^ERROR/p' ||
        fail "pip could not install the packages; all that it said is in $log."
}

mkdir -p build
: >"$log"
total=$SECONDS

step "1/4 Python environment in $venv"
make_venv
took

step "2/4 FFCV, compiled here"
make_ffcv || fail "see above."
took

step "3/4 packages: PyTorch and the rest, about 3 GB to download once"
install --no-deps --force-reinstall "$wheels"/ffcv-*.whl
install -e '.[train,test]' -c containers/constraints.txt
took

step "4/4 a test of FFCV"
"$venv/bin/python" containers/ffcv/check.py 2>>"$log" ||
    fail "FFCV was built but does not work ($(tail -n 1 "$log")); more in $log."
took

touch "$venv/ready"
printf 'Set up in %d s. The environment is %s: type . %s/bin/activate\n' $((SECONDS - total)) "$venv" "$venv"
