#!/bin/sh
# finish.sh WHEELS FOLDER: installs rdf_lithops from WHEELS into FOLDER, compiles all Python, and runs ROOT once.
set -eu
python=/opt/rdf/bin/python
mkdir -p "$2"
for wheel in "$1"/*.whl; do  # a wheel without scripts is a zip archive of what goes there; pip is gone by now
    $python -I -m zipfile -e "$wheel" "$2"
done
# by content, never looked up again: copying an image changes the times of files
$python -I -m compileall -q -j 0 --invalidation-mode unchecked-hash "$2" /opt/rdf/lib || true
PYTHONPATH=$2 PYTHONSAFEPATH=1 EXTRA_CLING_ARGS=-O2 $python -W ignore -m rdf_lithops.worker.smoke --root
