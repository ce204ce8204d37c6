/* SPDX-License-Identifier: Apache-2.0 */
/* charset.c - any document to UTF-8.
 *
 * Only encodings of the table are ever opened, so that a document's own words never choose code inside iconv.
 */
#include "charset.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>

#include "text.h"

#define LABEL_MAX   40
#define SNIFF_BYTES 1024

/* What documents say, and the superset in which the same bytes are really written. */
static const struct label {
    const char *label, *iconv;
} labels[] = {
    {"utf-8", "UTF-8"},
    {"utf8", "UTF-8"},
    {"unicode-1-1-utf-8", "UTF-8"},
    {"us-ascii", "WINDOWS-1252"},
    {"ascii", "WINDOWS-1252"},
    {"ansi_x3.4-1968", "WINDOWS-1252"},
    {"iso-8859-1", "WINDOWS-1252"},
    {"iso8859-1", "WINDOWS-1252"},
    {"iso_8859-1", "WINDOWS-1252"},
    {"latin1", "WINDOWS-1252"},
    {"latin-1", "WINDOWS-1252"},
    {"l1", "WINDOWS-1252"},
    {"windows-1252", "WINDOWS-1252"},
    {"cp1252", "WINDOWS-1252"},
    {"x-cp1252", "WINDOWS-1252"},
    {"iso-8859-2", "ISO-8859-2"},
    {"latin2", "ISO-8859-2"},
    {"iso-8859-3", "ISO-8859-3"},
    {"iso-8859-4", "ISO-8859-4"},
    {"iso-8859-5", "ISO-8859-5"},
    {"iso-8859-6", "ISO-8859-6"},
    {"iso-8859-7", "ISO-8859-7"},
    {"iso-8859-8", "ISO-8859-8"},
    {"iso-8859-8-i", "ISO-8859-8"},
    {"iso-8859-9", "WINDOWS-1254"},
    {"latin5", "WINDOWS-1254"},
    {"iso-8859-10", "ISO-8859-10"},
    {"iso-8859-13", "ISO-8859-13"},
    {"iso-8859-14", "ISO-8859-14"},
    {"iso-8859-15", "ISO-8859-15"},
    {"latin9", "ISO-8859-15"},
    {"iso-8859-16", "ISO-8859-16"},
    {"windows-1250", "WINDOWS-1250"},
    {"cp1250", "WINDOWS-1250"},
    {"windows-1251", "WINDOWS-1251"},
    {"cp1251", "WINDOWS-1251"},
    {"windows-1253", "WINDOWS-1253"},
    {"windows-1254", "WINDOWS-1254"},
    {"windows-1255", "WINDOWS-1255"},
    {"windows-1256", "WINDOWS-1256"},
    {"windows-1257", "WINDOWS-1257"},
    {"windows-1258", "WINDOWS-1258"},
    {"windows-874", "WINDOWS-874"},
    {"tis-620", "WINDOWS-874"},
    {"koi8-r", "KOI8-R"},
    {"koi8-u", "KOI8-U"},
    {"ibm866", "CP866"},
    {"cp866", "CP866"},
    {"ibm437", "CP437"},
    {"cp437", "CP437"},
    {"ibm850", "CP850"},
    {"cp850", "CP850"},
    {"macintosh", "MACINTOSH"},
    {"x-mac-roman", "MACINTOSH"},
    {"gb2312", "GB18030"},
    {"gbk", "GB18030"},
    {"cp936", "GB18030"},
    {"gb18030", "GB18030"},
    {"big5", "BIG5-HKSCS"},
    {"big5-hkscs", "BIG5-HKSCS"},
    {"euc-jp", "EUC-JP"},
    {"x-euc-jp", "EUC-JP"},
    {"shift_jis", "CP932"},
    {"shift-jis", "CP932"},
    {"sjis", "CP932"},
    {"x-sjis", "CP932"},
    {"windows-31j", "CP932"},
    {"iso-2022-jp", "ISO-2022-JP"},
    {"euc-kr", "CP949"},
    {"ks_c_5601-1987", "CP949"},
    {"cp949", "CP949"},
    {"utf-16", "UTF-16"},
    {"utf16", "UTF-16"},
    {"utf_16", "UTF-16"},
    {"u16", "UTF-16"},
    {"iso-10646-ucs-2", "UTF-16"},
    {"ucs-2", "UTF-16"},
    {"utf-16le", "UTF-16LE"},
    {"utf-16be", "UTF-16BE"},
    {"utf-32", "UTF-32"},
    {"utf_32", "UTF-32"},
    {"ucs-4", "UTF-32"},
    {"utf-32le", "UTF-32LE"},
    {"utf-32be", "UTF-32BE"},
};

