"""Starts a single-user server on a fresh root, installs the add-ons, and holds its pictures to the recorded ones.

    run_pictures.py --server target/release/invoke-server [--port 9292] [--only NAME] [--keep DIR]
"""
import argparse, json, os, subprocess, sys, tempfile, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def call(base, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read() or b"null")


def wait(condition, what, limit_s=60):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if (found := condition()) is not None:
                return found
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"{what}: not within {limit_s} s")


def install(base, path):
    job = call(base, "POST", "/api/v2/models/install?inplace=true&source=" + urllib.request.quote(path), {})

    def ended():
        now = call(base, "GET", f"/api/v2/models/install/{job['id']}")
        return now if now["status"] in ("completed", "error", "cancelled") else None

    now = wait(ended, f"installing {path}")
    if now["status"] != "completed":
        sys.exit(f"installing {path}: {now['error_reason']}: {now['error']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--port", type=int, default=9292)
    parser.add_argument("--only")
    parser.add_argument("--keep")
    args = parser.parse_args()
    base = f"http://127.0.0.1:{args.port}"
    with tempfile.TemporaryDirectory() as root:
        root = args.keep or root
        log = open(os.path.join(root, "server.log"), "wb")
        server = subprocess.Popen([args.server, "--root", root, "--port", str(args.port)], stdout=log, stderr=log)
        try:
            wait(lambda: call(base, "GET", "/api/v1/app/version"), "the server's first answer")
            for addon in ("tiny-lora.safetensors", "tiny-control"):
                install(base, os.path.join(HERE, "pictures", "addons", addon))
            only = ["--only", args.only] if args.only else []
            sys.exit(subprocess.run([sys.executable, os.path.join(HERE, "pictures", "pictures.py"), "check", "--base", base, *only]).returncode)
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
