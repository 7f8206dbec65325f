"""Holds pictures of this server to InvokeAI's, seed for seed, and prints a table: setting, PSNR, largest difference.

    python compare.py --invokeai VENV_PYTHON --server target/release/invoke-server [--table FILE] [--record] [--only NAME]

VENV_PYTHON is a Python that has invokeai 6.14.2; it makes the models (`models.py`), and InvokeAI runs with it on a fresh root. Without
`--invokeai` the recorded pictures stand for InvokeAI's, and the models come from `--models`. `--record` keeps InvokeAI's pictures in `reference`.
With `--invokeai`, this program itself runs on any Python with numpy and Pillow, VENV_PYTHON's for one.
"""
import argparse, os, subprocess, sys, tempfile, time, urllib.request
import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CONTRACT = os.path.join(ROOT, "tests", "contract")
sys.path[:0] = [HERE, CONTRACT, os.path.join(CONTRACT, "pictures")]
from cases import CASES, TRUE_SIZE, drawing, gradient
from pictures import Graph, Server, psnr
from run_pictures import call, wait

ADDONS = [os.path.join(CONTRACT, "pictures", "addons", name) for name in ("tiny-lora.safetensors", "tiny-control")]


ABOUT = """# Pictures next to InvokeAI's

Written by `tests/pictures/compare.py --invokeai PYTHON --server SERVER --table docs/pictures.md`: every setting is run by InvokeAI 6.14.2 and by this
server, on a CPU in single precision, seed for seed, and the two pictures are compared. `tiny` is the shipped model; `sd-1` and `sdxl` have the layout
of Stable Diffusion 1.5 and XL with narrow blocks and random weights, `flux` that of FLUX.1 (`tests/pictures/models.py`). Pictures that begin from a picture have a lower
limit, because InvokeAI draws from its encoder without a seed: two runs of its own differ as much. Those that begin from another run's latents do not, nor do those of FLUX.
Whatever its precision, InvokeAI computes FLUX' transformer in `bfloat16`: its own pictures in single floats (`SINGLE_PRECISION=1`, see `tests/pictures/original.py`) are about
as far from these as this server's.

"""
ABOUT_TRUE_SIZE = """# Pictures next to InvokeAI's, models of true size

Written by `tests/pictures/compare.py --true-size --twice --invokeai PYTHON --server SERVER --table docs/pictures_true_size.md`: models of the layout and size of
Stable Diffusion 1.5 and XL with random weights (`tests/pictures/models.py --true-size`), a LoRA and a ControlNet for the first, 256×256 pixels and few steps;
InvokeAI 6.14.2 and this server run each on a CPU in single precision, seed for seed. Where a picture is begun from, InvokeAI draws from its encoder without a
seed, and an encoder of random weights leaves much to draw: its own picture, made twice, is the limit then, and stands beside ours. From
another run's latents nothing is drawn without a seed, and the limit is that of pictures from nothing.

"""


