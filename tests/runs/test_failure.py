"""Failures: each class from the exception that really happens."""

from __future__ import annotations

import errno
import json

import pytest

from noisewise.errors import RunError, UserError
from noisewise.runs.failure import ADVICE, KINDS, Failure, classify, from_exit


def caught(action) -> BaseException:
    with pytest.raises(BaseException) as info:
        action()
    return info.value


def too_big_a_tensor():
    import torch

    torch.empty(10**15)


def missing_file():
    with open("/nowhere/images.csv"):
        pass


def full_disk():
    with open("/dev/full", "w") as file:
        file.write("x")


def test_memory_that_torch_did_not_get_is_oom():
    assert classify(caught(too_big_a_tensor)).kind == "oom"


def test_memory_that_a_gpu_did_not_have_is_oom():
    import torch

    assert classify(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")).kind == "oom"


def test_memory_that_python_did_not_get_is_oom():
    assert classify(caught(lambda: bytearray(1 << 60))).kind == "oom"


def test_a_file_that_is_not_there_is_data_and_named():
    failure = classify(caught(missing_file))
    assert failure.kind == "data"
    assert "/nowhere/images.csv" in failure.message


def test_a_full_disk_is_the_node_and_says_what_to_free():
    failure = classify(caught(full_disk))
    assert failure.kind == "node"
    assert "space" in failure.advice


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EROFS, errno.EDQUOT])
def test_a_failing_file_system_is_the_node(number):
    assert classify(OSError(number, "broken")).kind == "node"


def test_what_the_user_typed_is_config():
    failure = classify(UserError("no such dataset"))
    assert (failure.kind, failure.message, failure.advice) == ("config", "no such dataset", ADVICE["config"])


def test_a_run_error_keeps_its_own_words():
    failure = classify(RunError("nan", "the loss is no longer finite", "Lower the lr."))
    assert (failure.kind, failure.message, failure.advice) == ("nan", "the loss is no longer finite", "Lower the lr.")


def test_anything_else_is_a_bug_with_its_traceback():
    failure = classify(caught(lambda: {}["key"]))
    assert failure.kind == "bug"
    assert "KeyError" in failure.message
    assert "test_failure.py" in failure.traceback


@pytest.mark.parametrize(
    ("code", "oom_killed", "kind"), [(-9, True, "oom"), (-9, False, "node"), (-15, False, "node"), (3, False, "bug")]
)
def test_an_end_without_a_word(code, oom_killed, kind):
    failure = from_exit(code, oom_killed)
    assert failure.kind == kind
    assert oom_killed or str(abs(code)) in failure.message


def test_every_class_has_advice_and_is_written_as_json():
    assert set(ADVICE) == set(KINDS)
    failure = classify(ValueError("x"))
    assert Failure(**json.loads(json.dumps(failure.to_dict()))) == failure


@pytest.mark.parametrize(("code", "kind"), [(137, "node"), (143, "node"), (-11, "bug"), (134, "bug"), (128, "bug")])
def test_signals_as_a_container_tells_them_and_crashes(code, kind):
    assert from_exit(code, oom_killed=False).kind == kind


def test_a_process_that_got_no_memory_is_oom():
    assert classify(OSError(errno.ENOMEM, "Cannot allocate memory")).kind == "oom"
