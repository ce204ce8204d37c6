/* SPDX-License-Identifier: Apache-2.0 */
/* misbehave-throw - the C++ part of stage-misbehaves: an exception that nobody in the plugin catches. */
#include <stdexcept>

extern "C" void misbehave_throw(void);

void misbehave_throw(void) {
    throw std::runtime_error("nobody catches this");
}
