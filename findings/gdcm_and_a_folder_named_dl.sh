#!/usr/bin/env bash
# A folder named `dl` in the working directory breaks `import pydicom` where python-gdcm is installed.
#
# Versions: pydicom 3.0.2, python-gdcm 3.2.6; seen on Python 3.11, Linux.
# Behaviour: `import pydicom` imports gdcm, which imports `dl`, a module of Python 2, if there is one. Any folder of that
#   name is one (a namespace package, even if it is empty), and the import ends with AttributeError: module 'dl' has no
#   attribute 'RTLD_NOW'. Without the folder, or without python-gdcm, the same line works.
# A good guess: an optional decoder that cannot be imported is skipped.
# Why it matters: `dl` is what people call a folder for downloads, or for deep learning. Setting `sys.modules["dl"] = None`
#   before the import is the way out.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2
mkdir work work/dl
cd work
{
  ../venv/bin/python -c "import pydicom; print('without gdcm: imported')"
  ../venv/bin/python -m pip install --quiet python-gdcm==3.2.6
  { ../venv/bin/python -c "import pydicom" 2>&1 || true; } | tail -1
  ../venv/bin/python -c "import sys; sys.modules['dl'] = None; import pydicom; print('told that there is none: imported')"
  rmdir dl
  ../venv/bin/python -c "import pydicom; print('without the folder: imported')"
} | tee ../said.txt
diff ../said.txt - <<'EOF'
without gdcm: imported
AttributeError: module 'dl' has no attribute 'RTLD_NOW'
told that there is none: imported
without the folder: imported
EOF
