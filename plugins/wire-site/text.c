/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - growing text, escapes, times. Nothing here knows what a page is. */
#include "text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <telex-sdk/id.h>

enum { DEPTH_MAX = 32, SLUG_MAX = 60 };
static const int64_t LAST_MS = 253402300799000; /* the end of the year 9999 */

static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

void text_add(struct text *text, const char *data, size_t bytes) {
    if (text->broken)
        return;
    if (text->room - text->bytes < bytes + 1) {
        size_t room = (text->bytes + bytes + 1) * 2;
        char *grown = room > bytes ? realloc(text->data, room) : NULL;
        if (!grown) {
            text->broken = true;
            return;
        }
        text->data = grown;
        text->room = room;
    }
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = '\0';
}

void text_finish(struct text *text) {
    free(text->data);
    memset(text, 0, sizeof(*text));
}

static void add_string(struct text *text, const char *string) {
    text_add(text, string, strlen(string));
}

static void add_escaped(struct text *text, const char *string) {
    for (;;) {
        size_t n = strcspn(string, "&<>\"'");
        text_add(text, string, n);
        string += n;
        switch (*string++) {
        case '&':
            add_string(text, "&amp;");
            break;
        case '<':
            add_string(text, "&lt;");
            break;
        case '>':
            add_string(text, "&gt;");
            break;
        case '"':
            add_string(text, "&#34;");
            break;
        case '\'':
            add_string(text, "&#39;");
            break;
        default:
            return;
        }
    }
}

static void break_down(int64_t ms, struct tm *tm) {
    if (ms < 0)
        ms = 0;
    if (ms > LAST_MS)
        ms = LAST_MS;
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, tm);
}

static void add_time(struct text *text, char form, int64_t ms) {
    char out[64];
    struct tm tm;
    break_down(ms, &tm);
    int year = tm.tm_year + 1900;
    if (form == 't')
        snprintf(out, sizeof(out), "%04d-%02d-%02dT%02d:%02d:%02dZ", year, tm.tm_mon + 1, tm.tm_mday,
                 tm.tm_hour, tm.tm_min, tm.tm_sec);
    else if (form == 'T')
        snprintf(out, sizeof(out), "%s, %02d %.3s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
                 months[tm.tm_mon], year, tm.tm_hour, tm.tm_min, tm.tm_sec);
    else if (form == 'D')
        snprintf(out, sizeof(out), "%d %s %d", tm.tm_mday, months[tm.tm_mon], year);
    else
        snprintf(out, sizeof(out), "%02d:%02d", tm.tm_hour, tm.tm_min);
    add_string(text, out);
}

void text_day(int64_t ms, char out[16]) {
    struct tm tm;
    break_down(ms, &tm);
    snprintf(out, 16, "%04u-%02u-%02u", (unsigned)(tm.tm_year + 1900) % 10000u,
             (unsigned)(tm.tm_mon + 1) % 100u, (unsigned)tm.tm_mday % 100u);
}

void text_put(struct text *text, const char *format, ...) {
    va_list args;
    char number[24];
    const char *string;
    va_start(args, format);
    while (*format) {
        size_t n = strcspn(format, "%");
        text_add(text, format, n);
        format += n;
        if (!*format)
            break;
        switch (format[1]) {
        case 'h':
            string = va_arg(args, const char *);
            add_escaped(text, string ? string : "");
            break;
        case 'u':
            string = va_arg(args, const char *);
            add_escaped(text, string && text_is_web_address(string) ? string : "#");
            break;
        case 'r':
            string = va_arg(args, const char *);
            add_string(text, string ? string : "");
            break;
        case 'd':
            snprintf(number, sizeof(number), "%lld", (long long)va_arg(args, int64_t));
            add_string(text, number);
            break;
        case '%':
            text_add(text, "%", 1);
            break;
        default:
            add_time(text, format[1], va_arg(args, int64_t));
        }
        format += 2;
    }
    va_end(args);
}

static int add_dumped(const char *data, size_t bytes, void *ctx) {
    text_add(ctx, data, bytes);
    return ((struct text *)ctx)->broken ? -1 : 0;
}

