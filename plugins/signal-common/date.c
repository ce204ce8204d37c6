/* SPDX-License-Identifier: Apache-2.0 */
/* date.c - dates as feeds write them.
 *
 * ISO 8601 is tried first, because it begins with digits in a fixed order; all else is read as a bag of
 * tokens in which a name is a month, hh:mm is the time, and what numbers remain are day and year. */
#include "date.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MINUTE_MS  60000
#define TOKENS_MAX 16

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};

/* Zone names in use, minutes east of Greenwich. Names with several meanings take the one RFC 822 or most
 * feeds give. */
static const struct zone {
    const char *name;
    int minutes;
} zones[] = {
    {"UT", 0},     {"UTC", 0},    {"GMT", 0},    {"Z", 0},       {"WET", 0},     {"EST", -300}, {"EDT", -240},
    {"CST", -360}, {"CDT", -300}, {"MST", -420}, {"MDT", -360},  {"PST", -480},  {"PDT", -420}, {"ET", -300},
    {"CT", -360},  {"MT", -420},  {"PT", -480},  {"AKST", -540}, {"AKDT", -480}, {"HST", -600}, {"AST", -240},
    {"ADT", -180}, {"NST", -210}, {"NDT", -150}, {"BRT", -180},  {"ART", -180},  {"CLT", -240}, {"BST", 60},
    {"IST", 330},  {"WEST", 60},  {"CET", 60},   {"CEST", 120},  {"MET", 60},    {"MEST", 120}, {"MEZ", 60},
    {"MESZ", 120}, {"EET", 120},  {"EEST", 180}, {"SAST", 120},  {"CAT", 120},   {"WAT", 60},   {"EAT", 180},
    {"MSK", 180},  {"MSD", 240},  {"GST", 240},  {"PKT", 300},   {"WIB", 420},   {"ICT", 420},  {"SGT", 480},
    {"HKT", 480},  {"AWST", 480}, {"JST", 540},  {"KST", 540},   {"ACST", 570},  {"AEST", 600}, {"ACDT", 630},
    {"AEDT", 660}, {"NZST", 720}, {"NZDT", 780},
};

int64_t date_ms(int year, int month, int day, int hour, int minute, int second, int ms) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    int64_t days = era * 146097 + day_of_era - 719468;
    return ((days * 24 + hour) * 60 + minute) * MINUTE_MS + (int64_t)second * 1000 + ms;
}

/* The parts of a date while it is read; -1 is "not seen". */
struct parts {
    int year, month, day, hour, minute, second, ms;
    int zone_minutes; /* east of Greenwich */
};

static int month_days(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* The moment, or DATE_NONE when a part is out of range. The 31st of a shorter month is no date; 24:00 is. */
static int64_t moment(const struct parts *p) {
    if (p->year < 1 || p->year > 9999 || p->month < 1 || p->month > 12 || p->day < 1 ||
        p->day > month_days(p->year, p->month))
        return DATE_NONE;
    if (p->hour < 0 || p->hour > 24 || p->minute < 0 || p->minute > 59 || p->second < 0 || p->second > 61 ||
        (p->hour == 24 && (p->minute || p->second)))
        return DATE_NONE;
    return date_ms(p->year, p->month, p->day, p->hour, p->minute, p->second, p->ms) -
           (int64_t)p->zone_minutes * MINUTE_MS;
}

/* Read exactly n digits into *out. */
static bool digits(const char **at, int n, int *out) {
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)(*at)[i]))
            return false;
        value = value * 10 + ((*at)[i] - '0');
    }
    *at += n;
    *out = value;
    return true;
}

static int count_digits(const char *at) {
    int n = 0;
    while (isdigit((unsigned char)at[n]) && n < 20)
        n++;
    return n;
}

/* A fraction of a second behind '.' or ','; to whole milliseconds, the rest is cut off. */
static void fraction(const char **at, int *ms) {
    if ((**at != '.' && **at != ',') || !isdigit((unsigned char)(*at)[1]))
        return;
    int scale = 100;
    *ms = 0;
    for (*at += 1; isdigit((unsigned char)**at); *at += 1) {
        *ms += (**at - '0') * scale;
        scale /= 10;
    }
}

