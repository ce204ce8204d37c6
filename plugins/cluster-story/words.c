/* SPDX-License-Identifier: Apache-2.0 */
/* words.c - sorted word lists, searched by bisection.
 *
 * A stream of a few hundred headlines cannot tell "launches" from "titanfall" by counting, so the words that
 * are common in any newsroom are listed. The lists are short on purpose: from a few thousand records on, the
 * counts in index.c say the same and more. Each list is sorted bytewise; tests/cluster checks that. */
#include "words.h"

#include <string.h>

#define LIST(name, ...) static const char *const name[] = {__VA_ARGS__}
#define COUNT(list)     (sizeof(list) / sizeof((list)[0]))

/* clang-format off */
LIST(stop_words,
    "a", "about", "after", "again", "against", "ahead", "all", "also", "am", "amid", "among", "an", "and", "any",
    "are", "as", "at", "back", "be", "because", "been", "before", "behind", "being", "below", "between", "big",
    "both", "but", "by", "can", "cant", "corp", "could", "despite", "did", "do", "does", "doesnt", "doing", "dont",
    "down", "due", "during", "each", "even", "ever", "exclusive", "few", "for", "from", "further", "get", "gets",
    "getting", "give", "gives", "go", "goes", "going", "good", "got", "had", "has", "have", "having", "he", "her",
    "here", "heres", "hers", "herself", "him", "himself", "his", "how", "i", "if", "im", "in", "inc", "into", "is",
    "isnt", "it", "its", "itself", "ive", "just", "know", "less", "like", "live", "look", "looks", "ltd", "made",
    "make", "makes", "may", "me", "might", "more", "most", "much", "must", "my", "near", "need", "new", "news", "no",
    "nor", "not", "now", "of", "off", "on", "once", "one", "only", "or", "other", "our", "out", "over", "own",
    "photo", "photos", "plc", "put", "read", "refile", "report", "reportedly", "reports", "s", "said", "same", "say",
    "saying", "says", "see", "sees", "set", "sets", "she", "should", "so", "some", "still", "such", "t", "take",
    "takes", "than", "that", "thats", "the", "their", "theirs", "them", "then", "there", "these", "they", "thing",
    "things", "this", "those", "through", "to", "today", "told", "too", "top", "two", "under", "until", "up",
    "update", "upon", "us", "use", "very", "via", "video", "want", "wants", "was", "watch", "way", "we", "well",
    "were", "what", "whats", "when", "where", "which", "while", "who", "whom", "why", "will", "with", "without",
    "wont", "would", "yesterday", "yet", "you", "your");

LIST(ordinal_words,
    "article", "chapter", "day", "episode", "flight", "game", "group", "issue", "level", "magnitude", "no", "number",
    "part", "phase", "round", "route", "season", "series", "session", "stage", "step", "version", "vol", "volume",
    "week");

LIST(list_words, "etfs", "funds", "gadgets", "ideas", "lessons", "picks", "predictions", "reasons", "shares", "stocks",
    "takeaways", "things", "tips", "trends", "ways");

LIST(paper_words, "dividend", "dividends", "etf", "etfs", "holdings", "position", "price", "share", "shares", "stake", "stock", "stocks");

LIST(trade_words, "acquires", "boosts", "bought", "buy", "buying", "buys", "cuts", "decreased", "downgraded", "gap", "gaps", "has", "hold", "increased", "initiates", "lowers", "purchases", "raises", "rating", "reiterates", "sell", "sells", "sold", "target", "trims", "upgraded", "watch");

LIST(exchange_words, "asx", "bse", "cve", "epa", "fra", "hkg", "lon", "lse", "nasdaq", "nse", "nyse", "nysearca", "otc",
    "otcmkts", "sgx", "tse", "tsx", "tsxv");

