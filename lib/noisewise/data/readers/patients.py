"""Whose each file of a folder is: from its DICOM header, or from its path.

A file that does not say so has an unknown patient (None). That none of them says so is an error, for then a split by
patient was asked for and cannot be.
"""

from __future__ import annotations

import errno
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from noisewise.errors import RunError

DICOM = "dicom"

# What is wrong with a file's path or rights, for which the conversion refuses it. All else is the disk's fault: taken
# for an unknown patient, it would let the split depend on the moment.
REFUSED = {getattr(errno, name) for name in ("ENOENT", "EACCES", "EPERM", "EISDIR", "ENOTDIR", "ELOOP", "ENAMETOOLONG")}


def find_patients(wanted: str, files: list[Path], root: Path) -> list[str | None]:
    """The patient of each file.

    wanted: "dicom", for the PatientID of each file's header; or a regular expression that is searched for in the
        file's path below `root` ("/" between folders). The patient is what its first group matched, or all of it.

    Raises:
        RunError: config, for what is no regular expression; data, if no file has a patient.
        OSError: the disk did not give a header.
    """
    if not files:
        return []
    if wanted == DICOM:
        return _from_headers(files, root)
    try:
        expression = re.compile(wanted)
    except re.error as error:
        raise RunError(
            "config",
            f"the dataset's source.patient, '{wanted}', is no regular expression: {error}",
            "Mend it, such as 'patient(\\d+)', or leave it out if patients are not known.",
        ) from None
    paths = [file.relative_to(root).as_posix() for file in files]
    patients = [_from_path(expression, path) for path in paths]
    if not any(patients):
        raise RunError(
            "data",
            f"the dataset's source.patient, '{wanted}', finds no patient in any of {len(paths)} paths below {root}, "
            f"such as {paths[0]}",
            "Mend the regular expression, or leave it out if patients are not known.",
        )
    return patients


def _from_path(expression: re.Pattern[str], path: str) -> str | None:
    """What the first group that took part matched: of alternatives, such as 'p(\\d+)|case(\\d+)', that is one."""
    match = expression.search(path)
    if match is None:
        return None
    return next(filter(None, match.groups() if expression.groups else (match[0],)), None)


def _from_headers(files: list[Path], root: Path) -> list[str | None]:
    from noisewise.data import dicom  # pydicom and GDCM take seconds to import, and no other source needs them

    def read(file: Path) -> str | None:
        try:
            with file.open("rb") as stream:
                header = dicom.read(stream, ["PatientID"])
            return str(header.get("PatientID") or "").strip() or None
        except Exception as error:  # whatever a damaged header makes pydicom raise: the conversion names the file
            if isinstance(error, OSError) and error.errno is not None and error.errno not in REFUSED:
                raise
            return None

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # odd values elsewhere in a header, once a file
        patients = list(pool.map(read, files))
    if not any(patients):
        raise RunError(
            "data",
            f"none of {len(files)} files below {root} is a DICOM file with a PatientID",
            "Leave the dataset's source.patient out, or set it to a regular expression that finds patients in paths.",
        )
    return patients
