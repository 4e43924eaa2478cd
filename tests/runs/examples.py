"""Three runs, one a stage, that hang together."""

from __future__ import annotations

from noisewise.runs.config import Finetune, Noise, Prepare, Pretrain
from noisewise.runs.methods import CoTeaching, SimCLR

PREPARE = Prepare("nct")
PRETRAIN = Pretrain(PREPARE, "simclr", SimCLR(), init="imagenet", seed=1)
FINETUNE = Finetune(PREPARE, "coteaching", CoTeaching(), noise=Noise("symmetric", 0.5), init=PRETRAIN, seed=2)
RUNS = (PREPARE, PRETRAIN, FINETUNE)
