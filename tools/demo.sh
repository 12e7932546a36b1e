#!/bin/sh
# Runs in dom0 of the emulated machine: what xenapic is for, command by command.
say() { printf '\n$ %s\n' "$*"; "$@"; }

say xenapic host --measure
say xenapic plan --measure --assisted-x2apic no && exit 1
say xenapic create --type pvh --vcpus 200 --set max_grant_frames=0 && exit 1
set -e
say xenapic create --type pvh --vcpus 1
say xenapic inspect 1 || true # its vCPU was never initialised: nothing is in force yet
say xenapic destroy 1
say xenapic verify --quiet --trace
