"""Peak memory of scoring and answering against a bare script that loads the model and runs one forward pass.

python -m tests.performance.memory
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys

from tests.performance.measure import data_folder, real_model

TOKENS = 2048


def main() -> None:
    """Run each side in a process of its own and compare their peaks."""
    if len(sys.argv) > 1:
        {"bare": bare, "harness": harness, "few": lambda: harness(per_subject=5)}[sys.argv[1]]()
        print(json.dumps({"peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
        return
    peaks = {}
    for side in ("bare", "few", "harness"):
        command = [sys.executable, "-m", "tests.performance.memory", side]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
        peaks[side] = json.loads(done.stdout.splitlines()[-1])["peak_kib"] / 1024
        print(f"{side}: {peaks[side]:,.0f} MiB")
    print(f"harness against bare: {peaks['harness'] / peaks['bare']:.2f}x")
    print(f"four times the questions: {peaks['harness'] / peaks['few']:.2f}x")


def bare() -> None:
    """The model and one forward pass over 2,048 tokens, as anyone would write it."""
    import torch

    model = real_model().model
    with torch.inference_mode():
        model(input_ids=torch.arange(5, 5 + TOKENS).unsqueeze(0))


def harness(per_subject: int = 20) -> None:
    """Three subjects of MMLU, and 64 answers."""
    from harness.benchmarks.run import run_benchmark
    from harness.benchmarks.tasks import BenchmarkTasks, plan_benchmark
    from harness.engine.generate import GenerationSettings
    from harness.engine.meter import Meter
    from harness.engine.session import ModelSession
    from harness.suite.schema import Benchmark

    session = ModelSession(real_model(), Meter())
    declared = Benchmark(task="mmlu", mmlu_dir="mmlu", per_subject=per_subject)
    planned = plan_benchmark("mmlu", declared, folder=data_folder(), seed=0)
    wanted = ("anatomy", "professional_law", "marketing")
    subjects = [subject for subject in planned.subjects if subject.name in wanted]
    tasks = BenchmarkTasks(planned.name, planned.template, subjects, planned.shots)
    run_benchmark(tasks, session, system="base model", adapter=None)
    prompts = [list(range(10 + number, 110 + number)) for number in range(64)]
    list(session.generate(prompts, GenerationSettings(max_new_tokens=24, batch_size=32), adapter=None))


if __name__ == "__main__":
    main()
