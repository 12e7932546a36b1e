#!/bin/sh
# Install what the demo needs from Debian, with `tests` also what the tests need: with apt when root or sudo,
# else say what to install.
set -eu

programs="qemu-system-x86_64 xorriso xz gcc python3"
packages="python3 python3-venv qemu-system-x86 xorriso
gcc libc6-dev libxen-dev xz-utils debian-archive-keyring"
files="/usr/include/xenctrl.h"
if [ "${1:-}" = tests ]; then
    programs="$programs dpkg-source make flex bison dpkg-buildpackage dh dh_python3 lintian man chromium chromedriver rpmbuild cpio"
    packages="$packages dpkg-dev make flex bison debhelper dh-python lintian man-db python3-all python3-cffi python3-click python3-setuptools
chromium chromium-driver fonts-dejavu-core rpm cpio"
    files="$files /usr/lib/python3/dist-packages/click /usr/lib/python3/dist-packages/cffi /usr/lib/python3/dist-packages/setuptools"
fi

missing=""
for program in $programs; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
for file in $files; do
    [ -e "$file" ] || missing="$missing $file"
done
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

echo "missing:$missing" >&2
if ! command -v apt-get >/dev/null 2>&1; then
    echo "this is no Debian; install what these Debian packages hold:" $packages >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    root=""
elif command -v sudo >/dev/null 2>&1; then
    root="sudo"
else
    echo "run as root: apt-get install" $packages >&2
    exit 1
fi
$root apt-get update -qq
# shellcheck disable=SC2086 (words on purpose)
DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $packages >/dev/null
