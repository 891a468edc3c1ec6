"""A clock for any program that trains with transformers' Trainer, ours or another's: this folder on PYTHONPATH, a file in STEP_CLOCK.

The file gets when the first step began, of each step the seconds on the clock and of processors, and the most memory of a GPU. Measuring
the dev set and writing a checkpoint is not counted. Nothing is imported before the program itself imports the Trainer.
With a socket in STEP_TURN several such programs run at once and take STEPS each in turn: all then have the same machine, slow or fast, and
only the first of their steps finds the caches full of another's.
"""

import importlib.util
import json
import os
import socket
import sys
import time

TRAINER = "transformers.trainer"
STEPS = 8


class Finder:
    """Adds the clock to the Trainer's callbacks right after its module was imported."""

    def find_spec(self, name, path=None, target=None):
        if name != TRAINER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def and_add(module):
            run(module)
            module.DEFAULT_CALLBACKS.append(clock(module.TrainerCallback))

        spec.loader.exec_module = and_add
        return spec


def clock(callback):
    class Clock(callback):
        def on_train_begin(self, *_, **__):
            self.began, self.steps, self.others = 0.0, [], None

        def on_step_begin(self, *_, **__):
            if self.began:
                return
            if "STEP_TURN" in os.environ:
                self.others = socket.socket(socket.AF_UNIX)
                self.others.connect(os.environ["STEP_TURN"])
                self.others.recv(1)
            self.began, self.last = time.time(), now()

        def on_step_end(self, *_, **__):
            self.steps.append([one - before for one, before in zip(now(), self.last, strict=True)])
            if self.others and len(self.steps) % STEPS == 0:
                self.others.send(b".")
                self.others.recv(1)
            self.last = now()

        def on_evaluate(self, *_, **__):
            self.last = now()

        on_save = on_evaluate

        def on_train_end(self, *_, **__):
            if self.others:
                self.others.close()
            gpu = sys.modules["torch"].cuda
            most = gpu.max_memory_reserved() if gpu.is_available() else 0
            with open(os.environ["STEP_CLOCK"], "w") as file:
                json.dump({"began": self.began, "steps": self.steps, "gpu": most}, file)

    return Clock


def now():
    gpu = sys.modules["torch"].cuda
    if gpu.is_initialized():
        gpu.synchronize()
    return time.perf_counter(), time.process_time()


if "STEP_CLOCK" in os.environ:
    sys.meta_path.insert(0, Finder())
