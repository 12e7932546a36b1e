#!/bin/sh
# Runs in dom0 of the emulated machine: what xenapic is for, in five commands.
say() { printf '\n$ %s\n' "$*"; "$@"; }

say xenapic host
say xenapic create --type pvh --vcpus 200 --set max_grant_frames=0 --assisted-xapic yes && exit 1
set -e
say xenapic create --type pvh --vcpus 2
say xenapic list
say xenapic destroy 1
