#!/usr/bin/env bash
# Runs every test. `tests/run.sh quick` leaves out what needs a running server or another language (the guide, the recorded
# contract, the pictures, the sockets, the modules, the pages, the kills).
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null 2>&1 || { echo "tests/run.sh needs $1: $2" >&2; exit 2; }; }
need cargo "install Rust 1.95 or newer (rustup.rs)"
need cc "install a C compiler (Debian: apt-get install build-essential)"
need python3 "install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tests/run.sh needs Python 3.11 or newer: python3 is $(python3 --version)" >&2; exit 2; }
step() { printf '\n== %s\n' "$*"; }
# A port that nobody listens at, so that the tests of two checkouts can run on one machine; below those that clients' ends are given.
free_port() {
    python3 -c '
import random, socket
while True:
    port = random.randrange(20000, 30000)
    try:
        socket.create_server(("127.0.0.1", port)).close()
        break
    except OSError:
        pass
print(port)'
}

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy -q --workspace --all-targets -- -D warnings
if command -v cargo-deny >/dev/null 2>&1; then
    step "licences, sources and advisories"
    cargo deny -L error check bans licenses sources
    if cargo deny -L off fetch db >/dev/null 2>&1; then cargo deny -L error check advisories; else echo "the database of advisories cannot be fetched: they are not checked"; fi
fi

step "unit and integration tests"
# Eight people who write and eight who read do so for a minute.
export INVOKE_CROWD_SECONDS=60
# The generator of bindings is built along everywhere, so that nothing is built twice with other features.
features=(--features invoke-ffi/bindgen)
if command -v cargo-nextest >/dev/null 2>&1; then cargo nextest run --workspace "${features[@]}"; else cargo test --workspace "${features[@]}"; fi
cargo test -q --doc --workspace "${features[@]}"
[ "${1:-}" = quick ] && exit 0

step "the server, and the modules for other languages"
cargo build --workspace --lib --bins --examples "${features[@]}"
server=$PWD/target/debug/invoke-server

step "the example: a picture from a program of its own"
rm -f target/example.png
TMPDIR=$PWD/target target/debug/examples/text_to_image "a red circle on a blue background" target/example.png 2>/dev/null
[ -s target/example.png ]

step "tools for the tests in Python"
venv=target/test-venv
[ -x $venv/bin/python ] || python3 -m venv $venv
$venv/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
python=$PWD/$venv/bin/python

step "rows of the guide"
"$python" tests/guide/rows.py
"$python" -m pytest -c tests/guide/pytest.ini --rootdir tests/guide tests/guide

extension=so
[ "$(uname)" = Darwin ] && extension=dylib
step "the Python module"
ln -sf "$PWD/target/debug/libinvoke_py.$extension" invoke-py/python/invoke_py/_native.abi3.so
PYTHONPATH=invoke-py/python "$python" -m pytest -c invoke-py/pyproject.toml --rootdir invoke-py invoke-py/tests
MYPYPATH=invoke-py/python PYTHONPATH=invoke-py/python "$python" -m mypy.stubtest invoke_py

step "bindings for other languages"
target/debug/uniffi-bindgen generate "target/debug/libinvoke_ffi.$extension" --language python --no-format --out-dir target/bindings
ln -sf "$PWD/target/debug/libinvoke_ffi.$extension" target/bindings/
PYTHONPATH=target/bindings "$python" -m pytest -c invoke-ffi/tests/pytest.ini --rootdir invoke-ffi/tests invoke-ffi/tests

step "the interface beside the original's"
"$python" tests/contract/contract_diff.py docs/openapi.json --only / --max 200

step "recorded scenarios"
"$python" tests/contract/replay.py check --start "$server --root {root} --port {port}" --port "$(free_port)" --roots target/replay-roots tests/contract/scenarios

step "pictures"
"$python" tests/contract/run_pictures.py --server "$server" --port "$(free_port)"

step "sockets, through the client of Python"
"$python" tests/contract/sockets.py --server "$server" --port "$(free_port)"

step "sockets, through the client of web pages"
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 && [ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ]; then
    npm ci --silent --no-audit --no-fund --prefix tests/sockets
    node tests/sockets/client.mjs --server "$server" --port "$(free_port)"
else
    echo "skipped: it needs Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)"
fi

step "pages in a browser"
tests/browser/run.sh "$server" --optional

step "kills at random moments"
"$python" tests/soak_kill9.py --server "$server" --port "$(free_port)" --kills 20
