/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - one record's words as weighted terms.
 *
 * Order matters nowhere but in the array: terms stand in order of first appearance, so sums over them are the
 * same on every run. A term met in title and lead is one term with both weights. */
#include "text.h"

#include <ctype.h>
#include <string.h>

#include "number.h"
#include "token.h"
#include "words.h"

enum {
    SEEN_SLOTS = 512, /* power of two, over 2 * TEXT_TERMS_MAX */
    NAME_WORD_MAX = 6,
    OUTLET_WORD_MAX = 5,
    PER_MILLE_LETTER = 20, /* a lone letter: an initial, a list mark */
    TICKER_BYTES_MAX = 6,
    TITLE_BYTES_MAX = 512,
    WHOLE_BYTES_MAX = 64 << 10,
};

struct build {
    struct text_doc *doc;
    const struct text_rules *rules;
    uint8_t seen[SEEN_SLOTS]; /* index + 1 of a term in doc->terms */
    int simhash[64];
    bool bodied; /* a text follows the title: pairs tell where there are many words */
};

uint64_t text_hash(const void *data, size_t len) {
    const unsigned char *bytes = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    h ^= h >> 33;
    return h ? h : 1;
}

static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t both[2] = {a, b};
    return text_hash(both, sizeof(both));
}

/* Letters that English doubles before an ending: "planned", "cutting". */
static bool doubles(char c) {
    return c == 'b' || c == 'd' || c == 'f' || c == 'g' || c == 'm' || c == 'n' || c == 'p' || c == 'r' ||
           c == 't';
}

size_t text_stem(char *out, const char *word, size_t len) {
    memcpy(out, word, len);
    if (len > 4 && memcmp(out + len - 3, "ies", 3) == 0) {
        len -= 2;
        out[len - 1] = 'y';
    } else if (len > 3 && out[len - 1] == 's' && out[len - 2] != 's' && out[len - 2] != 'u' &&
               out[len - 2] != 'i') {
        len -= 1;
    }
    if (len > 5 && memcmp(out + len - 3, "ing", 3) == 0)
        len -= 3;
    else if (len > 4 && memcmp(out + len - 2, "ed", 2) == 0 && out[len - 3] != 'e')
        len -= 2;
    if (len > 3 && out[len - 1] == out[len - 2] && doubles(out[len - 1]))
        len -= 1;
    if (len > 3 && out[len - 1] == 'e')
        len -= 1;
    return len;
}

uint64_t text_word_hash(const char *word, size_t len, uint8_t *per_mille) {
    char form[TEXT_STEM_BYTES];
    size_t n = text_stem(form, word, len);
    uint64_t hash = words_known(text_hash(form, n), per_mille);
    if (n == 1 && (unsigned char)form[0] < 0x80)
        *per_mille = PER_MILLE_LETTER;
    return hash;
}

static void add_term(struct build *build, uint64_t hash, uint32_t weight, enum text_kind kind,
                     uint8_t per_mille, bool title, bool telling) {
    struct text_doc *doc = build->doc;
    if (weight == 0)
        return;
    uint32_t slot = (uint32_t)hash & (SEEN_SLOTS - 1);
    while (build->seen[slot]) {
        struct text_term *term = &doc->terms[build->seen[slot] - 1];
        if (term->hash == hash) {
            /* Said again: a little more, however often. */
            uint32_t more = title != (bool)term->title ? weight : weight / 4;
            uint32_t sum = term->weight + more;
            term->weight = (uint8_t)(sum > 4 * TEXT_WEIGHT_ONE ? term->weight : sum);
            return;
        }
        slot = (slot + 1) & (SEEN_SLOTS - 1);
    }
    if (doc->n_terms == TEXT_TERMS_MAX)
        return;
    doc->terms[doc->n_terms] = (struct text_term){.hash = hash,
                                                  .weight = (uint8_t)weight,
                                                  .kind = (uint8_t)kind,
                                                  .per_mille = per_mille,
                                                  .title = title,
                                                  .telling = title && telling};
    build->seen[slot] = (uint8_t)++doc->n_terms;
    doc->n_title_terms += title;
}

static void add_anchor(struct build *build, uint64_t subject, uint64_t value, bool strong) {
    struct text_doc *doc = build->doc;
    for (uint32_t i = 0; i < doc->n_anchors; i++) {
        if (doc->anchors[i].subject == subject && doc->anchors[i].value == value)
            return;
    }
    if (doc->n_anchors < TEXT_ANCHORS_MAX)
        doc->anchors[doc->n_anchors++] = (struct text_anchor){subject, value, strong};
}

