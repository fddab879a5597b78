#!/bin/sh
# finish.sh PACKAGE FOLDER LIBRARIES: puts rdf_lithops from PACKAGE into FOLDER, compiles all Python, runs ROOT once, and makes
# the instantiation libraries.
set -eu
python=/opt/rdf/bin/python
mkdir -p "$2" "$3"
cp -r "$1"/. "$2"
# by content, never looked up again: copying an image changes the times of files
$python -I -m compileall -q -j 0 --invalidation-mode unchecked-hash "$2" /opt/rdf/lib || true
export PYTHONPATH=$2 PYTHONSAFEPATH=1 EXTRA_CLING_ARGS=-O2
$python -W ignore -m rdf_lithops.worker.root.smoke --root
# what workers would compile again in each of them
RDF_LITHOPS_INSTANTIATIONS=$3 $python -W ignore -m rdf_lithops.compiled.build --awaited
chmod -R a+rX "$3"
