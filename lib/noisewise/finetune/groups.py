"""The groups of look-alike classes that a fine-tuning's class-dependent noise goes by, where they are to be found.

They are found once for a pack and an encoder, and kept with the label sets: `noise/groups-KEY.json` holds them, the
confusions that they come from (`noisewise.evaluate.lookalikes`) and what encoder it was. One run at a time finds, and
others that want the same wait. The file is never replaced and all go by what is there, so every run on a pack has the
same groups; the labels are then those that these groups would have if they were listed in the dataset's file.

Features are computed on the CPU in single precision, whatever the run trains on. Another machine that finds them anew
gets the same groups, unless rounding there turns a share of confusions that lies on the border of two percents.

A run's other ranks wait at a barrier, which gives up after 30 minutes. Finding is small enough for that: of at most
5,000 images, features of a ResNet-50 at 224 px take about 13 minutes of one core, and the classifier's folds seconds.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noisewise.data.loader import open_images
from noisewise.data.pack import Pack
from noisewise.errors import RunError
from noisewise.evaluate.features import extract, probe_images
from noisewise.evaluate.lookalikes import group, probe_confusion
from noisewise.models.initial import initial_encoder
from noisewise.runs.config import GroupProbe, Noise, init_name
from noisewise.runs.files import read_json, write_json_once
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.lease import make_once
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything

ALONE = Ranks(0, 1, torch.device("cpu"))


def with_groups(noise: Noise, pack: Pack, folder: RunFolder, settings: Settings, ranks: Ranks) -> Noise:
    """The noise with its groups listed: found by the first rank where nobody has found them yet or is at it.

    Args:
        folder: the run's, in the runs folder that a pretrained encoder lies in, too.

    Raises:
        RunError: data, nan or config; the encoder's weights are not there, its features are not finite, what was found
            before cannot be read or is of other images, or no two classes are confused.
    """
    if not noise.probe:
        return noise
    path = pack.folder / "noise" / f"groups-{noise.probe.key}.json"
    if ranks.first:
        path.parent.mkdir(exist_ok=True)
        lease = path.with_name(f".{path.name}.lease")
        make_once(path, lease, lambda: _find(noise.probe, pack, path, folder, settings))
    ranks.barrier()
    return replace(noise, groups=_read(path, pack), probe=None)


def _find(probe: GroupProbe, pack: Pack, path: Path, folder: RunFolder, settings: Settings) -> None:
    name = init_name(probe.init, "")  # with each link's dataset
    seed_everything("initial weights", 0)
    encoder, loaded = initial_encoder(probe.init, probe, folder, settings)
    shown, _ = probe_images(pack)
    with closing(open_images(pack, ALONE.device, shown)) as source:
        features = extract(encoder, source, shown, probe.resolution, probe.normalise, "fp32", ALONE)
    if bad := int((~np.isfinite(features)).any(axis=1).sum()):
        raise RunError(
            "nan",
            f"no groups of look-alike classes were found: {name} features of {bad} of {len(shown)} training images "
            "are not finite",
            "Name another encoder (groups: {auto: INIT}), or list groups, in the dataset's file, then submit the grid "
            "again.",
        )
    confusion = probe_confusion(features, pack.labels[shown], len(pack.classes))
    groups = [[pack.classes[number] for number in members] for members in group(confusion)]
    write_json_once(
        path,
        {
            "groups": groups,
            "confusion": confusion.tolist(),
            "classes": pack.classes,
            "images": len(shown),
            "encoder": f"{name}, {probe.backbone} at {probe.resolution} px",
            "weights": loaded,
            "content": pack.content,
        },
    )


def _read(path: Path, pack: Pack) -> list[list[str]]:
    advice = f"Remove {path}: the groups are found again."
    try:
        values: dict[str, Any] = read_json(path)
        groups, content, encoder = (values[name] for name in ("groups", "content", "encoder"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("data", f"the groups in {path} cannot be read: {error!r}", advice) from None
    if content != pack.content:
        raise RunError("data", f"the groups in {path} are of other images", advice)
    if all(len(members) == 1 for members in groups):
        raise RunError(
            "config",
            f"no groups of look-alike classes were found: features of {encoder} confuse no two classes of this dataset "
            "in one image of a hundred",
            "List groups of classes in the dataset's file (groups: [[a, b], [c, d]]), then submit the grid again.",
        )
    return groups
