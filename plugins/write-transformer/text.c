/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - a record's text made safe to read, without moving a byte.
 *
 * The mask has the record's length at all times; blanking writes gaps over whole characters, which read as
 * white space. The byte MARK stands where a chat-template token was, so that its sentence is known as
 * tainted. */
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MARK            '\x01'
#define GAP             TEXT_GAP
#define TAG_MAX_BYTES   400
#define TOKEN_MAX_BYTES 48
#define WORD_MAX_BYTES  40

static const char *const html_tags[] = {
    "a",      "abbr",   "article", "aside",  "b",   "blockquote", "body", "br",    "button", "caption",
    "center", "cite",   "code",    "dd",     "del", "div",        "dl",   "dt",    "em",     "embed",
    "figure", "font",   "footer",  "form",   "h1",  "h2",         "h3",   "h4",    "h5",     "h6",
    "header", "hr",     "html",    "i",      "img", "input",      "ins",  "li",    "link",   "main",
    "meta",   "nav",    "object",  "ol",     "p",   "path",       "pre",  "q",     "s",      "section",
    "small",  "source", "span",    "strong", "sub", "sup",        "svg",  "table", "tbody",  "td",
    "th",     "time",   "tr",      "u",      "ul",  "video",
};
static const char *const unread_tags[] = {"script",   "style", "head",   "noscript", "template",
                                          "textarea", "title", "iframe", "select"};
static const char *const chat_tags[] = {"start_of_turn", "end_of_turn", "bos",      "eos",
                                        "pad",           "unk",         "think",    "system",
                                        "user",          "assistant",   "tool_call"};
static const char *const chat_words[] = {"[INST]",       "[/INST]",         "<<SYS>>",     "<</SYS>>",
                                         "[TOOL_CALLS]", "### Instruction", "### Response"};
static const char *const hiding[] = {
    "display:none", "display: none", "visibility:hidden", "visibility: hidden", "font-size:0",
    "font-size: 0", "opacity:0",     "opacity: 0",        "aria-hidden=\"true", " hidden",
    "color:#fff",   "color: #fff",   "color:white",       "color: white"};
static const char *const orders[] = {
    "ignore the above",
    "ignore all",
    "ignore previous",
    "ignore any",
    "previous instruction",
    "prior instruction",
    "above instruction",
    "system prompt",
    "new instruction",
    "your instruction",
    "these instruction",
    "you are now",
    "you must",
    "end of source",
    "end of record",
    "disregard the above",
    "disregard all",
    "disregard previous",
    "quote this as",
    "write that",
    "instead write",
    "respond with",
    "respond only",
    "output only",
    "output the",
    "print the following",
    "do not mention",
    "do not cite",
    "developer mode",
    "jailbreak",
    "im_start",
    "im_end",
    "endoftext",
    "eot_id",
    "base64",
    "rot13",
    "fact-check gate",
};
static const char *const order_verbs[] = {"assistant", "forget", "ignore",  "output", "pretend",
                                          "print",     "repeat", "respond", "reveal", "system",
                                          "translate", "user",   "write"};

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

size_t text_char(const char *text, size_t len, uint32_t *code) {
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = len == 0                      ? 0
               : s[0] < 0x80                 ? 1
               : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
               : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
               : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                             : 0;
    if (n == 0 || n > len)
        return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0;
    *code = c;
    return n;
}

static bool is_invisible(uint32_t c) {
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0) || c == 0xAD ||
           (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
           c == 0xFEFF || (c >= 0xFE00 && c <= 0xFE0F) || (c >= 0xFFF0 && c <= 0xFFFD) ||
           (c >= 0xE0000 && c <= 0xE0FFF) || c == 0x061C || c == 0x180E;
}

static void blank(char *mask, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        if (mask[i] != '\n')
            mask[i] = GAP;
}

/* Blank what no reader sees. A quotation mark between two letters is a mistyped apostrophe. */
static uint32_t blank_invisible(char *mask, size_t len) {
    uint32_t n_hidden = 0;
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t n = text_char(mask + i, len - i, &code);
        if (n == 0 || is_invisible(code)) {
            n_hidden += code >= 0xE0000;
            blank(mask, i, i + (n ? n : 1));
        } else if (code == '"' && i > 0 && i + 1 < len && is_letter(mask[i - 1]) && is_letter(mask[i + 1])) {
            mask[i] = '\'';
        }
        i += n ? n : 1;
    }
    return n_hidden;
}

/* Length of a tag opener ("<" or "&lt;") or closer at `i`, 0 if there is none. */
static size_t bracket(const char *mask, size_t len, size_t i, char which) {
    if (mask[i] == which)
        return 1;
    const char *entity = which == '<' ? "&lt;" : "&gt;";
    return len - i >= 4 && strncasecmp(mask + i, entity, 4) == 0 ? 4 : 0;
}

