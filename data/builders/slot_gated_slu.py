"""The two sets that Goo et al. (2018) published with intents and BIO tags of slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data.readers.utterances.bio import FILES, read_bio_files
from data.readers.utterances.findings import UtteranceFindings
from data.splits import DataError

URL = "https://raw.githubusercontent.com/MiuLab/SlotGated-SLU/master/data/"


class SlotGatedBuilder(tfds.core.GeneratorBasedBuilder):
    """Builds a set of sentences with intent and slots, in the published order.

    Features: `text`, the words joined by one space; `intent`; `slots`, a sequence of `name`,
    `start` and `end` in code points.
    """

    VERSION = tfds.core.Version("1.0.0")
    SPLITS: Mapping[str, str] = {"train": "train", "validation": "valid", "test": "test"}
    """Name of each split here, and of its folder there."""

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        urls = {
            split: {file: f"{URL}{self.name}/{folder}/{file}" for file in FILES}
            for split, folder in self.SPLITS.items()
        }
        paths = dl_manager.download(urls)
        return {split: self._generate_examples(files) for split, files in paths.items()}

    def _generate_examples(
        self, files: Mapping[str, Any]
    ) -> Iterator[tuple[int, dict[str, object]]]:
        findings = UtteranceFindings()
        words, tags, intents = (Path(files[name]) for name in FILES)
        read_bio_files(words, tags, intents, "train", findings)
        errors = [problem for problem in findings.problems if problem.severity == "error"]
        if errors:
            raise DataError(errors)
        for row, utterance in enumerate(findings.utterances):
            slots = [slot._asdict() for slot in utterance.slots]
            yield row, {"text": utterance.text, "intent": utterance.intent, "slots": slots}

    def _describe(self, description: str, citation: str, licence: str) -> tfds.core.DatasetInfo:
        slot = {"name": tfds.features.Text(), "start": np.int32, "end": np.int32}
        return tfds.core.DatasetInfo(
            builder=self,
            description=description,
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "intent": tfds.features.Text(),
                    "slots": tfds.features.Sequence(slot),
                }
            ),
            homepage="https://github.com/MiuLab/SlotGated-SLU",
            citation=citation,
            license=licence,
            disable_shuffling=True,
        )
