#!/usr/bin/env bash
# Make .venv, or check an existing .venv: `make_venv.sh [PYTHON]`, in the repository's root.
#
# `make setup` runs this script first. The script detects problems that would make the installation
# fail minutes later (an unsupported Python, a full disk), and prints what to do about them.
set -euo pipefail

named=${1:-}
# Disk space in GB for the packages in .venv, and for their archives during the installation.
needed=6
needed_meanwhile=2

# The supported versions of Python are those of the classifiers in pyproject.toml.
supported=$(sed -nE 's/.*"Programming Language :: Python :: (3\.[0-9]+)".*/\1/p' pyproject.toml)
supported=${supported//$'\n'/ }
either=${supported// / or }

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

version_of() { # fails if the given Python does not run
    "$1" -c 'import platform; print(platform.python_version())' 2> /dev/null
}

is_supported() { # 3.11.0rc1 counts as 3.11
    [[ " $supported " == *" ${1%.*} "* ]]
}

objection() { # prints why a Python cannot be used; nothing if it can be used
    local version
    if ! version=$(version_of "$1"); then
        echo "does not run"
    elif ! is_supported "$version"; then
        echo "is Python $version"
    elif ! "$1" -c 'import ensurepip, venv' 2> /dev/null; then
        echo "is Python $version without venv: apt install python${version%.*}-venv"
    fi
}

[[ $(uname) == Linux ]] || fail "PCB-kit needs Linux, but this system is $(uname): use a Linux machine."

if version=$(version_of .venv/bin/python); then
    is_supported "$version" ||
        fail "PCB-kit needs Python $either, but .venv has Python $version: remove .venv with \`make clean\`, then run \`make setup\` again."
    if [[ -n $named ]]; then
        asked=$(version_of "$named") || fail "PYTHON=$named does not run: choose a different Python."
        [[ $asked == "$version" ]] ||
            fail ".venv has Python $version, but $named is $asked: remove .venv with \`make clean\`, then run \`make setup\` again."
    fi
    .venv/bin/python -m pip --version > /dev/null 2>&1 || .venv/bin/python -m ensurepip > /dev/null
    exit
fi

if [[ -n $named ]]; then
    candidates=("$named")
else
    read -ra candidates <<< "${supported//3./python3.} python3 python"
fi
objections=
python=
for candidate in "${candidates[@]}"; do
    path=$(command -v "$candidate") || path=
    against=${path:+$(objection "$path")}
    if [[ -n $path && -z $against ]]; then
        python=$path
        break
    fi
    [[ -z $path && -z $named ]] || objections+="  $candidate ${against:-does not exist}"$'\n'
done
[[ -n $python ]] || fail "PCB-kit needs Python $either, but no such version was found." \
    ${objections:+"${objections%$'\n'}"} \
    "uv (https://docs.astral.sh/uv) downloads Python without root access:" \
    "  uv venv --seed --python ${supported##* } .venv && make setup" \
    "Or install Python (apt install python${supported##* }-venv, conda, pyenv) and pass its path:" \
    "  make setup PYTHON=/path/to/python${supported##* }"

require_space() { # folder, GB
    local free
    free=$(df -B GB --output=avail "$1" | tail -1)
    free=${free//[^0-9]/}
    ((free >= $2)) || fail "$1 has $free GB of free space, but the set-up needs $2 GB there: free some space."
}
temporary=${TMPDIR:-/tmp}
if [[ $(df --output=target . | tail -1) == "$(df --output=target "$temporary" | tail -1)" ]]; then
    require_space "$PWD" $((needed + needed_meanwhile))
else
    require_space "$PWD" $needed
    require_space "$temporary" $needed_meanwhile
fi

version=$(version_of "$python")
echo "Making .venv with Python $version ($python)"
[[ $version =~ ^[0-9.]+$ ]] || echo "PCB-kit has not been tested with this pre-release of Python"
"$python" -m venv --clear .venv
