"""The payload in this process: it keeps to the settings."""

from __future__ import annotations

import pytest
import torch

from noisewise.launch import payload
from noisewise.runs.config import Prepare
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.control import Control
from noisewise.train.ranks import Ranks


@pytest.mark.parametrize("ranks", [None, Ranks(0, 1, torch.device("cpu"))], ids=["alone", "joined already"])
def test_threads_are_those_of_the_settings(tmp_path, monkeypatch, ranks):
    run, before, seen = Prepare("shapes"), torch.get_num_threads(), []
    folder = RunFolder.of(tmp_path, run)
    folder.create(run, Settings(threads=before + 1, device="cpu"))
    monkeypatch.setattr(payload, "_attempt", lambda *given: seen.append(torch.get_num_threads()) or 0)
    try:
        assert payload.execute(folder, Control(), ranks) == 0
    finally:
        torch.set_num_threads(before)
    assert seen == [before + 1]
