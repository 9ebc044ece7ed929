"""SNIPS: requests to a voice assistant."""

import tensorflow_datasets as tfds

from data.builders.slot_gated_slu import SlotGatedBuilder

_DESCRIPTION = """
Requests to a voice assistant, written by a crowd, with one of seven intents and slots:
13,084 to train, 700 to validate and 700 to test.
"""
_CITATION = """
@article{coucke-etal-2018-snips,
  title = {Snips Voice Platform: an Embedded Spoken Language Understanding System for
           Private-by-Design Voice Interfaces},
  author = {Coucke, Alice and Saade, Alaa and Ball, Adrien and Bluche, Th{\\'e}odore and
            Caulier, Alexandre and Leroy, David and Doumouro, Cl{\\'e}ment and
            Gisselbrecht, Thibault and Caltagirone, Francesco and Lavril, Thibaut and
            Primet, Ma{\\"e}l and Dureau, Joseph},
  journal = {arXiv:1805.10190},
  year = {2018}
}
@inproceedings{goo-etal-2018-slot,
  title = {Slot-Gated Modeling for Joint Slot Filling and Intent Prediction},
  author = {Goo, Chih-Wen and Gao, Guang and Hsu, Yun-Kai and Huo, Chih-Li and Chen, Tsung-Chieh
            and Hsu, Keng-Wei and Chen, Yun-Nung},
  booktitle = {Proceedings of NAACL-HLT},
  year = {2018}
}
"""


class Snips(SlotGatedBuilder):
    """SNIPS in the split of Goo et al. (2018)."""

    def _info(self) -> tfds.core.DatasetInfo:
        return self._describe(_DESCRIPTION, _CITATION, licence="CC0 1.0")
