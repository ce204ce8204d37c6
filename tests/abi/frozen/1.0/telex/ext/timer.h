/* SPDX-License-Identifier: Apache-2.0 */
/* telex/ext/timer.h - "telex.timer/1": call me later. Timers do not survive a restart; keep due times in kv. */
#ifndef TELEX_EXT_TIMER_H
#define TELEX_EXT_TIMER_H

#include "../host.h"

#define TELEX_TIMER "telex.timer/1"

struct telex_timer {
    uint32_t size;
    /* Call on_timer(self, timer) once, `delay_ms` from now; a second set of the same number moves it. At most 64 per
     * instance. OK, LIMIT. [any] */
    telex_status (*set)(const struct telex_host *host, uint64_t timer, int64_t delay_ms);
    void (*clear)(const struct telex_host *host, uint64_t timer); /* [any] */
};

#endif
