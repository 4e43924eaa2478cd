#!/usr/bin/env bash
# Builds one self-contained wheel of FFCV: bash build.sh OUT_DIR
#
# Needs a Python with pip (PYTHON, by default python3) and a C++ compiler (CXX, by default g++); neither root, nor
# OpenCV, nor Python's headers. libjpeg-turbo comes from where the compiler finds it, or else as Debian's package,
# unpacked into a folder of our own, and is bundled. The wheel serves every Python 3 of this architecture.
set -euo pipefail

version=1.0.2
sha256=42766a487c8a659b543d070f24732c4b65aab8d96980f5792c63e91e55511f00
python=${PYTHON:-python3}
cxx=${CXX:-g++}
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: [PYTHON=python3] [CXX=g++] bash $0 OUT_DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'FFCV was not built: %s\n' "$@" >&2
    exit 1
}

compiler_finds() {  # the compiler sees libjpeg-turbo's header and library, with the options given
    echo '#include <turbojpeg.h>' | "$cxx" "$@" -x c++ -fsyntax-only - 2>/dev/null &&
        [ "$("$cxx" "$@" -print-file-name=libturbojpeg.so)" != libturbojpeg.so ]
}

unpack_debian() {  # libjpeg-turbo's packages into $work/deb; needs no root
    local apt=(-qq -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)")
    mkdir -p "$work/deb" "$work/cache/archives/partial" "$work/lists/partial"
    cd "$work/deb"
    if ! fetch_debian "${apt[@]}"; then  # no package lists on this machine, or old ones: a copy of our own
        apt+=(-o Dir::State::Lists="$work/lists")
        apt-get "${apt[@]}" update && fetch_debian "${apt[@]}"
    fi 2>"$work/apt.log" || return 1
    for package in *.deb; do dpkg -x "$package" .; done
}

fetch_debian() {  # the development package and the library that it depends on (its name varies), with apt's options
    local library
    library=$(apt-cache "$@" depends libturbojpeg0-dev | sed -n 's/^ *Depends: \(libturbojpeg[^ ]*\)$/\1/p')
    [ -n "$library" ] && apt-get "$@" download libturbojpeg0-dev "$library"
}

find_turbojpeg() {  # sets `flags` to what the compiler needs to find libjpeg-turbo
    flags=()
    compiler_finds && return
    if type apt-get dpkg >/dev/null 2>&1 && (unpack_debian); then
        flags=(-I"$work/deb/usr/include" -B"$(dirname "$work"/deb/usr/lib/*/libturbojpeg.so)")
        compiler_finds "${flags[@]}" && return
    fi
    [ ! -s "$work/apt.log" ] || sed 's/^/  apt: /' "$work/apt.log" >&2
    fail "libjpeg-turbo's header and library were not found and could not be downloaded.
Install them (Debian, Ubuntu: apt-get install libturbojpeg0-dev; Fedora: dnf install turbojpeg-devel;
a cluster: module load libjpeg-turbo) and try again, or run in the container (containers/)."
}

fetch_source() {  # FFCV's source into $work/ffcv-$version
    # pip asks FFCV's setup.py for metadata, which asks pkg-config for libraries. What it hears does not matter here.
    mkdir "$work/bin"
    printf '#!/bin/sh\necho -lturbojpeg\n' > "$work/bin/pkg-config"
    chmod +x "$work/bin/pkg-config"
    PATH="$work/bin:$PATH" "$python" -m pip download -q --no-binary :all: --no-deps -d "$work" "ffcv==$version" >&2 ||
        fail "pip could not download its source (see above)."
    echo "$sha256  $work/ffcv-$version.tar.gz" | sha256sum --check --quiet >&2 ||
        fail "ffcv-$version.tar.gz is not the file that this script was written for."
    tar -xzf "$work/ffcv-$version.tar.gz" -C "$work"
}

adapt_source() {
    # FFCV loads its library through ctypes; that it is also an empty Python module only ties it to one Python.
    sed -i -e '/^#include <Python.h>/d' -e '/static PyMethodDef/,$d' libffcv/libffcv.cpp
    echo '}' >> libffcv/libffcv.cpp
    sed -i -e 's/^import ffcv\._libffcv/from pathlib import Path/' \
        -e 's/CDLL(ffcv\._libffcv\.__file__)/CDLL(str(Path(__file__).with_name("_libffcv.so")))/' ffcv/libffcv.py
    sed -i -e '/^from distutils.log import warn/d' ffcv/pipeline/graph.py  # unused, and gone from Python 3.12
    cp "$here/setup.py" "$here/pyproject.toml" .
}

compile() {
    local library soname
    library=$("$cxx" "${flags[@]}" -print-file-name=libturbojpeg.so)
    soname=$(objdump -p "$library" | awk '$1 == "SONAME" { print $2 }')
    cp -L "$library" "ffcv/$soname"
    # shellcheck disable=SC2016
    "$cxx" -O3 -shared -fPIC -w -I"$here/include" "${flags[@]}" libffcv/libffcv.cpp "ffcv/$soname" \
        -o ffcv/_libffcv.so -pthread -Wl,--as-needed -Wl,-rpath,'$ORIGIN'
}

type "$cxx" objdump >/dev/null 2>&1 || fail "there is no C++ compiler ($cxx).
Install one (Debian, Ubuntu: apt-get install g++) or run in the container (containers/)."
"$python" -m pip --version >/dev/null || fail "$python has no pip. Give another with PYTHON=..."
find_turbojpeg
fetch_source
(
    cd "$work/ffcv-$version"
    adapt_source
    compile || fail "the compiler's message is above."
)
"$python" -m pip wheel -q --no-deps -w "$out" "$work/ffcv-$version" >&2 ||
    fail "pip could not pack the wheel (see above)."
ls "$out"/ffcv-"$version"-*.whl