def models_of(folder):
    return ADDONS + [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


class Running:
    """A server on a fresh root with the models installed."""

    def __init__(self, command, env, port, models, log):
        self.base = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log)
        try:
            wait(lambda: call(self.base, "GET", "/api/v1/app/version"), "the server's first answer", 240)
            known = {m["name"] for m in call(self.base, "GET", "/api/v2/models/")["models"]}
            for path in models:
                if os.path.basename(path).removesuffix(".safetensors") not in known: self.install(path)
        except BaseException:
            self.stop()
            with open(log.name, "rb") as f: print(f.read()[-3000:].decode(errors="replace"), file=sys.stderr)
            raise
        self.server = Server(self.base)
        self.known = self.server.models()

    def install(self, path):
        job = call(self.base, "POST", "/api/v2/models/install?inplace=true&source=" + urllib.request.quote(path), {})

        def ended():
            now = call(self.base, "GET", f"/api/v2/models/install/{job['id']}")
            return now if now["status"] in ("completed", "error", "cancelled") else None

        now = wait(ended, f"installing {path}", 300)
        if now["status"] != "completed": raise RuntimeError(f"installing {path}: {now['error_reason']}: {now['error']}")

    def picture(self, build):
        return self.server.picture(build(Graph(self.server, self.known)), limit_s=600)[0]

    def stop(self):
        self.process.terminate()
        try: self.process.wait(60)
        except subprocess.TimeoutExpired: self.process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--invokeai")
    parser.add_argument("--server", help="without one, InvokeAI's pictures are made and no more")
    parser.add_argument("--models", help="folder with the models, made if it is not there")
    parser.add_argument("--port", type=int, default=9450)
    parser.add_argument("--only", default="", help="cases whose names contain this, or one of several parts with ; between")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--missing", action="store_true", help="asks InvokeAI for those pictures alone that were not recorded yet")
    parser.add_argument("--twice", action="store_true", help="makes those of InvokeAI's pictures twice that it draws anew each time, and takes their distance for the limit")
    parser.add_argument("--table", help="writes the table as Markdown to this file")
    parser.add_argument("--true-size", action="store_true", help="the cases of models of true size with random weights (11 GB; minutes for each picture)")
    args = parser.parse_args()
    cases = {name: build for part in args.only.split(";") for name, build in (TRUE_SIZE if args.true_size else CASES).items() if part in name}
    with tempfile.TemporaryDirectory() as scratch:
        models = args.models or os.path.join(scratch, "models")
        if not os.path.isdir(models): subprocess.run([args.invokeai, os.path.join(HERE, "models.py"), models, *["--true-size"] * args.true_size], check=True)
        folders = [p for p in models_of(models) if not os.path.isdir(p.removesuffix(".safetensors")) or not p.endswith(".safetensors")]
        want, again, fails = {}, {}, 0
        if args.record:
            for folder in ("reference", "inputs"): os.makedirs(os.path.join(HERE, folder), exist_ok=True)
            for draw, w, h in ((drawing, 128, 192), (drawing, 200, 150), (gradient, 128, 192), (gradient, 256, 256), (gradient, 300, 240)):
                draw(w, h).save(os.path.join(HERE, "inputs", f"{draw.__name__} {w}x{h}.png"), optimize=True)
        if args.invokeai:
            root = os.path.join(scratch, "invokeai")
            command = [args.invokeai, os.path.join(HERE, "original.py"), "--root", root]
            env = {"INVOKEAI_PORT": str(args.port), "INVOKEAI_HOST": "127.0.0.1", "INVOKEAI_DEVICE": "cpu", "HF_HUB_OFFLINE": "1"}
            with open(os.path.join(scratch, "invokeai.log"), "wb") as log:
                original = Running(command, env, args.port, [os.path.join(ROOT, "assets", "models", "invoke-tiny"), *folders], log)
                try:
                    for name, build in cases.items():
                        started, kept = time.monotonic(), os.path.join(HERE, "reference", name + ".png")
                        try:
                            if args.missing and os.path.exists(kept):
                                want[name] = Image.open(kept).convert("RGB")
                                continue
                            want[name] = original.picture(build)
                            if args.record: want[name].save(kept, optimize=True)
                            if args.twice and build.is_drawn_anew:
                                call(original.base, "DELETE", "/api/v1/app/invocation_cache")
                                again[name] = psnr(original.picture(build), want[name])
                        except Exception as error: want[name] = str(error)
                        print(f"InvokeAI  {name:48} {time.monotonic() - started:6.1f} s", want[name] if isinstance(want[name], str) else "", flush=True)
                finally: original.stop()
        else:
            for name in cases:
                path = os.path.join(HERE, "reference", name + ".png")
                want[name] = Image.open(path).convert("RGB") if os.path.exists(path) else "no picture recorded"
        rows = []
        if not args.server: return print(sum(isinstance(w, str) for w in want.values()), "failed")
        # The files of one piece as well: they are the same models.
        for kind, files in (("folders", folders), ("single files", [p + ".safetensors" if os.path.exists(p + ".safetensors") else p for p in folders])):
            if args.true_size and kind == "single files": continue
            root = os.path.join(scratch, kind)
            with open(os.path.join(scratch, kind + ".log"), "wb") as log:
                ours = Running([args.server, "--root", root, "--port", str(args.port + 1)], {}, args.port + 1, files, log)
                try:
                    for name, build in cases.items():
                        if kind == "single files" and not name.startswith(("sd-1 ddim", "sdxl euler")): continue
                        shown = name if kind == "folders" else name + ", from a single file"
                        try:
                            if isinstance(want[name], str): raise RuntimeError("InvokeAI: " + want[name])
                            got = ours.picture(build)
                            if out := os.environ.get("KEEP_PICTURES"): got.save(os.path.join(out, shown + ".png"))
                            db = psnr(got, want[name])
                            most = int(np.abs(np.asarray(got, int) - np.asarray(want[name], int)).max()) if got.size == want[name].size else 255
                            limit = min(build.limit_db, again.get(name, float("inf")))
                            good = db >= limit
                        except Exception as error:
                            db, most, good, limit = float("nan"), -1, False, build.limit_db
                            print("FAILED   ", shown, str(error)[:500], flush=True)
                        fails += not good
                        rows.append((shown, db, most, limit, good, again.get(name)))
                        print(f"{'passed' if good else 'FAILED':8} {shown:48} {db:6.1f} dB  largest difference {most}", flush=True)
                finally: ours.stop()
    if args.table:
        with open(args.table, "w") as f:
            f.write(ABOUT_TRUE_SIZE if args.true_size else ABOUT)
            own = any(twice is not None for *_, twice in rows)
            f.write("| setting | PSNR (dB) | largest difference (of 255) | limit (dB) |" + " InvokeAI, made twice (dB) |" * own + "\n")
            f.write("| --- | ---: | ---: | ---: |" + " ---: |" * own + "\n")
            for name, db, most, limit, _, twice in rows:
                shown = "identical" if db == float("inf") else f"{db:.1f}"
                f.write(f"| {name} | {shown} | {most} | {limit:.3g} |" + (f" {twice:.1f} |" if twice is not None else " |") * own + "\n")
    print(f"{len(rows) - fails} passed, {fails} failed")
    sys.exit(fails > 0)


if __name__ == "__main__": main()
