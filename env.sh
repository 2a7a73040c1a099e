# Sourced by ./run and ./test in the checkout's root. `ready app sandbox` makes .venv from those
# locks, once, and sets `python` to its interpreter; doing nothing takes about 0.01 s.
# `ready_apart ministack` makes .venv-ministack from that one lock: what must not meet our packages.
#
# A bare Debian has neither python3-venv nor uv, so python3, pip and a C++ compiler are enough; uv is
# used where there is one. Nothing but what a lock names by hash is installed.

ready() {
    venv=.venv
    make_ready "$@"
}

# In a shell of its own: `python` stays what it was. A failure there ends this one too.
ready_apart() (
    venv=.venv-$1
    make_ready "$1"
)

make_ready() {
    python=$PWD/$venv/bin/python
    is_ready "$@" && return
    find_python
    one_at_a_time
    is_ready "$@" || set_up "$@"
    exec 9>&-
}

# $venv/ready holds the fingerprint and then the locks installed. It is removed before anything is
# changed and written last, so an interrupted set-up starts again from nothing.
is_ready() {
    [ -x "$python" ] && [ -r "$venv/ready" ] || return
    read -r stamp installed <"$venv/ready"
    [ "$stamp" = "$(fingerprint)" ] || return
    for lock in "$@"; do
        case " $installed " in *" $lock "*) ;; *) return 1 ;; esac
    done
}

# A virtual environment survives neither a move of the checkout nor another Python under it.
fingerprint() {
    { pwd -P && readlink -f "$python" && cat env.sh locks/*.txt; } | cksum | tr ' ' -
}

find_python() {
    for system_python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        "$system_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    stop 'Python 3.11 or newer is needed, as python3 or named by PYTHON.'
}

# Holds .venv.lock until descriptor 9 is closed or this shell and the installers it started have
# ended. The lock belongs to the open file, so it outlives the Python that takes it.
one_at_a_time() {
    exec 9>.venv.lock
    "$system_python" -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("Another set-up is running here; waiting for it.", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
'
}

set_up() {
    if is_ready; then
        kept=$installed
    else
        kept=
        say "Setting up in $venv, this once: half a minute for the service, more for the checks."
        [ "$venv" != .venv ] || find_compiler
        rm -rf "$venv"
        "$system_python" -m venv --without-pip "$venv" || stop 'python3 -m venv failed.'
    fi
    rm -f "$venv/ready"
    wanted=$*
    [ "$venv" != .venv ] || wanted="build $wanted"
    for lock in $wanted; do
        case " $kept " in *" $lock "*) continue ;; esac
        say "  installing what locks/$lock.txt names"
        install_lock "$lock" || stop 'The installation did not finish. The same command starts it again.'
        kept="$kept $lock"
    done
    [ "$venv" != .venv ] || install_this_project
    echo "$(fingerprint) $kept" >"$venv/ready.new" && mv "$venv/ready.new" "$venv/ready"
    say '  done'
}

find_compiler() {
    command -v c++ >/dev/null || debian_package g++ 'A C++ compiler'
    "$system_python" -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
' || debian_package python3-dev 'The header Python.h'
}

# debian_package NAME WHAT: installs it where that is allowed, else says what to do.
debian_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || stop "$2 is needed: apt install $1"
    say "  $2 is missing: installing Debian's $1"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$1"; } \
        >.venv.log 2>&1 || stop "apt-get could not install $1; its words are in .venv.log"
}

# pdqhash must be built, with the locked build tools and not with whatever is newest today. What the
# service imports is compiled now, so that the first start is no slower; the checks import too much.
install_lock() {
    case $1 in
        app | sandbox) pip_compile=--compile uv_compile=--compile-bytecode ;;
        *) pip_compile=--no-compile uv_compile=--no-compile-bytecode ;;
    esac
    set -- --no-deps --no-build-isolation --require-hashes -r "locks/$1.txt"
    if command -v uv >/dev/null; then
        UV_SYSTEM_CERTS=true uv pip install --quiet --python "$python" $uv_compile "$@"
    elif "$system_python" -m pip --version >/dev/null 2>&1; then
        "$system_python" -m pip --python "$python" install -qq --disable-pip-version-check --no-input \
            $pip_compile "$@"
    else
        stop 'pip is needed: apt install python3-pip'
    fi
}

# The checkout itself, importable from anywhere, and its command: no build and no network.
install_this_project() {
    pwd -P >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/report_remove.pth"
    cat >.venv/bin/report-remove <<'COMMAND'
#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python" -P -m app.cli "$@"
COMMAND
    chmod +x .venv/bin/report-remove
}

say() { echo "$*" >&2; }

stop() {
    say "$*"
    exit 1
}
