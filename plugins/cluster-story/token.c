/* SPDX-License-Identifier: Apache-2.0 */
/* token.c - bytes to folded words.
 *
 * One pass cuts runs of letters and digits and notes what stood between them; a second joins pieces that
 * belong together. A token's text is followed by one spare byte, so that "3" "5" becomes "3.5" in place. */
#include "token.h"

#include <string.h>

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "words.h"

struct reader {
    struct token_list *list;
    struct token token; /* the one being read */
    bool open;
    bool start;  /* the next token begins a sentence */
    uint8_t gap; /* seen since the last token */
    bool spaced; /* the last separator was a space */
};

static bool ideographic(ucs4_t c) {
    return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0x20000 && c <= 0x3ffff);
}

static void close_token(struct reader *reader) {
    if (!reader->open)
        return;
    struct token_list *list = reader->list;
    struct token *token = &reader->token;
    reader->open = false;
    const char *text = list->text + token->at;
    if (token->len > 2 && text[token->len - 1] == 's' && text[token->len - 2] == '\'') {
        token->len -= 2; /* the possessive */
    } else if (text[token->len - 1] == '\'') {
        token->len -= 1;
    }
    if (token->len == 0)
        return;
    list->used = token->at + token->len + 1u;
    list->tokens[list->n++] = *token;
    reader->gap = 0;
    reader->start = false;
}

/* Append one folded code point to the open token, opening one if need be. */
static void put_letter(struct reader *reader, ucs4_t folded, bool upper, bool digit) {
    struct token_list *list = reader->list;
    struct token *token = &reader->token;
    if (!reader->open) {
        if (list->n == TOKENS_MAX || list->used + TOKEN_BYTES_MAX + 8 > TOKEN_TEXT_BYTES)
            return;
        *token = (struct token){.at = (uint16_t)list->used, .gap = reader->gap};
        token->flags = (upper ? TOKEN_CAP | TOKEN_UPPER : 0) | (digit ? TOKEN_DIGIT : 0) |
                       (reader->start ? TOKEN_START : 0);
        reader->open = true;
    } else if (!digit && !upper) {
        token->flags &= (uint8_t)~TOKEN_UPPER;
    }
    if (digit ? (token->flags & TOKEN_ALPHA) != 0 : (token->flags & TOKEN_DIGIT) != 0)
        token->flags |= TOKEN_MIXED;
    if (!digit)
        token->flags |= TOKEN_ALPHA;
    if (token->len + 4 > TOKEN_BYTES_MAX)
        return;
    char *out = list->text + token->at + token->len;
    if (folded < 0x80) {
        *out = (char)folded;
        token->len++;
    } else {
        int n = u8_uctomb((uint8_t *)out, folded, 4);
        token->len = (uint8_t)(token->len + (n > 0 ? n : 0));
    }
}

static void put_ideograph(struct reader *reader, ucs4_t c) {
    close_token(reader);
    put_letter(reader, c, false, false);
    if (reader->open)
        reader->token.flags |= TOKEN_IDEO;
    close_token(reader);
}

static uint8_t gap_of(ucs4_t c) {
    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case 0xa0:
    case 0x202f:
        return GAP_SPACE;
    case '.':
        return GAP_DOT;
    case ',':
        return GAP_COMMA;
    case '&':
        return GAP_AMP;
    case '-':
    case 0x2010:
    case 0x2011:
        return GAP_HYPHEN;
    case '$':
    case 0xa3:
    case 0xa5:
    case 0x20ac:
    case 0x20b9:
        return GAP_MONEY;
    case '|':
    case 0x2013:
    case 0x2014:
        return GAP_BAR;
    default:
        return GAP_BREAK;
    }
}

static void put_separator(struct reader *reader, ucs4_t c) {
    struct token_list *list = reader->list;
    close_token(reader);
    if (c == '%' && list->n && !(reader->gap & ~GAP_SPACE)) {
        list->tokens[list->n - 1].percent = 1;
        return;
    }
    uint8_t gap = gap_of(c);
    if (gap == GAP_SPACE && (reader->gap & GAP_HYPHEN) && reader->spaced)
        reader->gap |= GAP_BAR; /* " - " */
    if (gap == GAP_SPACE && (reader->gap & GAP_DOT))
        reader->start = true;
    if (c == '!' || c == '?' || c == ':' || c == '"' || c == 0x201c)
        reader->start = true;
    if (gap == GAP_SPACE)
        reader->spaced = true;
    else if (gap != GAP_HYPHEN)
        reader->spaced = false;
    reader->gap |= gap;
}

/* The base letter of an accented one; the letter itself otherwise. */
static ucs4_t base_letter(ucs4_t c) {
    ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
    if (c > 0x24f && !(c >= 0x1e00 && c <= 0x1eff))
        return c;
    int n = uc_canonical_decomposition(c, parts);
    if (n <= 0)
        return c;
    return parts[0] < 0x80 ? parts[0] : base_letter(parts[0]);
}