bool text_title_case(const struct token_list *list) {
    uint32_t words = 0, capitals = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct token *token = &list->tokens[i];
        if (token->flags & (TOKEN_DIGIT | TOKEN_START | TOKEN_STOP))
            continue;
        words++;
        capitals += (token->flags & TOKEN_CAP) != 0;
    }
    return capitals * 10 > words * 6;
}

bool text_near(const struct token *token) {
    return !(token->gap & (GAP_BREAK | GAP_BAR | GAP_COMMA | GAP_MONEY)) &&
           !((token->gap & GAP_DOT) && (token->flags & TOKEN_START));
}

/* How many tokens from `i` on form a capitalised run; connectors count when a capital follows. */
static uint32_t name_run(const struct token_list *list, uint32_t i, uint32_t *words) {
    uint32_t end = i, n = 0;
    for (uint32_t k = i; k < list->n && n < NAME_WORD_MAX; k++) {
        const struct token *token = &list->tokens[k];
        if (k > i && !text_near(token))
            break;
        if ((token->flags & TOKEN_CAP) && !(token->flags & TOKEN_STOP)) {
            end = k + 1;
            n++;
        } else if (k == i || !(token->flags & TOKEN_STOP) || token->len > 3 || k > end) {
            break;
        }
    }
    *words = n;
    return end - i;
}

static uint32_t add_name(struct build *build, const struct token_list *list, uint32_t i, bool title) {
    uint32_t words, run = name_run(list, i, &words);
    if (words < 2)
        return 0;
    uint64_t hash = 0x6e616d65;
    for (uint32_t k = i; k < i + run; k++) {
        uint8_t per_mille;
        if (!(list->tokens[k].flags & TOKEN_STOP))
            hash = mix(hash, text_word_hash(token_text(list, k), list->tokens[k].len, &per_mille));
    }
    uint32_t weight = title ? build->rules->title_name : build->rules->lead_name;
    add_term(build, hash, build->rules->title_name ? weight : 0, TEXT_NAME, 0, title, false);
    return run;
}

/* Read the number at token `i`; gives the tokens it took, 0 when it is a word after all. */
static uint32_t add_number(struct build *build, const struct token_list *list, uint32_t i, bool title) {
    struct number number;
    uint32_t taken = number_read(list, i, &number);
    if (!taken)
        return 0;
    uint64_t value = mix(number.value, number.unit);
    uint32_t weight = title ? build->rules->title_number : build->rules->lead_number;
    if (number.kind == NUMBER_YEAR || number.kind == NUMBER_SMALL)
        weight /= 4;
    add_term(build, value, weight, TEXT_NUMBER, 0, title,
             number.kind != NUMBER_YEAR && number.kind != NUMBER_SMALL);
    if (number.kind == NUMBER_YEAR)
        return taken;
    uint8_t per_mille;
    if (number.kind == NUMBER_QUARTER) {
        add_anchor(build, number.unit, number.value, true);
    } else if (i > 0 && !number.unit && text_near(&list->tokens[i])) {
        const struct token *before = &list->tokens[i - 1];
        bool named = (before->flags & TOKEN_ALPHA) && !(before->flags & (TOKEN_DIGIT | TOKEN_STOP)) &&
                     list->tokens[i].gap == GAP_HYPHEN;
        if (named || (before->sorts & WORD_ORDINAL))
            add_anchor(build, text_word_hash(token_text(list, i - 1), before->len, &per_mille), number.value,
                       true);
    }
    if (number.unit && number.kind != NUMBER_QUARTER) {
        add_anchor(build, number.unit, number.value, false);
    } else if (i + taken < list->n && text_near(&list->tokens[i + taken])) {
        const struct token *after = &list->tokens[i + taken];
        if ((after->flags & TOKEN_ALPHA) && !(after->flags & TOKEN_STOP))
            add_anchor(build, text_word_hash(token_text(list, i + taken), after->len, &per_mille),
                       number.value, false);
    }
    return taken;
}

/* How many tokens at `i` are a ticker: $SNPS, or (NASDAQ: SNPS). It repeats the company's name and would
 * count it twice, which is what welds one stock's notices. */
static uint32_t ticker(const struct token_list *list, uint32_t i) {
    const struct token *token = &list->tokens[i];
    if ((token->gap & GAP_MONEY) && (token->flags & TOKEN_UPPER) && !(token->flags & TOKEN_DIGIT))
        return 1;
    if (!(token->sorts & WORD_EXCHANGE) || i + 1 == list->n)
        return 0;
    const struct token *next = &list->tokens[i + 1];
    return (next->gap & GAP_BREAK) && (next->flags & TOKEN_UPPER) && next->len <= TICKER_BYTES_MAX ? 2 : 0;
}

/* Where a field's words stand to names: whether capitals tell, and the run of them at hand. */
struct field {
    bool title, names;
    uint32_t name_start, name_end;
};

