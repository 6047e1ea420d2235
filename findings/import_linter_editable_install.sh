#!/usr/bin/env bash
# import-linter says KEPT of a part of a package that it has not read: one that an editable install
# maps from another folder.
#
# Versions: import-linter 2.17, grimp 3.20, setuptools 80.9.0; seen on Python 3.11.
# Behaviour: setup.py has package_dir={"toy": "toy", "toy.extra": "elsewhere"}. Installed as editable,
#   `toy.extra` imports, but only the folder of `toy` is analysed ("Analyzed 1 files") and a contract
#   on all of `toy` is KEPT, with exit code 0, though toy.extra.high breaks it. (A contract that names
#   toy.extra fails: "Module 'toy.extra' does not exist.") Installed as a copy: "Analyzed 4 files" (with socket), BROKEN.
# A good guess: what can be imported is analysed, or its absence is an error.
# Why it matters: layers that nobody checks look like layers in order. `make check` reads a built tree.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

mkdir -p project/toy project/elsewhere
touch project/toy/__init__.py project/elsewhere/__init__.py
echo "import socket" >project/elsewhere/high.py
cat >project/setup.py <<'EOF'
from setuptools import setup

setup(
    name="toy",
    version="1",
    package_dir={"toy": "toy", "toy.extra": "elsewhere"},
    packages=["toy", "toy.extra"],
)
EOF
cat >contracts.toml <<'EOF'
[tool.importlinter]
root_package = "toy"
include_external_packages = true

[[tool.importlinter.contracts]]
name = "No sockets"
type = "forbidden"
source_modules = ["toy"]
forbidden_modules = ["socket"]
EOF

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet import-linter==2.17 grimp==3.20 setuptools==80.9.0

# shows EXIT_CODE FILES WORD: what lint-imports makes of it
shows() {
  local code=0
  venv/bin/python -c "import toy.extra.high"
  venv/bin/lint-imports --no-cache contracts.toml >said.txt 2>&1 || code=$?
  grep -E "^Analyzed|^No sockets [A-Z]+$" said.txt
  [ "$code" = "$1" ] && grep -q "^Analyzed $2 files" said.txt && grep -q "^No sockets $3" said.txt
}

echo "editable:"
venv/bin/python -m pip install --quiet --no-build-isolation --editable ./project
shows 0 1 KEPT

echo "a copy:"
venv/bin/python -m pip uninstall --quiet --yes toy
venv/bin/python -m pip install --quiet --no-build-isolation ./project
shows 1 4 BROKEN
