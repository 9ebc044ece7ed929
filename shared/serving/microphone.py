"""Recording from the microphone of this machine."""

import sys
import tempfile

RATE = 16_000


class MicrophoneError(RuntimeError):
    """There is no microphone, or what it takes to record from it is missing."""


def record(seconds: float) -> str:
    """Records one channel and writes it as a WAV file.

    Args:
        seconds: Length of the recording.

    Returns:
        The path of the file, in the folder of temporary files.

    Raises:
        MicrophoneError: The package `sounddevice`, PortAudio or a microphone is missing.
    """
    # Imported here, as few machines have a microphone.
    import soundfile

    try:
        import sounddevice

        print(f"recording {seconds:g} seconds …", file=sys.stderr)
        samples = sounddevice.rec(round(seconds * RATE), RATE, channels=1, blocking=True)
    except ImportError as error:
        raise MicrophoneError(
            f"--microphone needs the package sounddevice ({error}): pip install sounddevice"
        ) from error
    except Exception as error:  # PortAudioError, which cannot be named without the package.
        raise MicrophoneError(f"The microphone cannot be recorded from: {error}") from error
    with tempfile.NamedTemporaryFile(suffix=".wav", delete=False) as file:
        soundfile.write(file, samples, RATE, format="WAV")
    return file.name