static bool listed(const char *const *list, size_t n, const char *name, size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == len && strncasecmp(list[i], name, len) == 0)
            return true;
    return false;
}
#define LISTED(list, name, len) listed(list, sizeof(list) / sizeof((list)[0]), name, len)

/* First place of `needle` without regard to case in [from, len), or len. */
static size_t find(const char *mask, size_t len, size_t from, const char *needle) {
    size_t n = strlen(needle);
    for (size_t i = from; i + n <= len; i++)
        if (strncasecmp(mask + i, needle, n) == 0)
            return i;
    return len;
}

static bool has_hiding(const char *mask, size_t from, size_t to) {
    for (size_t i = 0; i < sizeof(hiding) / sizeof(hiding[0]); i++)
        if (find(mask, to, from, hiding[i]) < to)
            return true;
    return false;
}

/* The end of the element `name` whose opening tag ends at `from`: behind its closing tag, or the end. */
static size_t element_end(const char *mask, size_t len, size_t from, const char *name, size_t name_len) {
    for (size_t i = from; i < len; i++) {
        size_t open = bracket(mask, len, i, '<');
        if (!open || i + open + 1 + name_len > len || mask[i + open] != '/' ||
            strncasecmp(mask + i + open + 1, name, name_len) != 0)
            continue;
        for (size_t j = i; j < len; j++) {
            size_t close = bracket(mask, len, j, '>');
            if (close)
                return j + close;
        }
        return len;
    }
    return len;
}

/* "<MHS>", "<BK.N>": an exchange's short name, no word of the sentence. */
static bool is_ticker(const char *name, size_t len) {
    if (len > 9)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!((name[i] >= 'A' && name[i] <= 'Z') || name[i] == '.' || name[i] == '-'))
            return false;
    return len > 0;
}

/* Blank one "<...>" that opens at `i`. Returns the offset to go on from. */
static size_t blank_tag(char *mask, size_t len, size_t i, uint32_t *n_hidden) {
    size_t open = bracket(mask, len, i, '<'), in = i + open, end = in, close = 0;
    if (in + 3 <= len && strncmp(mask + in, "!--", 3) == 0) {
        end = find(mask, len, in, "--");
        end = find(mask, len, in + 3, "-->");
        end = end < len ? end + 3 : len;
        *n_hidden += 1;
        blank(mask, i, end);
        return end;
    }
    while (end < len && end - in < TAG_MAX_BYTES && !(close = bracket(mask, len, end, '>')))
        end++;
    if (!close) {
        blank(mask, i, in);
        return in;
    }
    size_t name = in + (in < end && (mask[in] == '/' || mask[in] == '!' || mask[in] == '?'));
    size_t name_end = name;
    while (name_end < end && (is_letter(mask[name_end]) || mask[name_end] == '_' ||
                              (mask[name_end] >= '0' && mask[name_end] <= '9')))
        name_end++;
    size_t name_len = name_end - name;
    if (mask[in] == '|' || LISTED(chat_tags, mask + name, name_len)) {
        blank(mask, i, end + close);
        mask[i] = MARK;
        *n_hidden += 1;
        return end + close;
    }
    bool closing = mask[in] == '/';
    if (LISTED(unread_tags, mask + name, name_len) || LISTED(html_tags, mask + name, name_len)) {
        size_t to = end + close;
        if (!closing && (LISTED(unread_tags, mask + name, name_len) || has_hiding(mask, name_end, end))) {
            to = element_end(mask, len, to, mask + name, name_len);
            *n_hidden += 1;
        }
        blank(mask, i, to);
        return to;
    }
    if (is_ticker(mask + in, end - in))
        blank(mask, in, end);
    blank(mask, i, in);
    blank(mask, end, end + close);
    return in;
}

static uint32_t blank_chat_words(char *mask, size_t len) {
    uint32_t n_hidden = 0;
    for (size_t w = 0; w < sizeof(chat_words) / sizeof(chat_words[0]); w++) {
        for (size_t at = 0; (at = find(mask, len, at, chat_words[w])) < len; n_hidden++) {
            blank(mask, at, at + strlen(chat_words[w]));
            mask[at] = MARK;
        }
    }
    return n_hidden;
}

char *text_mask(struct arena *arena, const char *raw, size_t len, uint32_t *n_hidden) {
    uint32_t n = 0;
    char *mask = arena_copy(arena, raw, len);
    if (!mask)
        return NULL;
    n += blank_invisible(mask, len);
    n += blank_chat_words(mask, len);
    for (size_t i = 0; i < len;) {
        size_t open = bracket(mask, len, i, '<');
        i = open ? blank_tag(mask, len, i, &n) : i + 1;
    }
    if (n_hidden)
        *n_hidden = n;
    return mask;
}

