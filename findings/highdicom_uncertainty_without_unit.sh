#!/usr/bin/env bash
# highdicom writes the uncertainty of a measurement in "no units", whatever the unit of the measurement.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: `MeasurementProperties(upper_measurement_uncertainty=14.2)` takes a number, and its content item says
#   14.2 (1, UCUM, "no units") under a measurement of 121.3 months. Nothing lets the caller give a unit, and the object passes dciodvfy.
# A good guess: the range of an uncertainty is in the unit of its measurement, or the unit is asked for, as in `Measurement`.
# Why it matters: a receiver that converts months to years leaves the interval in months, and no check objects. The way out is
#   to replace MeasurementUnitsCodeSequence of the finished items.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
from highdicom.sr import CodedConcept, Measurement, MeasurementProperties

measurement = Measurement(
    name=CodedConcept("85151-9", "LN", "XR Bone age"),
    value=121.3,
    unit=CodedConcept("mo", "UCUM", "month"),
    properties=MeasurementProperties(upper_measurement_uncertainty=14.2, lower_measurement_uncertainty=14.1),
)


def show(item):
    value = item.MeasuredValueSequence[0]
    unit = value.MeasurementUnitsCodeSequence[0]
    print(f"{item.name.meaning}: {value.NumericValue} ({unit.CodeValue}, {unit.CodeMeaning})")


show(measurement[0])
for item in measurement[0].ContentSequence:
    show(item)
EOS
diff said.txt - <<'EOS'
XR Bone age: 121.3 (mo, month)
+, range of upper measurement uncertainty: 14.2 (1, no units)
-, range of lower measurement uncertainty: 14.1 (1, no units)
EOS
