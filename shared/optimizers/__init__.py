"""Optimizers by name, learning-rate schedules and weight averaging, on Keras' own."""

from shared.optimizers.averaging import averaged_weights as averaged_weights
from shared.optimizers.layer_rates import LayerRates as LayerRates
from shared.optimizers.muon import Muon as Muon
from shared.optimizers.optimizer import build_optimizer as build_optimizer
from shared.optimizers.schedules import OneCycle as OneCycle
from shared.optimizers.schedules import build_schedule as build_schedule