struct entity {
    const char *name, *text;
};
static const struct entity entities[] = {
    {"&amp;", "&"},   {"&lt;", " "},      {"&gt;", " "},     {"&quot;", "\""},
    {"&apos;", "'"},  {"&#39;", "'"},     {"&#34;", "\""},   {"&nbsp;", " "},
    {"&#38;", "&"},   {"&mdash;", " - "}, {"&ndash;", "-"},  {"&rsquo;", "'"},
    {"&lsquo;", "'"}, {"&rdquo;", "\""},  {"&ldquo;", "\""}, {"&hellip;", "..."}};

static const char *plain_of(uint32_t code) {
    switch (code) {
    case 0x2018:
    case 0x2019:
    case 0x201B:
    case 0x2032:
    case 0x02BC:
        return "'";
    case 0x201C:
    case 0x201D:
    case 0x201E:
    case 0x201F:
    case 0x2033:
    case 0xAB:
    case 0xBB:
        return "\"";
    case 0x2010:
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2212:
        return "-";
    case 0x2014:
    case 0x2015:
        return " - ";
    case 0x2026:
        return "...";
    case 0xA0:
    case 0x2002:
    case 0x2003:
    case 0x2007:
    case 0x2009:
    case 0x202F:
    case 0x3000:
    case GAP:
    case '\n':
    case '\t':
        return " ";
    default:
        return NULL;
    }
}

/* The plain form of what stands at `text`; sets how many bytes it took. NULL: those bytes as they are. */
static const char *plain_at(const char *text, size_t len, size_t *taken) {
    for (size_t e = 0; text[0] == '&' && e < sizeof(entities) / sizeof(entities[0]); e++) {
        size_t n = strlen(entities[e].name);
        if (n <= len && strncasecmp(text, entities[e].name, n) == 0) {
            *taken = n;
            return entities[e].text;
        }
    }
    uint32_t code = 0;
    *taken = text_char(text, len, &code);
    if (*taken == 0) {
        *taken = 1;
        return "";
    }
    return plain_of(code);
}

char *text_clean(struct arena *arena, const char *mask, struct text_range range) {
    size_t len = range.end - range.start, at = 0;
    char *out = arena_alloc(arena, len * 3 + 1);
    if (!out)
        return NULL;
    const char *text = mask + range.start;
    for (size_t i = 0, taken = 0; i < len; i += taken) {
        const char *plain = plain_at(text + i, len - i, &taken);
        size_t n = plain ? strlen(plain) : taken;
        for (size_t k = 0; k < n; k++) {
            char c = plain ? plain[k] : text[i + k];
            if (c == ' ' && (at == 0 || out[at - 1] == ' '))
                continue;
            bool closes = (c == ',' || c == ';' || c == ')' ||
                           (c == '.' && i + 1 < len && text[i + 1] != '.') || (c == '.' && i + 1 == len)) &&
                          at > 1 && out[at - 1] == ' ' && out[at - 2] != '.';
            if (closes)
                at--; /* a ticker stood there */
            out[at++] = c;
        }
    }
    while (at > 0 && out[at - 1] == ' ')
        at--;
    out[at] = '\0';
    return out;
}

/* Latin beside Cyrillic or Greek in one word, or letters drawn wide: made to look like another word. */
static bool mixes_scripts(const char *clean) {
    bool latin = false, other = false;
    size_t len = strlen(clean);
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t n = text_char(clean + i, len - i, &code);
        if (code == ' ')
            latin = other = false;
        latin |= code < 0x80 && is_letter((char)code);
        other |= (code >= 0x370 && code < 0x530) || (code >= 0xFF21 && code <= 0xFF5A) ||
                 (code >= 0x1D400 && code < 0x1D800);
        if (latin && other)
            return true;
        i += n ? n : 1;
    }
    return false;
}

static bool has_long_word(const char *clean) {
    size_t run = 0;
    for (const char *c = clean; *c; c++) {
        run = *c == ' ' ? 0 : run + 1;
        if (run > WORD_MAX_BYTES)
            return true;
    }
    return false;
}

/* "you" and "your" outside quotation marks: a record that talks to its reader, or to a model. */
static bool speaks_to_reader(const char *clean) {
    bool quoted = false;
    for (const char *c = clean; *c; c++) {
        if (*c == '"')
            quoted = !quoted;
        bool at_word = c == clean || !is_letter(c[-1]);
        if (quoted || !at_word || strncasecmp(c, "you", 3) != 0)
            continue;
        if (!is_letter(c[3]) || (strncasecmp(c, "your", 4) == 0 && !is_letter(c[4])))
            return true;
    }
    return false;
}

const char *text_taint(const char *clean) {
    if (strchr(clean, MARK) || strstr(clean, "<|") || strstr(clean, "|>"))
        return "chat-template token";
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        if (strcasestr(clean, orders[i]))
            return "order to a model";
    size_t first = strcspn(clean, " :,.");
    if (LISTED(order_verbs, clean, first))
        return "order to a model";
    if (speaks_to_reader(clean))
        return "speaks to its reader";
    if (mixes_scripts(clean))
        return "mixed scripts";
    if (has_long_word(clean))
        return "unreadable run of characters";
    return NULL;
}
