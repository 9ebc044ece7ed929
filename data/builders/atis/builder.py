"""ATIS: questions about flights."""

import tensorflow_datasets as tfds

from data.builders.slot_gated_slu import SlotGatedBuilder

_DESCRIPTION = """
Questions to an airline travel information system, transcribed, with intent and slots:
4,478 to train, 500 to validate and 893 to test. Questions with several intents join them by #.
"""
_CITATION = """
@inproceedings{hemphill-etal-1990-atis,
  title = {The {ATIS} Spoken Language Systems Pilot Corpus},
  author = {Hemphill, Charles T. and Godfrey, John J. and Doddington, George R.},
  booktitle = {Speech and Natural Language: Proceedings of a Workshop},
  year = {1990}
}
@inproceedings{goo-etal-2018-slot,
  title = {Slot-Gated Modeling for Joint Slot Filling and Intent Prediction},
  author = {Goo, Chih-Wen and Gao, Guang and Hsu, Yun-Kai and Huo, Chih-Li and Chen, Tsung-Chieh
            and Hsu, Keng-Wei and Chen, Yun-Nung},
  booktitle = {Proceedings of NAACL-HLT},
  year = {2018}
}
"""


class Atis(SlotGatedBuilder):
    """ATIS in the split of Goo et al. (2018)."""

    def _info(self) -> tfds.core.DatasetInfo:
        return self._describe(_DESCRIPTION, _CITATION, licence="For research use.")
