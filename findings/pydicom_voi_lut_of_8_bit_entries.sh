#!/usr/bin/env bash
# A VOI LUT with 8-bit entries wraps in pydicom: a 12-bit ramp becomes sixteen ramps, without an error or a warning.
#
# Versions: pydicom 3.0.2, numpy 2.4.6; seen on Python 3.11.
# Behaviour: VOI LUT Sequence with LUT Descriptor 4096\0\8 and LUT Data n // 16. `apply_voi_lut` of the stored values
#   0 to 4095 gives uint8 from 0 to 15 that falls back to 0 fifteen times: the index is cast to the entries' 8 bits
#   before it is looked up. The same table with 16-bit entries is right.
# A good guess: the index has the width of the stored values, the entries that of the descriptor.
# Why it matters: detectors of hands store 10 to 14 bits and some write 8-bit tables; the picture stays plausible enough
#   for a network to answer.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 numpy==2.4.6

venv/bin/python - <<'EOF' | tee said.txt
import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_voi_lut

stored = np.arange(4096, dtype=np.uint16)
for bits, step in ((8, 16), (16, 1)):
    table = Dataset()
    table.LUTDescriptor = [4096, 0, bits]
    table.LUTData = [value // step for value in range(4096)]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    dataset = Dataset()
    dataset.PixelRepresentation = 0
    dataset.VOILUTSequence = [table]
    shown = apply_voi_lut(stored, dataset)
    falls = int((np.diff(shown.astype(int)) < 0).sum())
    print(bits, shown.dtype, shown.min(), shown.max(), "falls", falls, "as the table", (shown == stored // step).all())
EOF
grep -qx "8 uint8 0 15 falls 15 as the table False" said.txt
grep -qx "16 uint16 0 4095 falls 0 as the table True" said.txt
