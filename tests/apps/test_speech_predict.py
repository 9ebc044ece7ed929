"""The predict script on files as people have them, and the answers it makes of them."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import apps
from apps.speech_recognition.predict import PredictOptions, Word, predict
from shared.serving.client import RestModel
from shared.serving.microphone import MicrophoneError, record
from shared.serving.predict_main import predict_main
from shared.serving.subtitles import LONGEST_LINE, to_subrip
from shared.serving.windows import find_windows
from tests.made_up import PAUSE_SECONDS, SUNG_WORDS, WORD_SECONDS, sing

ROOT = Path(apps.__file__).parents[1]
WORDS = ("ca", "ab", "bc")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the script in this process, which has TensorFlow already; gives what it prints."""

    def run(*words: object, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["predict", *map(str, words)])
        with pytest.raises(SystemExit, match=str(status)):
            predict_main("speech_recognition", predict, "", PredictOptions())
        return capsys.readouterr().out

    return run


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song.wav", sing(WORDS, 16_000), 16_000)
    return tmp_path / "song.wav"


@pytest.fixture
def url(speech_model, serve_http) -> str:
    """A server that answers with the fixture's model as TensorFlow Serving does."""

    def respond(path: str, body: dict) -> tuple[int, bytes]:
        if path == "/v1/models/nlu:predict":
            texts = body["inputs"]["text"]
            columns = {
                "intent": [f"sing_{text.split()[0]}" for text in texts],
                "intent_score": [0.9 for _ in texts],
                "slot_names": [["tone", ""] for _ in texts],
                "slot_values": [[text.split()[-1], ""] for text in texts],
            }
            return 200, json.dumps({"outputs": columns}).encode()
        assert path == "/v1/models/speech_recognition:predict"
        inputs = dict(body["inputs"])
        if "audio_bytes" in inputs:
            inputs["audio_bytes"] = [base64.b64decode(row["b64"]) for row in inputs["audio_bytes"]]
        else:
            inputs["waveform"] = np.array(inputs["waveform"], np.float32)
        outputs = speech_model.predict(body["signature_name"], **inputs)
        lists = {name: value.tolist() for name, value in outputs.items()}
        return 200, json.dumps({"outputs": lists}, default=bytes.decode).encode()

    return serve_http(respond)


def test_files_on_the_command_line(speech_run, song: Path, ask: Callable[..., str]) -> None:
    shown = ask(song, song.parent / "none.wav", "--model", speech_run.model, status=1)
    first, second = shown.splitlines()
    assert first.startswith(f"{song}: ca ab bc")
    assert "error: unreadable" in second


def test_json(speech_run, song: Path, ask: Callable[..., str]) -> None:
    answer = json.loads(ask(song, "--json", "--model", speech_run.model))
    assert answer["transcript"] == "ca ab bc"
    assert [word["text"] for word in answer["words"]] == list(WORDS)


def test_other_formats_are_decoded_here(speech_model, tmp_path: Path) -> None:
    files = [tmp_path / f"song.{suffix}" for suffix in ("flac", "ogg", "mp3")]
    for file in files:
        soundfile.write(file, sing(WORDS, 16_000), 16_000)
    for answer in predict(files, speech_model):
        assert answer.transcript == "ca ab bc" and not answer.error


