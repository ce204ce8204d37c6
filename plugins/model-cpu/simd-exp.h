/* SPDX-License-Identifier: Apache-2.0 */
/* simd-exp.h - the exponential of sixteen lanes, the same bits on each path. */
#ifndef TELEX_SIMD_EXP_H
#define TELEX_SIMD_EXP_H

#include "simd.h"

/* e^x within 2 ulp for x in [-87, 88]; clamped outside. 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]. */
SIMD_INLINE vf exp_lanes(vf x) {
    const vf n = vf_round(vf_mul(vf_min(vf_max(x, vf_all(-87.0f)), vf_all(88.0f)), vf_all(1.44269504f)));
    vf r = vf_min(vf_max(x, vf_all(-87.0f)), vf_all(88.0f));
    vf p;

    r = vf_fma(n, vf_all(-0.693359375f), r);
    r = vf_fma(n, vf_all(2.12194440e-4f), r);
    p = vf_all(1.9875691500e-4f);
    p = vf_fma(p, r, vf_all(1.3981999507e-3f));
    p = vf_fma(p, r, vf_all(8.3334519073e-3f));
    p = vf_fma(p, r, vf_all(4.1665795894e-2f));
    p = vf_fma(p, r, vf_all(1.6666665459e-1f));
    p = vf_fma(p, r, vf_all(5.0000001201e-1f));
    p = vf_fma(vf_mul(p, r), r, vf_add(r, vf_all(1.0f)));
    return vf_mul(p, vf_pow2(n));
}

#endif