/* windows-1252 from 0x80 to 0x9F; 0 is unassigned. */
static const uint16_t cp1252[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                    0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                    0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                    0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

static const char *iconv_name(const char *label, size_t n) {
    for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++)
        if (strlen(labels[i].label) == n && !strncasecmp(labels[i].label, label, n))
            return labels[i].iconv;
    return NULL;
}

/* The charset parameter of a Content-Type header. */
static const char *header_charset(const char *content_type) {
    const char *at = content_type ? strchr(content_type, ';') : NULL;
    while (at) {
        at++;
        while (*at == ' ' || *at == '\t')
            at++;
        if (!strncasecmp(at, "charset", 7)) {
            at += 7;
            at += strspn(at, " \t");
            if (*at == '=') {
                at++;
                at += strspn(at, " \t\"'");
                size_t n = strcspn(at, " \t\"';,");
                return n && n < LABEL_MAX ? iconv_name(at, n) : NULL;
            }
        }
        at = strchr(at, ';');
    }
    return NULL;
}

/* The encoding that the XML declaration names, read through zero bytes so that UTF-16 works too. */
static const char *declared_charset(const char *data, size_t n) {
    char head[SNIFF_BYTES + 1];
    size_t len = 0;
    for (size_t i = 0; i < n && i < sizeof(head) * 4 && len < SNIFF_BYTES; i++)
        if (data[i])
            head[len++] = data[i];
    head[len] = 0;
    const char *start = strstr(head, "<?xml"), *end = start ? strstr(start, "?>") : NULL;
    const char *at = start ? strstr(start, "encoding") : NULL;
    if (!at || !end || at > end)
        return NULL;
    at += 8;
    at += strspn(at, " \t\r\n=\"'");
    size_t len_label = strcspn(at, " \t\r\n\"'?>");
    return len_label && len_label < LABEL_MAX ? iconv_name(at, len_label) : NULL;
}

/* UTF-16 and UTF-32 show themselves by where the zero bytes of the first '<' are. */
static const char *shape_charset(const unsigned char *p, size_t n) {
    if (n >= 4 && p[0] == '<' && !p[1] && !p[2] && !p[3])
        return "UTF-32LE";
    if (n >= 4 && !p[0] && !p[1] && !p[2] && p[3] == '<')
        return "UTF-32BE";
    if (n >= 4 && p[0] == '<' && !p[1] && p[2] && !p[3])
        return "UTF-16LE";
    if (n >= 4 && !p[0] && p[1] == '<' && !p[2] && p[3])
        return "UTF-16BE";
    return NULL;
}

static const char *mark_charset(const unsigned char *p, size_t n, size_t *skip) {
    *skip = 0;
    if (n >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF) {
        *skip = 3;
        return "UTF-8";
    }
    if (n >= 4 && p[0] == 0xFF && p[1] == 0xFE && !p[2] && !p[3]) {
        *skip = 4;
        return "UTF-32LE";
    }
    if (n >= 4 && !p[0] && !p[1] && p[2] == 0xFE && p[3] == 0xFF) {
        *skip = 4;
        return "UTF-32BE";
    }
    if (n >= 2 && p[0] == 0xFF && p[1] == 0xFE) {
        *skip = 2;
        return "UTF-16LE";
    }
    if (n >= 2 && p[0] == 0xFE && p[1] == 0xFF) {
        *skip = 2;
        return "UTF-16BE";
    }
    return NULL;
}

/* The first byte from `at` that is no part of valid UTF-8, or `end`. */
static const char *valid_end(const char *at, const char *end) {
    while (at < end) {
        uint64_t low[2];
        while (end - at >= 16 && (memcpy(low, at, 16), !((low[0] | low[1]) & 0x8080808080808080ull)))
            at += 16;
        while (at < end && (unsigned char)*at < 0x80)
            at++;
        if (at == end)
            break;
        const char *was = at;
        if (text_rune(&at, end) == 0xFFFD && at - was == 1)
            return was;
    }
    return end;
}

