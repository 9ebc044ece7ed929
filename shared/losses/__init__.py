"""Losses that Keras lacks, beside those that it has."""

from shared.losses.classification import SoftmaxMeanSquaredError as SoftmaxMeanSquaredError
from shared.losses.classification import build_classification_loss as build_classification_loss
from shared.losses.ctc import CTCLoss as CTCLoss
from shared.losses.language_model import LanguageModelLoss as LanguageModelLoss
from shared.losses.tagging import TaggingLikelihood as TaggingLikelihood
