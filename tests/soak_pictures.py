"""Makes many pictures one after another, and looks at the memory that the server holds.

    soak_pictures.py --server target/release/invoke-server [--pictures 100] [--size 256] [--steps 10] [--most-growth 24]

Prints the resident memory after every tenth picture, in MB. What the first fifth leaves is what later ones are measured against: the models are loaded by then
and every buffer has been needed. Ends with an error if it grew by more than `--most-growth` MB after that.
"""
import argparse, json, random, sys, tempfile, time

from soak_kill9 import Server, call, denoised

QUEUE = "/api/v1/queue/default"


def resident(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1000


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--server", required=True)
    arguments.add_argument("--pictures", type=int, default=100)
    arguments.add_argument("--size", type=int, default=256)
    arguments.add_argument("--steps", type=int, default=10)
    arguments.add_argument("--most-growth", type=float, default=24)
    arguments.add_argument("--port", type=int, default=9295)
    options = arguments.parse_args()
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as root:
        server = Server(options.server, root, options.port)
        try:
            print(f"idle: {resident(server.process):.0f} MB", flush=True)
            model = call(server.base, "GET", "/api/v2/models/?model_type=main")["models"][0]
            began, settled = time.monotonic(), None
            for number in range(1, options.pictures + 1):
                batch = {"graph": denoised(rng, model, options.size, options.steps, ("ddim", "euler_a", "dpmpp_2m"), use_cache=True)}
                (item,) = call(server.base, "POST", f"{QUEUE}/enqueue_batch", {"batch": batch})["item_ids"]
                while (found := call(server.base, "GET", f"{QUEUE}/i/{item}"))["status"] in ("pending", "in_progress"):
                    time.sleep(0.01)
                if found["status"] != "completed":
                    sys.exit(f"picture {number}: {found['status']}: {found.get('error_message')}")
                if number % 10 == 0:
                    print(f"{number} pictures: {resident(server.process):.0f} MB", flush=True)
                if number == max(options.pictures // 5, 1):
                    settled = resident(server.process)
            grown = resident(server.process) - settled
            took = (time.monotonic() - began) / options.pictures
            print(f"{options.pictures} pictures of {options.size}×{options.size}, {took:.2f} s each; the last four fifths added {grown:.1f} MB")
            if grown > options.most_growth:
                sys.exit(f"that is more than {options.most_growth} MB")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