static void put_wide(struct reader *reader, ucs4_t c) {
    if (c == 0x2019 || c == 0x2018) {
        if (reader->open && reader->token.len + 4 <= TOKEN_BYTES_MAX)
            reader->list->text[reader->token.at + reader->token.len++] = '\'';
        return;
    }
    if (c == 0xad || c == 0x200b || c == 0xfeff || (c >= 0x300 && c <= 0x36f))
        return; /* soft hyphen, zero width, combining mark */
    if (ideographic(c)) {
        put_ideograph(reader, c);
    } else if (uc_is_alpha(c) || uc_is_property_ideographic(c)) {
        put_letter(reader, base_letter(uc_tolower(c)), uc_is_upper(c), false);
    } else {
        int digit = uc_digit_value(c);
        if (digit >= 0 && digit <= 9 && uc_is_digit(c))
            put_letter(reader, (ucs4_t)('0' + digit), false, true);
        else if (uc_is_general_category(c, UC_CATEGORY_M) && reader->open)
            put_letter(reader, c, false, false); /* vowel signs of Indic scripts */
        else
            put_separator(reader, c);
    }
}

/* Drop apostrophes inside words and mark stop words, once the shape of each token is settled. */
static void finish_tokens(struct token_list *list) {
    for (uint32_t i = 0; i < list->n; i++) {
        struct token *token = &list->tokens[i];
        char *text = list->text + token->at;
        uint8_t kept = 0;
        for (uint8_t k = 0; k < token->len; k++) {
            if (text[k] != '\'')
                text[kept++] = text[k];
        }
        token->len = kept;
        token->hash = text_hash(text, kept);
        token->sorts = (uint16_t)words_sorts(token->hash);
        if (token->sorts & WORD_STOP)
            token->flags |= TOKEN_STOP;
    }
}

static bool digits_only(const struct token *token) {
    return (token->flags & (TOKEN_DIGIT | TOKEN_ALPHA)) == TOKEN_DIGIT;
}

static bool single_letter(const struct token *token) {
    return token->len == 1 && (token->flags & TOKEN_ALPHA) && !(token->flags & TOKEN_IDEO);
}

/* Whether `next` continues `token`: 1,000 · 3.5 · 140.5B · U.S. · S&P. Sets *joint to the byte between, or 0.
 */
static bool continues(const struct token_list *list, const struct token *token, const struct token *next,
                      char *joint, bool joined_letters) {
    uint8_t mark = next->gap & (uint8_t)~GAP_SPACE;
    *joint = 0;
    if (digits_only(token) && (next->flags & TOKEN_DIGIT)) {
        const char *text = list->text + token->at;
        bool has_point = memchr(text, '.', token->len) != NULL;
        if (mark == GAP_COMMA && next->len == 3 && digits_only(next) && token->len <= 15 && !has_point)
            return true;
        *joint = '.';
        return mark == GAP_DOT && !has_point && !token->percent && next->len <= 8;
    }
    return (joined_letters || single_letter(token)) && single_letter(next) &&
           (mark == GAP_DOT || mark == GAP_AMP);
}

static void join_pieces(struct token_list *list) {
    uint32_t out = 0;
    bool joined_letters = false;
    for (uint32_t i = 0; i < list->n; i++) {
        struct token *next = &list->tokens[i];
        struct token *last = out ? &list->tokens[out - 1] : NULL;
        char joint;
        if (last && last->len + next->len + 1 < TOKEN_BYTES_MAX &&
            continues(list, last, next, &joint, joined_letters)) {
            joined_letters = single_letter(next);
            if (joint)
                list->text[last->at + last->len++] = joint;
            memmove(list->text + last->at + last->len, list->text + next->at, next->len);
            last->len = (uint8_t)(last->len + next->len);
            last->flags |= (uint8_t)(next->flags & (TOKEN_ALPHA | TOKEN_MIXED));
            if ((last->flags & TOKEN_DIGIT) && (last->flags & TOKEN_ALPHA))
                last->flags |= TOKEN_MIXED;
            last->percent |= next->percent;
            continue;
        }
        joined_letters = false;
        list->tokens[out++] = *next;
    }
    list->n = out;
}

/* "U.S." must not fold into the pronoun. */
static void name_countries(struct token_list *list) {
    for (uint32_t i = 0; i < list->n; i++) {
        struct token *token = &list->tokens[i];
        char *text = list->text + token->at;
        bool upper = token->flags & TOKEN_UPPER || token->flags & TOKEN_CAP;
        if (token->len == 2 && upper && memcmp(text, "us", 2) == 0 && (token->flags & TOKEN_UPPER)) {
            text[2] = 'a'; /* the spare byte */
            token->len = 3;
        }
    }
}

void token_list_read(struct token_list *list, struct text_slice text) {
    struct reader reader = {.list = list, .start = true};
    list->n = list->used = 0;
    for (size_t i = 0; i < text.len && list->n < TOKENS_MAX;) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x80) {
            i++;
            if (c >= 'a' && c <= 'z')
                put_letter(&reader, c, false, false);
            else if (c >= 'A' && c <= 'Z')
                put_letter(&reader, c | 0x20, true, false);
            else if (c >= '0' && c <= '9')
                put_letter(&reader, c, false, true);
            else if (c == '\'' && reader.open && reader.token.len + 4 <= TOKEN_BYTES_MAX)
                list->text[reader.token.at + reader.token.len++] = '\'';
            else
                put_separator(&reader, c);
            continue;
        }
        ucs4_t wide;
        int n = u8_mbtoucr(&wide, (const uint8_t *)text.data + i, text.len - i);
        if (n <= 0) {
            put_separator(&reader, 0xfffd);
            i++;
            continue;
        }
        put_wide(&reader, wide);
        i += (size_t)n;
    }
    if (list->n < TOKENS_MAX)
        close_token(&reader);
    join_pieces(list);
    name_countries(list);
    finish_tokens(list);
}
