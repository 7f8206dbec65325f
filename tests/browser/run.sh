#!/usr/bin/env bash
# Tests of the pages in a real browser: tests/browser/run.sh SERVER_BINARY [--optional] [TEST_FILE…]
# With --optional a missing tool is told and passes; without it, it fails.
set -euo pipefail
cd "$(dirname "$0")"

usage() { echo "usage: tests/browser/run.sh SERVER_BINARY [--optional] [TEST_FILE…]" >&2; exit 2; }
optional= server= files=()
here=$OLDPWD
for argument in "$@"; do
  case $argument in
    --optional) optional=yes ;;
    *.mjs) files+=("$(basename "$argument")") ;;
    -*) usage ;;
    *) [ -z "$server" ] || usage; server=$argument ;;
  esac
done
[ -n "$server" ] || usage
case $server in /*) ;; *) server=$here/$server ;; esac
[ -x "$server" ] || { echo "tests/browser: $server is no program; build it with: cargo build --workspace --bins" >&2; exit 2; }

lacking() { echo "tests/browser: left out, $1" >&2; [ -n "$optional" ] && exit 0; exit 2; }
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || lacking "it needs Node.js 20 or newer with npm (nodejs.org; Debian: apt-get install nodejs npm)"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || lacking "it needs Node.js 20 or newer, found $(node --version)"
chromium=${INVOKE_TEST_CHROMIUM:-}
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  [ -n "$chromium" ] || chromium=$(command -v "$name" || true)
done
[ -n "$chromium" ] || lacking "it needs Chromium or Chrome (Debian: apt-get install chromium)"
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  npm ci --no-audit --no-fund --silent || lacking "npm could not install playwright-core (is there a network?)"
  cp package-lock.json node_modules/.installed-lock
fi

export INVOKE_TEST_SERVER=$server INVOKE_TEST_CHROMIUM=$chromium
export INVOKE_TEST_SHOTS=${INVOKE_TEST_SHOTS:-$(cd ../.. && pwd)/target/browser}
[ ${#files[@]} -gt 0 ] || files=(*.test.mjs)
# A file that fails is tried a second time, and that is told: a browser on a busy machine is late now and then, a fault is there every time.
# The time is a whole file's.
failed=()
for file in "${files[@]}"; do
  node --test --test-concurrency=1 --test-timeout=1800000 "$file" && continue
  echo "tests/browser: $file failed, once more" >&2
  node --test --test-concurrency=1 --test-timeout=1800000 "$file" || failed+=("$file")
done
[ ${#failed[@]} -eq 0 ] || { echo "tests/browser: failed twice: ${failed[*]}" >&2; exit 1; }