void text_json(struct text *text, const json_t *value, bool in_script, bool line) {
    struct text plain = {0};
    if (json_dump_callback(value, add_dumped, &plain, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        text->broken = true;
    const char *rest = plain.data ? plain.data : "";
    while (*rest) {
        size_t n = in_script ? strcspn(rest, "<>&") : plain.bytes;
        text_add(text, rest, n);
        rest += n;
        if (*rest) {
            char code[8];
            snprintf(code, sizeof(code), "\\u%04x", (unsigned)(unsigned char)*rest++);
            add_string(text, code);
        }
    }
    if (line)
        text_add(text, "\n", 1);
    text_finish(&plain);
}

/* --- cleaning ------------------------------------------------------------------------------ */

/* Bytes of the UTF-8 character at p, its code point in *code. jansson has checked the encoding. */
static size_t read_character(const unsigned char *p, uint32_t *code) {
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    if (p[0] < 0xe0) {
        *code = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
        return 2;
    }
    if (p[0] < 0xf0) {
        *code = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
        return 3;
    }
    *code = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    return 4;
}

/* Zero-width joiners stay: Persian, Indic scripts and emoji need them. */
static bool is_unfit(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x061c || c == 0x180e || c == 0x200b ||
           c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xfdd0 && c <= 0xfdef) ||
           (c & 0xfffe) == 0xfffe || (c >= 0xe0000 && c <= 0xe007f);
}

static json_t *clean_string(const char *text, size_t bytes) {
    char *out = malloc(bytes + 1);
    size_t n = 0;
    bool space_due = false;
    if (!out)
        return NULL;
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t step = read_character((const unsigned char *)text + i, &code);
        if (code == ' ' || (code >= 9 && code <= 13) || code == 0x2028 || code == 0x2029)
            space_due = n > 0;
        else if (!is_unfit(code)) {
            if (space_due)
                out[n++] = ' ';
            space_due = false;
            memcpy(out + n, text + i, step);
            n += step;
        }
        i += step;
    }
    json_t *clean = json_stringn(out, n);
    free(out);
    return clean;
}

static json_t *clean_value(const json_t *value, int depth) {
    json_t *copy = NULL, *member;
    const char *key;
    size_t i;
    if (depth > DEPTH_MAX)
        return NULL;
    if (json_is_string(value))
        return clean_string(json_string_value(value), json_string_length(value));
    if (json_is_array(value)) {
        copy = json_array();
        json_array_foreach(value, i, member) {
            if (json_array_append_new(copy, clean_value(member, depth + 1)) != 0)
                goto undo_copy;
        }
        return copy;
    }
    if (json_is_object(value)) {
        copy = json_object();
        json_object_foreach((json_t *)(uintptr_t)value, key, member) {
            if (json_object_set_new(copy, key, clean_value(member, depth + 1)) != 0)
                goto undo_copy;
        }
        return copy;
    }
    return json_copy((json_t *)(uintptr_t)value);
undo_copy:
    json_decref(copy);
    return NULL;
}

json_t *text_clean_json(const json_t *value) {
    return clean_value(value, 0);
}

/* --- addresses and names ------------------------------------------------------------------- */

bool text_is_web_address(const char *text) {
    size_t scheme = strncasecmp(text, "https://", 8) == 0 ? 8 : strncasecmp(text, "http://", 7) == 0 ? 7 : 0;
    if (!scheme ||
        !(isalnum((unsigned char)text[scheme]) || text[scheme] == '[' || (unsigned char)text[scheme] >= 0x80))
        return false;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p <= 0x20 || *p == 0x7f || strchr("\"'<>\\^`{|}", *p))
            return false;
    return true;
}

void text_host(const char *address, char *out, size_t out_bytes) {
    const char *start = strstr(address, "://");
    start = start ? start + 3 : address;
    size_t n = strcspn(start, "/?#");
    for (size_t i = 0; i < n; i++)
        if (start[i] == '@') {
            start += i + 1;
            n -= i + 1;
            i = (size_t)-1;
        }
    size_t host = start[0] == '[' ? strcspn(start, "]") + 1 : strcspn(start, ":/?#");
    if (host < n)
        n = host;
    if (n > 4 && strncasecmp(start, "www.", 4) == 0) {
        start += 4;
        n -= 4;
    }
    if (n >= out_bytes) { /* cut between characters */
        n = out_bytes - 1;
        while (n > 0 && ((unsigned char)start[n] & 0xc0) == 0x80)
            n--;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (char)((unsigned char)start[i] < 0x80 ? tolower((unsigned char)start[i]) : start[i]);
    out[n] = '\0';
}

void text_slug(const char *name, char out[64]) {
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)name; *p && n < SLUG_MAX; p++) {
        if (*p < 0x80 && isalnum(*p))
            out[n++] = (char)tolower(*p);
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    out[n] = '\0';
    if (n > 0)
        return;
    char digest[65];
    telex_sha256_hex(digest, (struct telex_bytes){(const uint8_t *)name, strlen(name)});
    snprintf(out, 64, "x-%.12s", digest);
}

char *text_clip(const char *text, size_t max) {
    size_t characters = 0, bytes = 0, word_end = 0;
    while (text[bytes] && characters <= max) {
        if (text[bytes] == ' ')
            word_end = bytes;
        bytes++;
        while (((unsigned char)text[bytes] & 0xc0) == 0x80)
            bytes++;
        characters++;
    }
    if (!text[bytes] && characters <= max)
        return strdup(text);
    if (word_end > 0)
        bytes = word_end;
    char *clipped = malloc(bytes + 4);
    if (!clipped)
        return NULL;
    memcpy(clipped, text, bytes);
    memcpy(clipped + bytes, "\xe2\x80\xa6", 4);
    return clipped;
}