static uint32_t word_weight(const struct text_rules *rules, const struct token *token, uint32_t i,
                            const struct field *field, uint8_t per_mille) {
    uint32_t weight = field->title ? rules->title_word : rules->lead_word;
    if (!field->title && field->names && rules->lead_name && (token->flags & TOKEN_CAP) &&
        !(token->flags & TOKEN_START))
        weight = rules->lead_name;
    if (field->names && i > field->name_start && i < field->name_end && per_mille == 0)
        weight = weight * rules->name_rest / TEXT_WEIGHT_ONE;
    return weight;
}

/* The hash of what the words at `i` and `i` + 1 are together; 0: two words. */
static uint64_t compound(const struct token_list *list, uint32_t i, uint8_t *per_mille) {
    if (!(list->tokens[i].sorts & WORD_FIRST) || i + 1 >= list->n ||
        (list->tokens[i + 1].gap & (GAP_BREAK | GAP_COMMA)))
        return 0;
    const char *one = words_compound(token_text(list, i), list->tokens[i].len, token_text(list, i + 1),
                                     list->tokens[i + 1].len);
    if (!one)
        return 0;
    return words_known(text_hash(one, strlen(one)), per_mille);
}

/* Whether a word can be a name as it is written: in a title whose other words are small, a name is not. */
static bool may_name(const struct token *token, bool names) {
    return !names || (token->flags & (TOKEN_CAP | TOKEN_DIGIT | TOKEN_START)) != 0;
}

/* Terms of one field, tokens [from, to). */
static void read_field(struct build *build, const struct token_list *list, uint32_t from, uint32_t to,
                       bool title) {
    const struct text_rules *rules = build->rules;
    struct field field = {
        .title = title, .names = !text_title_case(list), .name_start = from, .name_end = from};
    uint64_t before = 0; /* the content word just before, for pairs */
    for (uint32_t i = from; i < to;) {
        const struct token *token = &list->tokens[i];
        if (token->flags & TOKEN_STOP) {
            before = 0;
            i++;
            continue;
        }
        uint32_t taken = ticker(list, i);
        taken = taken ? taken : add_number(build, list, i, title);
        if (taken) {
            before = 0;
            i += taken;
            continue;
        }
        if (field.names && i >= field.name_end && (token->flags & TOKEN_CAP)) {
            field.name_start = i;
            field.name_end = i + add_name(build, list, i, title);
        }
        uint8_t per_mille;
        uint64_t hash = compound(list, i, &per_mille);
        uint32_t step = hash ? 2 : 1;
        if (!hash)
            hash = text_word_hash(token_text(list, i), token->len, &per_mille);
        if (!(token->flags & TOKEN_IDEO))
            add_term(build, hash, word_weight(rules, token, i, &field, per_mille), TEXT_WORD, per_mille,
                     title, per_mille == 0 && may_name(token, field.names));
        if (before && text_near(token)) {
            uint32_t weight = !title ? rules->lead_pair : build->bodied ? rules->title_pair : 0;
            if (token->flags & TOKEN_IDEO)
                weight = title ? rules->title_word : rules->lead_word;
            if (weight)
                add_term(build, mix(before, hash), weight, TEXT_PAIR, 0, title, false);
        }
        before = hash;
        i += step;
    }
}

/* Whether tokens [from, to) spell the outlet's name: "The Motley Fool" for fool.com. */
static bool spells_outlet(const struct token_list *list, uint32_t from, uint32_t to,
                          struct text_slice outlet) {
    char name[OUTLET_WORD_MAX * TOKEN_BYTES_MAX + 1], host[64];
    size_t n = 0, h = 0;
    for (uint32_t i = from; i < to && i < from + OUTLET_WORD_MAX; i++) {
        memcpy(name + n, token_text(list, i), list->tokens[i].len);
        n += list->tokens[i].len;
    }
    name[n] = 0;
    for (size_t i = 0; i < outlet.len && outlet.data[i] != '.' && h + 1 < sizeof(host); i++) {
        if (isalnum((unsigned char)outlet.data[i]))
            host[h++] = (char)tolower((unsigned char)outlet.data[i]);
    }
    host[h] = 0;
    return n >= 3 && h >= 3 && (strstr(name, host) || strstr(host, name));
}

static bool all_capitalised(const struct token_list *list, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        if (!(list->tokens[i].flags & (TOKEN_CAP | TOKEN_STOP)) || (list->tokens[i].flags & TOKEN_DIGIT))
            return false;
    }
    return true;
}

