#!/usr/bin/env bash
# The suite's core on 64-bit ARM, emulated: the demo, the three tiers against each other and against PyTorch's recorded answers.
#
#     tests/arm64.sh [FOLDER [TEST…]]
#
# For Debian on another processor, as root, after  apt-get install mmdebstrap qemu-user-static arch-test.
#
# FOLDER keeps the ARM system, the wheels and the compiled kernels for the next run; without it they go into a temporary one.
# TEST… are run in place of those that `check` names.  The system comes from apt's sources and the wheels from pip's index, both
# as they are configured where this runs.  Emulation costs a factor of 7 to 8 in time: about an hour on two free cores.
set -euo pipefail
cd "$(dirname "$0")/.."

# A release of Debian, and the Python that it has.  PACKAGES are only unpacked: configuring them would run for minutes under
# emulation, and Python needs none of it.  libgomp1 is for Numba's OpenMP threads, libstdc++6 for NumPy's wheel.
RELEASE=trixie PYTHON=3.13
PACKAGES=base-files,bash,coreutils,dash,libc-bin,python3,libgomp1,libstdc++6
# What setup.cfg asks for and what the tests below need; those of other libraries skip themselves.
mapfile -t WHEELS < <(python3 - << 'END'
import configparser

setup = configparser.ConfigParser()
setup.read("setup.cfg", encoding="utf-8")
print(setup["options"]["install_requires"].strip(), setup["options.extras_require"]["demo"].strip(), "pytest>=8",
      "hypothesis>=6.100", sep="\n")
END
)
# One with NEON but without SVE, which is slow to emulate and which Numba does not use.
export QEMU_CPU=${QEMU_CPU:-neoverse-n1}
BINFMT=/proc/sys/fs/binfmt_misc
PATH=$PATH:/usr/sbin:/sbin

main() {
    [ "$(id -u)" = 0 ] || fail "chroot and mount need root"
    for tool in mmdebstrap qemu-aarch64-static arch-test; do
        command -v $tool > /dev/null || fail "$tool is missing; run apt-get install mmdebstrap qemu-user-static arch-test"
    done
    if [ $# = 0 ]; then temporary=$(mktemp -d); fi
    folder=${1:-${temporary:-}}
    mkdir -p "$folder"
    folder=$(realpath "$folder") root=$(realpath "$folder")/root
    undo=()
    trap clean EXIT
    let_the_kernel_run_arm_programs
    local asked="$RELEASE $PYTHON $PACKAGES ${WHEELS[*]}"
    if [ "$(cat "$folder/complete" 2> /dev/null)" != "$asked" ]; then make_root; fi
    echo "$asked" > "$folder/complete"
    mount -t proc proc "$root/proc"
    undo+=("umount $root/proc")
    copy_the_work_tree
    check "${@:2}"
}

fail() {
    echo "tests/arm64.sh: $1" >&2
    exit 2
}

clean() {
    for ((step = ${#undo[@]} - 1; step >= 0; step--)); do
        ${undo[step]} || { echo "tests/arm64.sh: '${undo[step]}' failed; $folder is left as it is" >&2; return; }
    done
    if [ -n "${temporary:-}" ]; then rm -rf --one-file-system "$temporary"; fi
}

# Debian's qemu-user-static registers itself where systemd runs.  Elsewhere, as in most containers, it is done here and undone
# at the end.  With the flag F in that line, the kernel itself holds the emulator open, so that the root needs no copy of it.
let_the_kernel_run_arm_programs() {
    [ -e $BINFMT/qemu-aarch64 ] && return
    if [ ! -e $BINFMT/register ]; then
        mount -t binfmt_misc binfmt_misc $BINFMT || fail "this kernel runs no foreign programs: binfmt_misc cannot be mounted"
        undo+=("umount $BINFMT")
    fi
    cat /usr/lib/binfmt.d/qemu-aarch64.conf > $BINFMT/register
    undo+=(unregister)
}

unregister() {
    echo -1 > $BINFMT/qemu-aarch64
}

make_root() {
    rm -rf --one-file-system "$root" "$folder/wheels" "$folder/complete"
    # The mirror is the one that this machine's own Debian comes from, and apt's rules for it (proxies, dates) hold too.
    local mirror
    # shellcheck disable=SC2016     # apt's variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | sort -u |
        head -n 1)
    [ -n "$mirror" ] || fail "apt knows no Debian mirror; run apt-get update"
    apt-config dump --format '%F "%v";%n' Acquire > "$folder/apt.conf"
    timeout 20m mmdebstrap --quiet --mode=root --variant=extract --architectures=arm64 --aptopt="$folder/apt.conf" \
        --include="$PACKAGES" "$RELEASE" "$root" "$mirror"
    # The machine's own pip fetches, at full speed and with its own configuration; a wheel is an archive of what belongs into
    # site-packages.
    timeout 20m python3 -m pip download --quiet --dest "$folder/wheels" --only-binary=:all: --implementation cp \
        --python-version "$PYTHON" --platform=manylinux_2_{17..41}_aarch64 "${WHEELS[@]}"
    for wheel in "$folder"/wheels/*.whl; do
        python3 -m zipfile -e "$wheel" "$root/usr/lib/python3/dist-packages"
    done
}

# As it is now, committed or not.
copy_the_work_tree() {
    rm -rf --one-file-system "$root/npvgg"
    mkdir "$root/npvgg"
    git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- --ignore-failed-read |
        tar -x -C "$root/npvgg"
}

check() {
    failed=()
    run 10m python3 -c 'from npvgg.kernels.compiling.target import processor; from npvgg.kernels.engine.machine import SHAPE
print("Numba compiles for:", *processor(), SHAPE)'
    run 60m python3 -m npvgg demo
    for tier in reference jit engine; do
        run 60m python3 -m npvgg verify vgg13_bn-cifar10 --tier $tier
    done
    # test_documents finds that the demo prints what the README shows, digit by digit.
    [ $# -gt 0 ] || set -- tests/kernels tests/parity tests/test_golden.py tests/test_network.py tests/test_plan.py \
        tests/test_documents.py
    run 180m python3 -m pytest -q -p no:cacheprovider "$@"
    for command in "${failed[@]}"; do
        echo "failed: $command"
    done
    [ ${#failed[@]} = 0 ]
}

# In the ARM system, with nothing of this machine's environment: its paths and its settings for NumPy are for another processor.
run() {
    local limit=$1
    shift
    echo "+ $*"
    timeout "$limit" chroot "$root" /usr/bin/env -i PATH=/usr/bin HOME=/root LC_ALL=C.UTF-8 QEMU_CPU="$QEMU_CPU" \
        bash -c 'cd /npvgg && exec "$@"' bash "$@" || failed+=("$*")
}

main "$@"
