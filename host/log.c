/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - writes each line with one write(2), so lines of several threads never mix. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static int32_t threshold = TELEX_INFO;
static bool as_json;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(int32_t level, bool json) {
    threshold = level;
    as_json = json;
}

int32_t log_level(void) {
    return threshold;
}

int32_t log_level_parse(const char *text) {
    for (int32_t i = TELEX_DEBUG; i <= TELEX_ERROR; i++)
        if (strcmp(text, level_names[i]) == 0)
            return i;
    return -1;
}

/* Append text, escaping what could forge a line or a JSON string. Returns the new length. */
static size_t put_escaped(char *line, size_t used, const char *text, size_t size) {
    for (size_t i = 0; i < size && used < LINE_MAX_BYTES - 16; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c == '\n' || c == '\t' || c == '\r')
            used += (size_t)snprintf(line + used, 3, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c < 0x20 || c == 0x7f)
            used += (size_t)snprintf(line + used, 7, "\\u%04x", c);
        else if (as_json && (c == '"' || c == '\\'))
            used += (size_t)snprintf(line + used, 3, "\\%c", c);
        else
            line[used++] = (char)c;
    }
    return used;
}

static size_t put_stamp(char *line, struct timespec now) {
    struct tm tm;
    gmtime_r(&now.tv_sec, &tm);
    size_t used = strftime(line, 64, as_json ? "{\"ts\":\"%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &tm);
    return used + (size_t)snprintf(line + used, 16, ".%03ld%s", now.tv_nsec / 1000000, as_json ? "Z\"" : " ");
}

void log_text(int32_t level, const char *who, struct telex_bytes record, struct telex_bytes text) {
    if (level < threshold)
        return;
    if (level > TELEX_ERROR)
        level = TELEX_ERROR;
    char line[LINE_MAX_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    size_t used = put_stamp(line, now);
    used += (size_t)snprintf(line + used, 128, as_json ? ",\"level\":\"%s\",\"who\":\"%.64s\"" : "%-5s %.64s",
                             level_names[level], who);
    if (record.size) {
        used += (size_t)snprintf(line + used, 16, as_json ? ",\"record\":\"" : ": ");
        used = put_escaped(line, used, (const char *)record.data, record.size);
        if (as_json)
            line[used++] = '"';
    }
    used += (size_t)snprintf(line + used, 16, as_json ? ",\"text\":\"" : ": ");
    used = put_escaped(line, used, (const char *)text.data, text.size);
    used += (size_t)snprintf(line + used, 4, as_json ? "\"}\n" : "\n");
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}

void log_say(int32_t level, const char *who, const char *format, ...) {
    if (level < threshold)
        return;
    char text[LINE_MAX_BYTES / 2];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct telex_bytes none = {NULL, 0};
    struct telex_bytes said = {(const uint8_t *)text, n < 0                   ? 0
                                                      : n < (int)sizeof(text) ? (size_t)n
                                                                              : sizeof(text) - 1};
    log_text(level, who, none, said);
}
