"""The only reader of environment variables."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.errors import InvalidInputError


def cache_folder() -> Path:
    """Where converted models and answers are kept: HARNESS_CACHE, else the user's cache folder."""
    chosen = os.environ.get("HARNESS_CACHE")  # noqa: TID251
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")  # noqa: TID251
    return (Path(base) if base else Path.home() / ".cache") / "lora-harness"


def quiet_libraries() -> None:
    """Silence third-party progress bars, warnings and telemetry; must run before those libraries are imported."""
    settings = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        # Not the temporary folder, which others may write into.
        "TORCHINDUCTOR_CACHE_DIR": str(cache_folder() / "torch"),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)  # noqa: TID251
    # It advises a package that would only make a quantised training faster.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # They warn of settings that other libraries make, which no user of ours can change.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


def settle_vllm() -> None:
    """Let vLLM work in this process, in the same order every time, and say only what went wrong; before its import."""
    always = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1"}
    os.environ.update(always | {"VLLM_HOST_IP": "127.0.0.1"})  # noqa: TID251
    for name, value in {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}.items():
        os.environ.setdefault(name, value)  # noqa: TID251


def vllm_settings() -> dict[str, str]:
    """The variables by which vLLM was set up."""
    return {name: setting for name, setting in sorted(os.environ.items()) if name.startswith("VLLM_")}  # noqa: TID251


def value(name: str) -> str | None:
    """The value of one environment variable, None when it is unset or empty."""
    return os.environ.get(name) or None  # noqa: TID251


RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")  # as accelerate reads them
WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def launched() -> tuple[int, int]:
    """Which process this is, from 0, and how many were started together by `accelerate launch`; (0, 1) when alone."""
    index, count = (next(filter(None, map(value, names)), None) for names in (RANKS, WORLD_SIZES))
    if index is None or count is None:
        return 0, 1
    if not (index.isdecimal() and count.isdecimal()):
        raise InvalidInputError(f"RANK, WORLD_SIZE: are '{index}' and '{count}', which are no numbers; unset them")
    return (int(index), int(count)) if int(count) > 1 else (0, 1)


def launched_alone_in_vain() -> bool:
    """Whether `accelerate launch --cpu` was asked for several processes: without MPI it starts one, silently."""
    alone = not any(map(value, RANKS))
    return alone and value("ACCELERATE_USE_CPU") is not None and value("MASTER_ADDR") is not None


def launched_sharded() -> bool:
    """Whether accelerate was configured to share the weights out: FSDP or DeepSpeed."""
    return any((value(f"ACCELERATE_USE_{name}") or "").lower() == "true" for name in ("FSDP", "DEEPSPEED"))


def launch_settings() -> dict[str, str]:
    """How accelerate was configured, by the variables that it gives to its processes."""
    found = {}
    for name, setting in os.environ.items():  # noqa: TID251
        if name.startswith(("ACCELERATE_", "FSDP_", "PARALLELISM_CONFIG_")) and setting != "no":
            path = Path(setting)
            held = name.endswith("_CONFIG_FILE") and path.is_file()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if held else setting
    return found


def worker_environment() -> dict[str, str]:
    """What a process that works on hostile texts is given: where Python finds libraries, and no key."""
    names = ("PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in names if name in os.environ}  # noqa: TID251


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsStep:
    """A step of a GitHub workflow: the checkout, and the files that tell the workflow something when written to."""

    workspace: Path | None
    summary: Path | None
    output: Path | None


def actions_step() -> ActionsStep | None:
    """The step of GitHub Actions that this process speaks for; None elsewhere, and in a process started by ours.

    The first process writes its number into the environment, so that whatever inherits it knows to be silent.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":  # noqa: TID251
        return None
    if os.environ.setdefault("HARNESS_OUTERMOST", str(os.getpid())) != str(os.getpid()):  # noqa: TID251
        return None
    workspace, summary, output = (
        Path(path) if (path := value(name)) else None
        for name in ("GITHUB_WORKSPACE", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")
    )
    return ActionsStep(workspace=workspace, summary=summary, output=output)


THREADS = "OMP_NUM_THREADS"


def set_threads(threads: str | None) -> None:
    """Let libraries that are loaded after this use so many threads; None: as many as they choose."""
    if threads is None:
        os.environ.pop(THREADS, None)  # noqa: TID251
    else:
        os.environ[THREADS] = threads  # noqa: TID251


NUMERIC_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "tokenizers",
    "llguidance",
    "jinja2",  # which writes the prompts
    "lm-eval",
    "numpy",
    "scipy",
)
NUMERIC_VARIABLES = (
    *("ATEN_CPU_CAPABILITY", THREADS, "MKL_NUM_THREADS", "MKL_CBWR", "CUDA_VISIBLE_DEVICES"),
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE"),  # fewer digits
)
CPU_FEATURES = Path("/proc/cpuinfo")
GPU_DRIVER = Path("/proc/driver/nvidia")


def installed_version(library: str) -> str | None:
    """The version of a library that only some suites need; None where it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def source_digest(package: str = ".") -> str:
    """SHA-256 over the harness's own code, or over one of its packages."""
    folder = Path(__file__).parent / package
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def numerics() -> dict[str, str]:
    """What the numbers of this machine depend on beside the inputs: engine, libraries, processors, and their setup."""
    found = {name: metadata.version(name) for name in NUMERIC_LIBRARIES}
    found |= {name: os.environ.get(name, "") for name in NUMERIC_VARIABLES}  # noqa: TID251
    lines = CPU_FEATURES.read_text(encoding="utf-8").splitlines() if CPU_FEATURES.is_file() else [platform.processor()]
    # The same processor's lines repeat for each core, and its clock speed changes from moment to moment.
    lasting = {line for line in lines if not line.startswith(("cpu MHz", "processor", "core id", "apicid", "initial"))}
    features = hashlib.sha256("\n".join(sorted(lasting)).encode("utf-8")).hexdigest()
    gpus = [*sorted(GPU_DRIVER.rglob("information")), GPU_DRIVER / "version"]
    graphics = "".join(path.read_text(encoding="utf-8") for path in gpus if path.is_file())
    return {
        **found,
        **launch_settings(),  # which change the precision, also of one process
        "engine": source_digest("engine"),
        "dtype": "float32",
        "python": platform.python_version(),
        "cpu": features,
        "gpu": hashlib.sha256(graphics.encode("utf-8")).hexdigest(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    }
