#!/bin/sh
# The generic image's entry: the command it is given, or without one Lithops' own entry point (AWS Batch gives none).
if [ "$#" -gt 0 ]; then
    exec "$@"
fi
exec /opt/rdf/bin/python /lithops/entry_point.py