def test_what_is_no_recording_has_its_own_error(speech_model, song: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("RIFF, but no WAVE")
    (tmp_path / "noise.mp3").write_bytes(b"no music at all")
    files = [tmp_path / "empty.wav", song, tmp_path / "text.wav", tmp_path / "noise.mp3", tmp_path]
    answers = predict(files, speech_model)
    assert [bool(answer.error) for answer in answers] == [True, False, True, True, True]
    assert answers[1].transcript == "ca ab bc"


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_long_recordings_are_heard_in_windows(speech_model, tmp_path: Path, suffix: str) -> None:
    words = [*WORDS, "ab", "ca"] * 8
    file = tmp_path / f"long.{suffix}"
    soundfile.write(file, sing(words, 8000), 8000)
    [answer] = predict([file], speech_model, PredictOptions(window_seconds=4.0))
    assert answer.transcript.split() == words and not answer.error
    assert answer.seconds == pytest.approx(len(sing(words)) / 8000, abs=0.01)
    step = WORD_SECONDS + PAUSE_SECONDS
    middles = [(word.start + word.end) / 2 for word in answer.words]
    expected = PAUSE_SECONDS + WORD_SECONDS / 2 + step * np.arange(len(words))
    # The network may place a word up to one word off its sound, never in another window.
    np.testing.assert_allclose(middles, expected, atol=step)


@given(st.integers(0, 5000), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_windows_cover_a_recording_without_overlap(size: int, longest: int, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(size=size)
    windows = find_windows(samples, longest)
    assert windows[0][0] == 0 and windows[-1][1] == size
    assert all(end == start for (_, end), (start, _) in zip(windows, windows[1:], strict=False))
    assert all(end - start <= longest for start, end in windows)
    assert all(end > start for start, end in windows[:-1])


def test_a_server_is_asked_without_tensorflow(url: str, song: Path) -> None:
    watch = (
        "-c",
        "import sys, runpy; sys.argv = ['predict', *sys.argv[1:]]\n"
        "try: runpy.run_module('apps.speech_recognition.predict', run_name='__main__')\n"
        "finally: print(sorted(set(sys.modules) & {'tensorflow', 'keras'}))",
    )
    command = [sys.executable, *watch, str(song), "--server", url, "--nlu", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"{song}: ca ab bc" in done.stdout
    assert "sing_ca 90.0%  tone: bc" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_server_hears_other_formats_and_windows(url: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.flac", sing(WORDS, 8000), 8000)
    [answer] = predict([tmp_path / "song.flac"], RestModel(url, "speech_recognition"))
    assert answer.transcript == "ca ab bc"


def test_keywords(keyword_model, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sing(["ca"]), 8000)
    [answer] = predict([tmp_path / "a.wav"], keyword_model)
    assert answer.transcript == "ca" and not answer.words
    assert [label for label, _ in answer.candidates][0] == "ca"
    assert len(answer.candidates) == len(SUNG_WORDS)
    assert "ca" in str(answer) and "(or" in str(answer)


def test_subtitles(speech_run, song: Path, ask: Callable[..., str]) -> None:
    shown = ask(song, "--format", "srt", "--model", speech_run.model)
    number, times, text = shown.splitlines()[:3]
    assert number == "1" and text == "ca ab bc"
    first, last = times.split(" --> ")
    assert "00:00:00,000" <= first < last <= "00:00:02,000"


def test_subtitles_begin_anew_at_pauses_and_full_lines() -> None:
    words = [Word(f"word{index}", index * 0.5, index * 0.5 + 0.4, 1.0) for index in range(20)]
    words.append(Word("late", 3661.5, 3662.0015, 1.0))
    blocks = to_subrip(words).split("\n\n")
    lines = [block.strip().split("\n") for block in blocks]
    assert [line[0] for line in lines] == [str(n) for n in range(1, len(lines) + 1)]
    assert all(len(line[2]) <= LONGEST_LINE for line in lines)
    assert lines[-1][1:] == ["01:01:01,500 --> 01:01:02,002", "late"]
    assert " ".join(line[2] for line in lines).split() == [word.text for word in words]


def test_a_machine_without_a_microphone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MicrophoneError, match="pip install sounddevice"):
        record(1.0)


def test_a_microphone_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        @staticmethod
        def rec(frames: int, rate: int, channels: int, blocking: bool) -> np.ndarray:
            assert blocking and channels == 1
            return sing(WORDS, rate)[:frames, None]

    monkeypatch.setitem(sys.modules, "sounddevice", Device)
    samples, rate = soundfile.read(record(2.0))
    assert rate == 16_000 and 0.2 < np.abs(samples).max() < 1