/* from, to: sorted by `from`. */
static const struct { const char *from, *to; } same_words[] = {
    {"acquir", "buy"}, {"acquisition", "buy"}, {"america", "usa"}, {"american", "usa"}, {"artificial", "ai"},
    {"automak", "carmak"}, {"automobil", "car"}, {"autonomous", "selfdriv"}, {"bbl", "barrel"}, {"begin", "start"},
    {"blaz", "fir"}, {"boss", "ceo"}, {"britain", "uk"}, {"british", "uk"}, {"buyout", "buy"},
    {"chairman", "chair"}, {"children", "child"}, {"chines", "china"}, {"chipmak", "chip"}, {"chipmaker", "chip"},
    {"climb", "ris"}, {"cop", "polic"}, {"cost", "pric"}, {"cuban", "cuba"}, {"dead", "die"},
    {"death", "die"}, {"debut", "launch"}, {"decreas", "cut"}, {"died", "die"}, {"dlr", "dollar"},
    {"driverless", "selfdriv"}, {"drop", "fall"}, {"earn", "profit"}, {"fell", "fall"}, {"film", "movie"},
    {"firm", "company"}, {"french", "franc"}, {"gasolin", "gas"}, {"german", "germany"}, {"indian", "india"},
    {"inquiry", "prob"}, {"introduc", "launch"}, {"investigat", "prob"}, {"investigation", "prob"}, {"iranian", "iran"},
    {"israeli", "israel"}, {"japanes", "japan"}, {"jump", "ris"}, {"kid", "child"}, {"korean", "korea"},
    {"lower", "cut"}, {"negotiation", "talk"}, {"petrol", "gas"}, {"plung", "fall"}, {"purchas", "buy"},
    {"quak", "earthquak"}, {"reduc", "cut"}, {"reveal", "launch"}, {"robotaxis", "robotaxi"}, {"rose", "ris"},
    {"russian", "russia"}, {"semiconductor", "chip"}, {"shar", "stock"}, {"slid", "fall"}, {"smartphon", "phon"},
    {"soar", "ris"}, {"surg", "ris"}, {"takeover", "buy"}, {"tumbl", "fall"}, {"ukrainian", "ukrain"},
    {"unveil", "launch"}, {"vehicl", "car"},
};

/* Two words that are one thing with one name. */
static const struct { const char *first, *second, *to; } compounds[] = {
    {"artificial", "intelligence", "ai"}, {"electric", "vehicle", "ev"}, {"electric", "vehicles", "ev"},
    {"self", "driving", "selfdriv"},      {"united", "kingdom", "uk"},   {"united", "states", "usa"},
};
/* clang-format on */

static int compare(const char *word, size_t len, const char *entry) {
    size_t n = strlen(entry);
    int order = memcmp(word, entry, len < n ? len : n);
    return order ? order : (len > n) - (len < n);
}

static bool listed(const char *const *list, size_t n, const char *word, size_t len) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = compare(word, len, list[mid]);
        if (order == 0)
            return true;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return false;
}

bool words_stop(const char *word, size_t len) {
    return listed(stop_words, COUNT(stop_words), word, len);
}

unsigned words_column(const char *word, size_t len) {
    return (listed(list_words, COUNT(list_words), word, len) ? WORDS_LISTED : 0u) |
           (listed(paper_words, COUNT(paper_words), word, len) ? WORDS_PAPER : 0u) |
           (listed(trade_words, COUNT(trade_words), word, len) ? WORDS_TRADE : 0u);
}

bool words_exchange(const char *word, size_t len) {
    return listed(exchange_words, COUNT(exchange_words), word, len);
}

bool words_ordinal(const char *word, size_t len) {
    return listed(ordinal_words, COUNT(ordinal_words), word, len);
}

const char *words_same(const char *stem, size_t len) {
    size_t low = 0, high = COUNT(same_words);
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = compare(stem, len, same_words[mid].from);
        if (order == 0)
            return same_words[mid].to;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *words_compound(const char *first, size_t first_len, const char *second, size_t second_len) {
    for (size_t i = 0; i < COUNT(compounds); i++) {
        if (compare(first, first_len, compounds[i].first) == 0 &&
            compare(second, second_len, compounds[i].second) == 0)
            return compounds[i].to;
    }
    return NULL;
}
