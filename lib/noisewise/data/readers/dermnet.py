"""DermNet: clinical photographs of skin disease in 23 classes, in the copy on Kaggle that has a test split.

train/CLASS/*.jpg and test/CLASS/*.jpg. Classes are named as their folders are there. Patients are not known:
one may be in both splits.
"""

from __future__ import annotations

from pathlib import Path

from noisewise.data.readers.layout import read_class_folders
from noisewise.data.readers.origin import Origin
from noisewise.data.readers.walk import plain
from noisewise.data.table import Table
from noisewise.runs.config import Source

# Class -> images to train on, and to test on.
COUNTS = {
    "Acne and Rosacea Photos": (840, 312),
    "Actinic Keratosis Basal Cell Carcinoma and other Malignant Lesions": (1149, 288),
    "Atopic Dermatitis Photos": (489, 123),
    "Bullous Disease Photos": (448, 113),
    "Cellulitis Impetigo and other Bacterial Infections": (288, 73),
    "Eczema Photos": (1235, 309),
    "Exanthems and Drug Eruptions": (404, 101),
    "Hair Loss Photos Alopecia and other Hair Diseases": (239, 60),
    "Herpes HPV and other STDs Photos": (405, 102),
    "Light Diseases and Disorders of Pigmentation": (568, 143),
    "Lupus and other Connective Tissue diseases": (420, 105),
    "Melanoma Skin Cancer Nevi and Moles": (463, 116),
    "Nail Fungus and other Nail Disease": (1040, 261),
    "Poison Ivy Photos and other Contact Dermatitis": (260, 65),
    "Psoriasis pictures Lichen Planus and related diseases": (1405, 352),
    "Scabies Lyme Disease and other Infestations and Bites": (431, 108),
    "Seborrheic Keratoses and other Benign Tumors": (1371, 343),
    "Systemic Disease": (606, 152),
    "Tinea Ringworm Candidiasis and other Fungal Infections": (1300, 325),
    "Urticaria Hives": (212, 53),
    "Vascular Tumors": (482, 121),
    "Vasculitis Photos": (416, 105),
    "Warts Molluscum and other Viral Infections": (1086, 272),
}
SPLITS = ("train", "test")

ORIGIN = Origin(
    title="DermNet",
    page="https://www.kaggle.com/datasets/shubhamgoel27/dermnet",
    size="1.7 GB",
    terms="the images are Dermnet's (dermnet.com), under its own terms; read these and the Kaggle page before use",
    tree="""
        train/Acne and Rosacea Photos/*.jpg
        train/... (23 classes)
        test/... (the same)
    """,
)


def read(source: Source, root: Path) -> Table:
    """The images of both splits, at or near `root`.

    Raises:
        RunError: data; no such dataset, or one that is not whole or not as published.
    """
    return read_class_folders(root, ORIGIN, list(COUNTS), _class_of, SPLITS)


def _key(name: str) -> str:
    """What copies agree on: some leave out that these are photos."""
    return plain(name.replace("&", " and ")).replace("photos", "").replace("pictures", "")


_NAMES = {_key(name): name for name in COUNTS}


def _class_of(name: str) -> str | None:
    return _NAMES.get(_key(name))
