/* SPDX-License-Identifier: Apache-2.0 */
/* schedule.c - when to ask a feed again.
 *
 * A feed is never asked sooner than its interval, nor than the site wishes (ttl, max-age, Expires up to a
 * day; Retry-After up to a week). Jitter only ever moves the moment within a tenth, later than any wish of
 * the site. */
#include "schedule.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "date.h"

#define HOUR_MS        (3600 * 1000ll)
#define DAY_MS         (24 * HOUR_MS)
#define WEEK_MS        (7 * DAY_MS)
#define FAILURE_MAX_MS (2 * DAY_MS)

static int64_t at_most(int64_t value, int64_t most) {
    return value > most ? most : value;
}

static int64_t at_least(int64_t value, int64_t least) {
    return value < least ? least : value;
}

/* The moment `delay_ms` from now, not before what the site asked for. */
static int64_t moment(const struct schedule *s, int64_t delay_ms) {
    int64_t jitter = (int64_t)((double)delay_ms * s->jitter / 10);
    int64_t at = s->now_ms + delay_ms + jitter;
    int64_t floor = at_most(at_least(s->ttl_ms, s->max_age_ms), DAY_MS);
    at = at_least(at, s->now_ms + floor);
    if (s->expires_ms)
        at = at_least(at, at_most(s->expires_ms, s->now_ms + DAY_MS));
    if (s->retry_ms)
        at = at_least(at, at_most(s->retry_ms, s->now_ms + WEEK_MS));
    return at;
}

int64_t schedule_after_answer(const struct schedule *s, int64_t week) {
    if (s->every_ms)
        return moment(s, s->every_ms);
    int64_t delay = week > 0 ? WEEK_MS / week : s->interval_ms;
    return moment(s, at_least(at_most(delay, s->max_interval_ms), s->interval_ms));
}

int64_t schedule_after_failure(const struct schedule *s, int64_t fails) {
    int64_t delay = s->every_ms ? s->every_ms : s->interval_ms;
    for (int64_t i = 1; i < fails && delay < FAILURE_MAX_MS; i++)
        delay *= 2;
    return moment(s, at_least(at_most(delay, FAILURE_MAX_MS), s->every_ms));
}

int64_t schedule_retry_after(const char *value, int64_t now_ms) {
    char *end;
    if (!value || !*value)
        return 0;
    if (isdigit((unsigned char)*value)) {
        long long seconds = strtoll(value, &end, 10);
        if (!*end)
            return now_ms + at_most(seconds, WEEK_MS / 1000) * 1000;
    }
    int64_t at = date_parse(value);
    return at == DATE_NONE || at <= now_ms ? 0 : at;
}

int64_t schedule_max_age(const char *cache_control) {
    const char *at = cache_control ? strcasestr(cache_control, "max-age") : NULL;
    if (!at)
        return 0;
    at += 7;
    at += strspn(at, " \t=\"");
    long long seconds = isdigit((unsigned char)*at) ? strtoll(at, NULL, 10) : 0;
    return at_most(seconds, DAY_MS / 1000) * 1000;
}