/* UTF-8 with every byte that is not read as windows-1252: the mixture that old editors make. */
static bool add_utf8(struct buf *out, const char *data, size_t n) {
    const char *at = data, *end = data + n;
    bool repaired = false;
    buf_reserve(out, n);
    while (at < end) {
        const char *valid = valid_end(at, end);
        buf_add(out, at, (size_t)(valid - at));
        if (valid == end)
            break;
        unsigned char byte = (unsigned char)*valid;
        uint32_t rune = byte >= 0xA0 ? byte : cp1252[byte - 0x80];
        repaired = true;
        buf_add_rune(out, rune ? rune : 0xFFFD);
        at = valid + 1;
    }
    return repaired;
}

/* Read every byte from 0x80 on as windows-1252. How many of them it does not have; those stay what they are.
 */
static long add_latin(struct buf *out, const char *data, size_t n) {
    const char *at = data, *end = data + n;
    long bad = 0;
    buf_reserve(out, n + n / 16);
    while (at < end) {
        const char *from = at;
        while (at < end && (unsigned char)*at < 0x80)
            at++;
        buf_add(out, from, (size_t)(at - from));
        if (at == end)
            break;
        unsigned char byte = (unsigned char)*at++;
        uint32_t rune = byte >= 0xA0 ? byte : cp1252[byte - 0x80];
        bad += !rune;
        buf_add_rune(out, rune ? rune : byte);
    }
    return bad;
}

/* Convert; bytes that do not fit become U+FFFD. Returns how many did not, or -1 when the encoding is not
 * there. */
static long add_iconv(struct buf *out, const char *name, const char *data, size_t n) {
    if (!strcmp(name, "WINDOWS-1252"))
        return add_latin(out, data, n);
    iconv_t cd = iconv_open("UTF-8", name);
    if (cd == (iconv_t)-1)
        return -1;
    char chunk[4096], *in = (char *)(uintptr_t)data;
    size_t left = n;
    long bad = 0;
    while (left && !out->full) {
        char *to = chunk;
        size_t room = sizeof(chunk);
        size_t got = iconv(cd, &in, &left, &to, &room);
        int err = errno;
        buf_add(out, chunk, (size_t)(to - chunk));
        if (got != (size_t)-1 || err == E2BIG)
            continue;
        bad++;
        buf_add_rune(out, 0xFFFD);
        size_t step = !strncmp(name, "UTF-16", 6) ? 2 : !strncmp(name, "UTF-32", 6) ? 4 : 1;
        if (step > left)
            step = left;
        in += step;
        left -= step;
    }
    iconv_close(cd);
    return bad;
}

/* A name that says 16 or 32 bits for bytes without zeros is a name left over from another tool. */
static bool fits(const char *name, const char *data, size_t n) {
    bool wide = !strncmp(name, "UTF-16", 6) || !strncmp(name, "UTF-32", 6);
    size_t head = n < 64 ? n : 64;
    bool zeros = head && memchr(data, 0, head);
    return wide ? zeros : !zeros;
}

void charset_decode(struct buf *out, const char *data, size_t n, const char *content_type,
                    struct charset_result *result) {
    charset_view(out, data, n, content_type, result);
    if (result->as_is)
        buf_add(out, result->as_is, result->as_is_n);
}

void charset_view(struct buf *out, const char *data, size_t n, const char *content_type,
                  struct charset_result *result) {
    size_t skip = 0;
    *result = (struct charset_result){.name = "UTF-8"};
    const unsigned char *bytes = (const unsigned char *)data;
    const char *shape = shape_charset(bytes, n);
    const char *from_mark = mark_charset(bytes, n, &skip);
    const char *names[] = {from_mark, header_charset(content_type), declared_charset(data, n), shape,
                           "UTF-8"};
    data += skip;
    n -= skip;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *name = names[i];
        if (!name || (i && i < 4 && !fits(name, data, n)))
            continue;
        if (i && shape && (!strcmp(name, "UTF-16") || !strcmp(name, "UTF-32")))
            name = shape; /* which end comes first is seen, not said */
        size_t was = out->len;
        result->name = name;
        if (!strcmp(name, "UTF-8") && valid_end(data, data + n) == data + n) {
            result->as_is = data;
            result->as_is_n = n;
            return;
        }
        if (!strcmp(name, "UTF-8")) {
            result->repaired = add_utf8(out, data, n);
            bool believed = i == 4 || from_mark || !result->repaired;
            if (believed)
                return;
        } else {
            long bad = add_iconv(out, name, data, n);
            bool last = i == 0;
            if (bad == 0 || (bad > 0 && (last || (size_t)bad * 50 < n))) {
                result->repaired = bad > 0;
                return;
            }
        }
        out->len = was;
        out->full = false;
    }
}
