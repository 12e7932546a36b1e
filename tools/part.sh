#!/bin/sh
# Run a part of a check and print how long it took: part.sh NAME COMMAND...
name=$1
shift
began=$(date +%s)
status=0
"$@" || status=$?
echo "== $name: $(($(date +%s) - began)) s"
exit $status
