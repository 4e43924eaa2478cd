"""The ranking against cleanlab's, and what it makes of odd input."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab.rank import get_label_quality_scores
from drawn import draw
from sklearn.metrics import average_precision_score

from noisewise.audit.rank import rank_labels
from noisewise.errors import RunError


def test_the_order_is_that_of_cleanlabs_self_confidence():
    probabilities, given, clean = draw()
    ranking = rank_labels(probabilities, given)
    quality = get_label_quality_scores(given, probabilities, method="self_confidence")
    np.testing.assert_array_equal(ranking.order, np.argsort(quality, kind="stable"))
    np.testing.assert_allclose(ranking.score, 1 - quality)
    wrong = given != clean
    assert average_precision_score(wrong, ranking.score) > 0.9 > wrong.mean()


def test_suggests_the_likeliest_other_class():
    ranking = rank_labels(np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.array([0, 0]))
    assert ranking.suggested.tolist() == [1, 2]
    assert ranking.order.tolist() == [1, 0]
    assert ranking.score.tolist() == pytest.approx([0.5, 0.9])


def test_two_classes_suggest_the_other_and_ties_stay_in_order():
    ranking = rank_labels(np.full((4, 2), 0.5), np.array([0, 1, 1, 0]))
    assert ranking.suggested.tolist() == [1, 0, 0, 1]
    assert ranking.order.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("probabilities", "given", "kind", "message"),
    [
        (np.array([[0.5, 0.5], [np.nan, 0.5]]), [0, 1], "nan", "1 of 2 training images are not finite"),
        (np.ones((3, 2)) / 2, [0, 1], "data", r"\(3, 2\) probabilities do not fit 2 labels"),
        (np.ones((2, 2)) / 2, [0, 2], "data", "labels from 0 to 2 do not fit 2 classes"),
        (np.ones((2, 1)), [0, 0], "data", "do not fit 1 classes"),
        (np.ones((0, 2)), [], "data", "do not fit 0 labels"),
    ],
)
def test_probabilities_that_are_none_are_refused(probabilities, given, kind, message):
    with pytest.raises(RunError, match=message) as error:
        rank_labels(probabilities, np.array(given, dtype=np.int64))
    assert error.value.kind == kind
