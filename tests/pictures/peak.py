"""The most memory that a server takes for one picture of models of true size, next to what the models themselves take.

    peak.py --server target/release/invoke-server --models FOLDER [--only sdxl]

FOLDER is what `models.py FOLDER --true-size` makes. Two settings: Stable Diffusion 1.5 at 512×512 in single floats, SDXL at 1024×1024 in half
floats, both decoded with `tiled` and the tile that the node chooses by itself. Linux tells the peak of the process; the server's own count of its
loaded models tells their share. Ends with an error where the peak is more than a quarter above that.
"""
import argparse, os, sys, tempfile

from cases import run
from compare import Running, call

SETTINGS = {
    "sd1": ("float32", dict(model="true-sd1", size=(512, 512), prompt="a cat by the sea", negative="blurry", steps=2, decode={"tiled": True})),
    "sdxl": ("bfloat16", dict(model="true-sdxl", base="sdxl", size=(1024, 1024), prompt="a cat by the sea", negative="blurry", scheduler="euler", steps=1,
                              decode={"tiled": True})),
}


def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--port", type=int, default=9470)
    args = parser.parse_args()
    too_much = []
    for name, (precision, setting) in SETTINGS.items():
        if args.only not in name: continue
        with tempfile.TemporaryDirectory() as root, open(os.path.join(root, "log"), "wb") as log:
            with open(os.path.join(root, "invokeai.yaml"), "w") as f: f.write(f"schema_version: 4.0.3\nprecision: {precision}\n")
            command = [args.server, "--root", root, "--port", str(args.port)]
            running = Running(command, {}, args.port, [os.path.join(args.models, setting["model"])], log)
            try:
                running.picture(run(**setting))
                most, held = peak(running.process.pid), call(running.base, "GET", "/api/v2/models/stats")["high_watermark"]
            finally:
                running.stop()
        print(f"{name}, {setting['size'][0]}×{setting['size'][1]}, {precision}: models {held / 1e9:.2f} GB, peak {most / 1e9:.2f} GB, {most / held - 1:+.1%}", flush=True)
        if most > 1.25 * held: too_much.append(name)
    if too_much: sys.exit(f"more than a quarter above the models: {', '.join(too_much)}")


if __name__ == "__main__":
    main()
