#!/usr/bin/env bash
# The plugin `offline` of Material for MkDocs, meant for reading a site from disk, needs the network.
#
# Versions: mkdocs 1.6.1, mkdocs-material 9.8.2; seen on Python 3.11.
# Behaviour: with `plugins: [search, offline]`, every page asks for a script of https://unpkg.com (iframe-worker);
#   without it, no page of the same site asks another host. In a browser without a network the search of the "offline" site does not
#   start; without the plugin it is hidden when the site is opened from file://.
# A good guess: the offline build is the one that loads nothing from elsewhere.
# Why it matters: documentation handed to a hospital's closed network; only a local web server makes its search work.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet mkdocs==1.6.1 mkdocs-material==9.8.2
mkdir docs
echo "# Title" >docs/index.md

# foreign PLUGINS: the addresses of other hosts from which the built page loads scripts
foreign() {
  printf 'site_name: site\ntheme: {name: material, font: false}\nplugins: [%s]\n' "$1" >mkdocs.yml
  venv/bin/python -m mkdocs build --quiet 2>/dev/null
  grep -oE '<script src="?https://[^" >]*' site/index.html || true
}

echo "search: $(foreign search)"
echo "search, offline: $(foreign 'search, offline')"
[ -z "$(foreign search)" ]
foreign 'search, offline' | grep -q 'https://unpkg.com'