/* A zone: "+hh", "+hhmm", "+hh:mm", "GMT+2", a name. An unknown name is UTC. */
static int zone_minutes(const char *at) {
    while (*at == ' ' || *at == '(')
        at++;
    size_t n = 0;
    while (isalpha((unsigned char)at[n]))
        n++;
    int minutes = 0;
    if (n) {
        for (size_t i = 0; i < sizeof(zones) / sizeof(*zones); i++)
            if (strlen(zones[i].name) == n && !strncasecmp(zones[i].name, at, n))
                minutes = zones[i].minutes;
        at += n;
        if (strncasecmp(at, "/GMT", 4) == 0)
            at += 4;
    }
    if (*at != '+' && *at != '-')
        return minutes;
    int sign = *at == '-' ? -1 : 1, hour = 0, minute = 0;
    at++;
    int have = count_digits(at);
    if (have == 4 || have == 2)
        digits(&at, 2, &hour);
    else if (have == 1 || have == 3)
        digits(&at, 1, &hour);
    else
        return minutes;
    if (*at == ':')
        at++;
    if (count_digits(at) >= 2)
        digits(&at, 2, &minute);
    return hour > 14 || minute > 59 ? minutes : minutes + sign * (hour * 60 + minute);
}

/* The time of day of an ISO date, and its zone. */
static bool iso_time(const char *at, struct parts *p) {
    if (*at == 'T' || *at == 't' || *at == ' ')
        at++;
    while (*at == ' ')
        at++;
    if (!*at)
        return true;
    if (digits(&at, 2, &p->hour)) {
        bool colon = *at == ':';
        at += colon;
        if (count_digits(at) >= 2 && digits(&at, 2, &p->minute)) {
            if (*at == ':' || (!colon && isdigit((unsigned char)*at)))
                at += *at == ':';
            if (count_digits(at) >= 2)
                digits(&at, 2, &p->second);
        }
        fraction(&at, &p->ms);
    }
    p->zone_minutes = zone_minutes(at);
    return true;
}

/* YYYY, YYYY-MM, YYYY-MM-DD, YYYY-DDD, YYYYMMDD and the same without century; then a time. */
static bool iso_parse(const char *at, struct parts *p) {
    *p = (struct parts){.month = 1, .day = 1};
    int have = count_digits(at), day_of_year = 0;
    if (have == 8) {
        digits(&at, 4, &p->year);
        digits(&at, 2, &p->month);
        digits(&at, 2, &p->day);
        return iso_time(at, p);
    }
    if (have == 14)
        return digits(&at, 4, &p->year) && digits(&at, 2, &p->month) && digits(&at, 2, &p->day) &&
               iso_time(at, p);
    if (have == 6) { /* YYMMDD would be as likely as YYYYMM; feeds with either are equally rare */
        digits(&at, 2, &p->year);
        p->year += p->year < 70 ? 2000 : 1900;
        digits(&at, 2, &p->month);
        digits(&at, 2, &p->day);
        return iso_time(at, p);
    }
    if (have != 4)
        return false;
    digits(&at, 4, &p->year);
    if (*at != '-' && *at != '/' && *at != '.')
        return !*at || *at == 'T' ? iso_time(at, p) : false;
    at++;
    have = count_digits(at);
    if (have == 3) {
        digits(&at, 3, &day_of_year);
        if (day_of_year < 1 || day_of_year > 366)
            return false;
        for (p->month = 1; day_of_year > month_days(p->year, p->month) && p->month < 12; p->month++)
            day_of_year -= month_days(p->year, p->month);
        p->day = day_of_year;
        return iso_time(at, p);
    }
    if (have != 1 && have != 2)
        return false;
    digits(&at, have, &p->month);
    if (*at != '-' && *at != '/' && *at != '.')
        return iso_time(at, p);
    at++;
    have = count_digits(at);
    if (have != 1 && have != 2)
        return false;
    digits(&at, have, &p->day);
    return iso_time(at, p);
}

static int month_of(const char *name, size_t n) {
    for (int i = 0; i < 12 && n >= 3; i++)
        if (!strncasecmp(name, months[i], 3))
            return i + 1;
    return 0;
}

static bool is_weekday(const char *name, size_t n) {
    static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    for (int i = 0; i < 7 && n >= 3; i++)
        if (!strncasecmp(name, days[i], 3))
            return true;
    return false;
}

/* hh:mm[:ss[.frac]], also with am or pm behind it. */
static const char *clock_time(const char *at, struct parts *p) {
    int n = count_digits(at);
    digits(&at, n, &p->hour);
    at++;
    n = count_digits(at);
    digits(&at, n > 2 ? 2 : n, &p->minute);
    if (*at == ':') {
        at++;
        n = count_digits(at);
        digits(&at, n > 2 ? 2 : n, &p->second);
        fraction(&at, &p->ms);
    }
    while (*at == ' ')
        at++;
    bool pm = !strncasecmp(at, "pm", 2), am = !strncasecmp(at, "am", 2);
    if ((am || pm) && !isalpha((unsigned char)at[2])) {
        p->hour = p->hour % 12 + (pm ? 12 : 0);
        at += 2;
    }
    return at;
}

