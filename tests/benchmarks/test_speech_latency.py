"""One second of speech on one core, and the memory of larger batches; `make bench` measures anew.

The model is that of `make demo`; the clips are cut from the default set's test recordings.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import data
from data.audio import decode_wav, encode_wav
from shared.environment import prepare_tensorflow
from shared.files import write_atomically
from tests.benchmarks.records import ROOT, hardware, origin

MODEL = ROOT / "saved_models" / "speech_recognition"
RECORD = Path(__file__).parent / "records" / "speech_latency.json"
REPETITIONS, CLIPS = 300, 64
BATCHES = (1, 16, 64)
MOST_MILLISECONDS = 10.0


@pytest.mark.benchmark
def test_a_second_of_speech_on_one_core() -> None:
    results = [_measure_alone(batch) for batch in BATCHES]
    values = {
        "command": "python -m pytest -m benchmark tests/benchmarks/test_speech_latency.py",
        "unit": "milliseconds per batch of one-second clips, on one core, from WAV bytes to words; "
        "peak memory of the process, which begins with the loaded model",
        "to_reach": {"p50 of a batch of one": MOST_MILLISECONDS},
        "results": results,
        "hardware": hardware(),
        **origin(),
        "load_average": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }
    RECORD.parent.mkdir(exist_ok=True)
    write_atomically(RECORD, json.dumps(values, indent=1) + "\n")
    assert results[0]["p50"] < MOST_MILLISECONDS


def _measure_alone(batch: int) -> dict[str, Any]:
    """Measures in a process that has one core only, as TensorFlow counts cores when it starts."""
    words = ["-m", "tests.benchmarks.test_speech_latency", str(batch)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _clips() -> list[bytes]:
    clips = []
    for example in data.load("voice_commands", kind="transcripts").test.read().as_numpy_iterator():
        samples, rate = decode_wav(example["input"])
        if len(samples) >= rate and len(clips) < CLIPS:
            clips.append(encode_wav(samples[:rate], rate))
    return clips


def _measure(batch: int) -> dict[str, Any]:
    prepare_tensorflow()
    from shared.export.saved_model import load_saved_model

    model, clips = load_saved_model(MODEL), _clips()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for number in range(REPETITIONS // batch + 20):
        files = [clips[(number * batch + place) % len(clips)] for place in range(batch)]
        start = time.perf_counter()
        model.predict(audio_bytes=files)
        times.append(1000 * (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    p50, p95 = np.percentile(times[20:], [50, 95]).round(3).tolist()
    return {
        "batch": batch,
        "p50": p50,
        "p95": p95,
        "memory_mib_before": round(before / 1024),
        "peak_memory_mib": round(peak / 1024),
    }


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(_measure(int(sys.argv[1]))))
