/* SPDX-License-Identifier: Apache-2.0 */
/* date.h - dates as feeds write them, to Unix time. */
#ifndef SIGNAL_DATE_H
#define SIGNAL_DATE_H

#include <stdint.h>

/* No date: nothing there, or nothing that reads as one. */
#define DATE_NONE INT64_MIN

/* Milliseconds since 1970 UTC, or DATE_NONE. Reads RFC 822 and 2822 dates with the liberties taken in
 * practice (full names, missing or wrong weekday, one or two digit years, missing time, "24:00", unknown
 * zone), asctime, "26-FEB-1987 15:01:01.79", and ISO 8601 down to a year, with or without punctuation.
 * Without a zone it is UTC. Years outside 1 to 9999 are no dates. */
int64_t date_parse(const char *text);

/* Milliseconds since 1970 of a proleptic Gregorian date and time. month 1..12, day 1..31; not checked. */
int64_t date_ms(int year, int month, int day, int hour, int minute, int second, int ms);

#endif