/* Two numbers that are day and year, in the order in which they came. */
static void place_numbers(struct parts *p, const int *number, const int *width, int n) {
    if (n >= 2 && (width[0] >= 3 || number[0] > 31)) {
        p->year = number[0];
        p->day = number[1];
        if (width[0] < 3)
            p->year += p->year < 70 ? 2000 : 1900;
    } else if (n >= 2) {
        p->day = number[0];
        p->year = number[1];
        if (width[1] < 3)
            p->year += p->year < 70 ? 2000 : 1900;
        else if (width[1] == 3)
            p->year += 1900;
    }
}

/* Everything with a month's name in it. */
static bool loose_parse(const char *at, struct parts *p) {
    int number[TOKENS_MAX], width[TOKENS_MAX], n = 0;
    bool timed = false;
    *p = (struct parts){0};
    while (*at) {
        if (isdigit((unsigned char)*at)) {
            int have = count_digits(at);
            if (have > 9)
                return false;
            if (at[have] == ':' && have <= 2 && isdigit((unsigned char)at[have + 1]) && !timed) {
                at = clock_time(at, p);
                timed = true;
                continue;
            }
            if (n == TOKENS_MAX)
                return false;
            width[n] = have;
            digits(&at, have, &number[n++]);
        } else if (isalpha((unsigned char)*at)) {
            size_t len = 0;
            while (isalpha((unsigned char)at[len]))
                len++;
            if (!p->month && month_of(at, len))
                p->month = month_of(at, len);
            else if (timed && !is_weekday(at, len) && len > 1 && n >= 1) {
                p->zone_minutes = zone_minutes(at);
                while (*at && *at != ' ')
                    at++;
                continue;
            } else if (timed && len == 1 && toupper((unsigned char)*at) == 'Z')
                p->zone_minutes = 0;
            at += len;
        } else if (timed && (*at == '+' || *at == '-') && isdigit((unsigned char)at[1]) && p->month) {
            p->zone_minutes = zone_minutes(at);
            at++;
            while (isdigit((unsigned char)*at) || *at == ':')
                at++;
        } else {
            at++;
        }
    }
    place_numbers(p, number, width, n);
    return p->month && n >= 2;
}

/* "Tue, 24 Nov 2026 08:00:00 GMT" or "... +0100", to the letter: what most feeds write, and nothing else. */
static bool strict_parse(const char *at, struct parts *p) {
    *p = (struct parts){.month = 0};
    if (!at[0] || !at[1] || !at[2] || at[3] != ',' || at[4] != ' ')
        return false;
    at += 5;
    if (!digits(&at, isdigit((unsigned char)*at) && isdigit((unsigned char)at[1]) ? 2 : 1, &p->day) ||
        *at++ != ' ')
        return false;
    for (int i = 0; i < 12 && !p->month; i++)
        p->month = (*at | 0x20) == *months[i] && !strncasecmp(at, months[i], 3) ? i + 1 : 0;
    if (!p->month || at[3] != ' ')
        return false;
    at += 4;
    bool good = digits(&at, 4, &p->year) && *at++ == ' ' && digits(&at, 2, &p->hour) && *at++ == ':' &&
                digits(&at, 2, &p->minute) && *at++ == ':' && digits(&at, 2, &p->second) && *at++ == ' ';
    if (!good || !strcmp(at, "GMT"))
        return good;
    int sign = *at == '-' ? -1 : 1, hours, minutes;
    if ((*at != '+' && *at != '-') || (at++, !digits(&at, 2, &hours)) || !digits(&at, 2, &minutes) || *at)
        return false;
    p->zone_minutes = sign * (60 * hours + minutes);
    return hours < 15 && minutes < 60;
}

int64_t date_parse(const char *text) {
    struct parts parts;
    if (!text)
        return DATE_NONE;
    while (isspace((unsigned char)*text))
        text++;
    if (strict_parse(text, &parts)) {
        int64_t ms = moment(&parts);
        if (ms != DATE_NONE)
            return ms;
    }
    char line[96];
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    if (!n || n >= sizeof(line))
        return DATE_NONE;
    memcpy(line, text, n);
    line[n] = 0;
    for (char *c = line; *c; c++)
        if (*c == '\n' || *c == '\t' || *c == '\r')
            *c = ' ';
    if (iso_parse(line, &parts)) {
        int64_t ms = moment(&parts);
        if (ms != DATE_NONE)
            return ms;
    }
    return loose_parse(line, &parts) ? moment(&parts) : DATE_NONE;
}