void text_headline(const struct token_list *list, struct text_slice outlet, uint32_t *from, uint32_t *to) {
    for (int round = 0; round < 2; round++) {
        uint32_t cut = *to;
        while (cut > *from && cut + OUTLET_WORD_MAX > *to && !(list->tokens[cut - 1].gap & GAP_BAR))
            cut--;
        if (cut == *from || cut + OUTLET_WORD_MAX <= *to)
            break;
        cut--;
        if (cut < *from + 3 || *to - cut > OUTLET_WORD_MAX)
            break;
        if (!spells_outlet(list, cut, *to, outlet) && !(cut >= *from + 4 && all_capitalised(list, cut, *to)))
            break;
        *to = cut;
    }
    for (uint32_t i = *from + 1; i < *to && i <= *from + 3; i++) {
        if ((list->tokens[i].gap & GAP_BAR) && *to - i >= 3 && spells_outlet(list, *from, i, outlet)) {
            *from = i;
            break;
        }
    }
}

/* Feed word pairs, stop words included, into the similarity hash. */
static void add_shingles(struct build *build, const struct token_list *list, uint32_t from, uint32_t to) {
    uint64_t before = 0;
    for (uint32_t i = from; i < to; i++) {
        uint64_t hash = list->tokens[i].hash;
        uint64_t pair = mix(before, hash);
        for (int bit = 0; bit < 64; bit++)
            build->simhash[bit] += (pair >> bit) & 1 ? 1 : -1;
        before = hash;
    }
}

/* Whether the title, or what follows its first colon, begins as a question. */
static bool asks(const struct token_list *list, uint32_t from, uint32_t to) {
    static const char *const words[] = {"are", "can",    "could", "does",  "has",   "how",
                                        "is",  "should", "what",  "where", "which", "will"};
    for (uint32_t i = from; i < to; i++) {
        if (i > from && !(list->tokens[i].gap & GAP_BREAK))
            continue;
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
            if (list->tokens[i].len == strlen(words[k]) &&
                memcmp(token_text(list, i), words[k], strlen(words[k])) == 0)
                return true;
        }
    }
    return false;
}

bool text_column(const struct token_list *list, uint32_t from, uint32_t to) {
    unsigned seen = 0;
    for (uint32_t i = from; i < to; i++)
        seen |= list->tokens[i].sorts;
    if ((seen & WORD_DIGEST) || ((seen & WORD_PAPER) && (seen & WORD_TRADE)))
        return true;
    if ((seen & WORD_PAPER) && from < to && asks(list, from, to))
        return true;
    if (!(seen & WORD_LISTED) || from == to)
        return false;
    const struct token *first = &list->tokens[from];
    const char *text = token_text(list, from);
    bool counts = (first->flags & TOKEN_DIGIT) && !(first->flags & TOKEN_ALPHA) && first->len <= 3;
    return counts || (first->len == 3 && memcmp(text, "top", 3) == 0) ||
           (first->len == 4 && memcmp(text, "best", 4) == 0);
}

static uint64_t hash_words(const struct token_list *list, uint32_t from, uint32_t to, uint64_t seed) {
    for (uint32_t i = from; i < to; i++)
        seed = mix(seed, list->tokens[i].hash);
    return seed;
}

/* A body that grew by a paragraph is another body, so its length counts as well as its beginning. */
static uint64_t hash_body(struct text_slice body) {
    return mix(text_hash(body.data, body.len > WHOLE_BYTES_MAX ? WHOLE_BYTES_MAX : body.len), body.len);
}

void text_analyse(struct text_doc *doc, struct text_slice title, struct text_slice body,
                  struct text_slice outlet, const struct text_rules *rules) {
    struct token_list list, lead;
    struct build build = {.doc = doc, .rules = rules, .bodied = body.len > 0};
    memset(doc, 0, sizeof(*doc));

    title.len = title.len > TITLE_BYTES_MAX ? TITLE_BYTES_MAX : title.len;
    token_list_read(&list, title);
    uint32_t from = 0, to = list.n;
    text_headline(&list, outlet, &from, &to);
    read_field(&build, &list, from, to, true);
    doc->n_words = to - from;
    doc->column = text_column(&list, from, to);
    if (to > from)
        doc->title_hash = hash_words(&list, from, to, 1);
    doc->whole_hash = mix(doc->title_hash, hash_body(body));

    body.len = body.len > rules->lead_bytes ? rules->lead_bytes : body.len;
    token_list_read(&lead, body);
    read_field(&build, &lead, 0, lead.n, false);
    doc->n_words += lead.n;
    if (doc->n_words < TEXT_SIMHASH_WORDS)
        return;
    add_shingles(&build, &list, from, to);
    add_shingles(&build, &lead, 0, lead.n);
    for (int bit = 0; bit < 64; bit++)
        doc->simhash |= (uint64_t)(build.simhash[bit] > 0) << bit;
}
