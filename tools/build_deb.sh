#!/bin/sh
# Build the Debian packages from a copy of the source into the directory $1, and have lintian judge them.
set -eu

into=${1:?directory}
for program in dpkg-buildpackage dh_python3 lintian; do
    command -v "$program" >/dev/null 2>&1 || {
        echo "missing: $program; install debhelper dh-python lintian python3-all python3-cffi python3-click python3-setuptools" >&2
        exit 1
    }
done
rm -rf "$into"
mkdir -p "$into/xenapic"
tar -cf - --exclude=./.git --exclude=./.venv --exclude=./build --exclude=./dist --exclude=./docs/_build --exclude=./docs/_generated \
    --exclude=__pycache__ --exclude='*.egg-info' --exclude='.*_cache' --exclude=.hypothesis . | tar -xf - -C "$into/xenapic"
cd "$into/xenapic"
PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage --build=binary --no-sign >../build.log 2>&1 || {
    tail -n 40 ../build.log >&2
    exit 1
}
# The project has no mail address yet.
lintian --allow-root --fail-on error,warning --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog ../*.changes
