#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# nvcc.sh OBJECT FIGURES NVCC ARGS... - compile, and keep what ptxas says of registers, spills and shared memory.
object=$1 figures=$2
shift 2
if "$@" -c -o "$object" >"$figures" 2>&1; then
    exit 0
fi
cat "$figures" >&2
exit 1
