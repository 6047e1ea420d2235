#!/usr/bin/env bash
# A shallow copy of a pydicom data set is no copy: what is added to it or set in it is added to and set in the first one.
#
# Versions: pydicom 3.0.2; seen on Python 3.11.
# Behaviour: `dataset.copy()`, `copy.copy(dataset)` and `Dataset(dataset)` share the table of elements itself, so that even a new attribute appears in
#   the first one. `update`, a slice and `new["PatientID"] = old["PatientID"]` share the element objects: new attributes stay apart, but
#   setting a shared one by its name changes the other. After `update` from a file this holds only for elements that were looked at before.
# A good guess: as with dict, which Dataset follows: d.copy(), dict(d) and d.update(e) give a new table, and setting a key leaves the other alone.
# Why it matters: a header that is copied to be made anonymous, or joined into a result, changes the one that is kept, and whether it
#   does depends on who read it before. Use copy.deepcopy.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import copy
import io

from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian


def made():
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "2.25.1"
    dataset.PatientID = "first"
    return dataset


def read():
    file = io.BytesIO()
    dcmwrite(file, made(), enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def read_and_seen():
    dataset = read()
    str(dataset.PatientID)
    return dataset


def updated(dataset):
    new = Dataset()
    new.update(dataset)
    return new


def by_item(dataset):
    new = Dataset()
    new["PatientID"] = dataset["PatientID"]
    return new


for name, copied, source in (
    ("Dataset.copy", Dataset.copy, made),
    ("copy.copy", copy.copy, made),
    ("Dataset()", Dataset, made),
    ("Dataset.copy of a file", Dataset.copy, read),
    ("slice", lambda dataset: dataset[0x00100000:], made),
    ("item", by_item, made),
    ("update", updated, made),
    ("update of a file", updated, read),
    ("update of a file that was looked at", updated, read_and_seen),
    ("copy.deepcopy", copy.deepcopy, made),
):
    first = source()
    second = copied(first)
    second.PatientID, second.PatientSex = "second", "F"
    print(f"{name}: {first.PatientID}, {'with' if 'PatientSex' in first else 'without'} the new one")
EOS
diff said.txt - <<'EOS'
Dataset.copy: second, with the new one
copy.copy: second, with the new one
Dataset(): second, with the new one
Dataset.copy of a file: second, with the new one
slice: second, without the new one
item: second, without the new one
update: second, without the new one
update of a file: first, without the new one
update of a file that was looked at: second, without the new one
copy.deepcopy: first, without the new one
EOS
