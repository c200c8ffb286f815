#!/bin/sh
# The image's entry point: starts the server, with CUDA's compatibility libraries where the host's driver is older than
# the CUDA that torch was built for (SageMaker's often is). Nvidia's container toolkit from 1.17.4 on leaves that to us.
# CUDA_COMPAT and NVIDIA_DRIVER are where the libraries and the driver's version lie.
compat="${CUDA_COMPAT:-/usr/local/cuda/compat}"
driver="${NVIDIA_DRIVER:-/proc/driver/nvidia/version}"
if [ -e "$compat/libcuda.so.1" ] && [ -r "$driver" ]; then
    there="$(grep -m 1 -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' "$driver" | head -n 1)"
    here="$(readlink "$compat/libcuda.so.1" | sed 's/.*libcuda\.so\.//')"
    if [ "$there" != "$here" ] && [ "$(printf '%s\n%s\n' "$there" "$here" | sort -V | head -n 1)" = "$there" ]; then
        export LD_LIBRARY_PATH="$compat${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    fi
fi
# In its place: SIGTERM reaches the server itself, which drains.
exec python "$(dirname "$0")/serve.py" "$@"
