# SPDX-License-Identifier: Apache-2.0
"""Temporary folders in memory where the machine has that: the site syncs every file that it writes."""
import os

if os.access("/dev/shm", os.W_OK):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")
