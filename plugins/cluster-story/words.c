/* SPDX-License-Identifier: Apache-2.0 */
/* words.c - what is known of a word before a stream has shown it, in one hash table.
 *
 * A stream of a few hundred headlines cannot tell "launches" from "titanfall" by counting, so the words that
 * are common in any newsroom are listed. The lists are short on purpose: from a few thousand records on, the
 * counts in index.c say the same and more. The table is built once, by whoever comes first. */
#include "words.h"

#include <pthread.h>
#include <string.h>

#include "text.h"

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

LIST(digest_words, "briefing", "digest", "horoscope", "newsletter", "preview", "recap", "roundup", "wrap");

LIST(exchange_words, "asx", "bse", "cve", "epa", "fra", "hkg", "lon", "lse", "nasdaq", "nse", "nyse", "nysearca", "otc",
    "otcmkts", "sgx", "tse", "tsx", "tsxv");

LIST(count_words, "first", "second", "third", "fourth", "zero", "one", "two", "three", "four", "five", "six", "seven",
    "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety");

/* from, to: stems; no `to` is a `from`. */
static const struct { const char *from, *to; } same_words[] = {
    {"acquir", "buy"}, {"acquisition", "buy"}, {"afghan", "afghanistan"}, {"albanian", "albania"},
    {"algerian", "algeria"}, {"america", "usa"}, {"american", "usa"}, {"angolan", "angola"},
    {"argentin", "argentina"}, {"argentinian", "argentina"}, {"armenian", "armenia"}, {"artificial", "ai"},
    {"australian", "australia"}, {"austrian", "austria"}, {"automak", "carmak"}, {"automobil", "car"},
    {"autonomous", "selfdriv"}, {"azerbaijani", "azerbaijan"}, {"azeri", "azerbaijan"},
    {"bangladeshi", "bangladesh"}, {"bbl", "barrel"}, {"begin", "start"}, {"belarusian", "belarus"},
    {"belgian", "belgium"}, {"blaz", "fir"}, {"bolivian", "bolivia"}, {"bosnian", "bosnia"}, {"boss", "ceo"},
    {"brazilian", "brazil"}, {"britain", "uk"}, {"british", "uk"}, {"bulgarian", "bulgaria"}, {"buyout", "buy"},
    {"cambodian", "cambodia"}, {"canadian", "canada"}, {"centr", "center"}, {"chairman", "chair"},
    {"children", "child"}, {"chilean", "chil"}, {"chines", "china"}, {"chipmak", "chip"}, {"chipmaker", "chip"},
    {"climb", "ris"}, {"colombian", "colombia"}, {"cop", "polic"}, {"cost", "pric"}, {"croatian", "croatia"},
    {"cuban", "cuba"}, {"cypriot", "cyprus"}, {"czech", "czechia"}, {"danish", "denmark"}, {"dead", "die"},
    {"death", "die"}, {"debut", "launch"}, {"decreas", "cut"}, {"died", "die"}, {"dlr", "dollar"},
    {"driverless", "selfdriv"}, {"drop", "fall"}, {"dutch", "netherland"}, {"earn", "profit"},
    {"ecuadorean", "ecuador"}, {"ecuadorian", "ecuador"}, {"egyptian", "egypt"}, {"estonian", "estonia"},
    {"ethiopian", "ethiopia"}, {"european", "europ"}, {"fell", "fall"}, {"filipino", "philippin"},
    {"film", "movie"}, {"finnish", "finland"}, {"firm", "company"}, {"french", "franc"}, {"gasolin", "gas"},
    {"german", "germany"}, {"ghanaian", "ghana"}, {"greek", "greec"}, {"haitian", "haiti"},
    {"hungarian", "hungary"}, {"icelandic", "iceland"}, {"indian", "india"}, {"indonesian", "indonesia"},
    {"inquiry", "prob"}, {"introduc", "launch"}, {"investigat", "prob"}, {"investigation", "prob"},
    {"iranian", "iran"}, {"iraqi", "iraq"}, {"irish", "ireland"}, {"israeli", "israel"}, {"italian", "italy"},
    {"ivorian", "ivory"}, {"japanes", "japan"}, {"jordanian", "jordan"}, {"jump", "ris"}, {"kazakh", "kazakhstan"},
    {"kenyan", "kenya"}, {"kid", "child"}, {"korean", "korea"}, {"kuwaiti", "kuwait"}, {"latvian", "latvia"},
    {"lebanes", "lebanon"}, {"libyan", "libya"}, {"lithuanian", "lithuania"}, {"lower", "cut"},
    {"malaysian", "malaysia"}, {"maltes", "malta"}, {"mexican", "mexico"}, {"moldovan", "moldova"},
    {"mongolian", "mongolia"}, {"moroccan", "morocco"}, {"negotiation", "talk"}, {"nepales", "nepal"},
    {"nepali", "nepal"}, {"nigerian", "nigeria"}, {"norwegian", "norway"}, {"pakistani", "pakistan"},
    {"palestinian", "palestin"}, {"peruvian", "peru"}, {"petrol", "gas"}, {"plung", "fall"}, {"polish", "poland"},
    {"portugues", "portugal"}, {"purchas", "buy"}, {"qatari", "qatar"}, {"quak", "earthquak"}, {"reduc", "cut"},
    {"reveal", "launch"}, {"robotaxis", "robotaxi"}, {"romanian", "romania"}, {"rose", "ris"},
    {"russian", "russia"}, {"rwandan", "rwanda"}, {"scottish", "scotland"}, {"semiconductor", "chip"},
    {"serbian", "serbia"}, {"shar", "stock"}, {"slid", "fall"}, {"slovak", "slovakia"}, {"smartphon", "phon"},
    {"soar", "ris"}, {"somali", "somalia"}, {"spanish", "spain"}, {"sudanes", "sudan"}, {"surg", "ris"},
    {"swedish", "sweden"}, {"swiss", "switzerland"}, {"syrian", "syria"}, {"taiwanes", "taiwan"},
    {"takeover", "buy"}, {"tanzanian", "tanzania"}, {"thai", "thailand"}, {"tumbl", "fall"},
    {"tunisian", "tunisia"}, {"turkish", "turkey"}, {"ugandan", "uganda"}, {"ukrainian", "ukrain"},
    {"unveil", "launch"}, {"vehicl", "car"}, {"venezuelan", "venezuela"}, {"vietnames", "vietnam"},
    {"welsh", "wal"}, {"yemeni", "yemen"}, {"zambian", "zambia"}, {"zimbabwean", "zimbabw"},
    {"accord", "deal"}, {"agreement", "deal"}, {"appoint", "nam"}, {"approv", "pass"}, {"blast", "explosion"}, {"boat", "vessel"}, {"bushfir", "fir"}, {"ceasefir", "truc"}, {"collid", "crash"}, {"collision", "crash"}, {"defeat", "beat"}, {"defect", "fault"}, {"detain", "arrest"}, {"drug", "medicin"}, {"employe", "workforc"}, {"exercis", "drill"}, {"explod", "explosion"}, {"failur", "fault"}, {"gain", "ris"}, {"gunman", "shooter"}, {"hacker", "hack"}, {"halt", "stop"}, {"hik", "ris"}, {"hurt", "injur"}, {"indict", "charg"}, {"lawmaker", "parliament"}, {"lawsuit", "su"}, {"metro", "subway"}, {"murder", "kill"}, {"outlaw", "ban"}, {"overturn", "capsiz"}, {"pact", "deal"}, {"pill", "medicin"}, {"plane", "aircraft"}, {"postpon", "delay"}, {"prison", "jail"}, {"probes", "prob"}, {"prohibit", "ban"}, {"quit", "resign"}, {"sav", "rescu"}, {"scrap", "cancel"}, {"ship", "vessel"}, {"shut", "clos"}, {"staf", "workforc"}, {"sued", "su"}, {"suit", "su"}, {"suspend", "stop"}, {"walkout", "strik"}, {"wildfir", "fir"}, {"wound", "injur"},
};

/* Two words that are one thing with one name. */
static const struct { const char *first, *second, *to; } compounds[] = {
    {"artificial", "intelligence", "ai"}, {"center", "stage", "spotlight"}, {"centre", "stage", "spotlight"}, {"electric", "vehicle", "ev"}, {"electric", "vehicles", "ev"},
    {"self", "driving", "selfdriv"},      {"united", "kingdom", "uk"},   {"united", "states", "usa"},
};
/* clang-format on */

enum { SLOTS = 8192 }; /* power of two, over twice the words */

struct entry {
    uint64_t hash; /* 0: free */
    uint16_t sorts;
    uint8_t per_mille;
    uint16_t same; /* index + 1 into same_words */
};

static struct entry table[SLOTS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct entry *find(uint64_t hash) {
    uint32_t slot = (uint32_t)hash & (SLOTS - 1);
    while (table[slot].hash && table[slot].hash != hash)
        slot = (slot + 1) & (SLOTS - 1);
    return &table[slot];
}

static struct entry *entry_of(const char *word, size_t len) {
    uint64_t hash = text_hash(word, len);
    struct entry *entry = find(hash);
    entry->hash = hash;
    return entry;
}

static void add_sort(const char *const *list, size_t n, enum word_sort sort) {
    for (size_t i = 0; i < n; i++)
        entry_of(list[i], strlen(list[i]))->sorts |= (uint16_t)sort;
}

static void add_prior(const char *list, uint8_t per_mille) {
    for (const char *word = list; *word;) {
        size_t len = strcspn(word, " ");
        struct entry *entry = entry_of(word, len);
        entry->per_mille = per_mille > entry->per_mille ? per_mille : entry->per_mille;
        word += len + (word[len] == ' ');
    }
}

static void build_table(void) {
    add_sort(stop_words, COUNT(stop_words), WORD_STOP);
    add_sort(ordinal_words, COUNT(ordinal_words), WORD_ORDINAL);
    add_sort(exchange_words, COUNT(exchange_words), WORD_EXCHANGE);
    add_sort(list_words, COUNT(list_words), WORD_LISTED);
    add_sort(paper_words, COUNT(paper_words), WORD_PAPER);
    add_sort(trade_words, COUNT(trade_words), WORD_TRADE);
    add_sort(count_words, COUNT(count_words), WORD_COUNT);
    add_sort(digest_words, COUNT(digest_words), WORD_DIGEST);
    for (size_t i = 0; i < COUNT(compounds); i++)
        add_sort(&compounds[i].first, 1, WORD_FIRST);
    for (size_t i = 0; i < COUNT(same_words); i++)
        entry_of(same_words[i].from, strlen(same_words[i].from))->same = (uint16_t)(i + 1);
    add_prior(prior_every_page, 20);
    add_prior(prior_common, 5);
    add_prior(prior_frequent, 2);
    add_prior(prior_known, 1);
}

unsigned words_sorts(uint64_t hash) {
    pthread_once(&once, build_table);
    return find(hash)->sorts;
}

uint64_t words_known(uint64_t stem_hash, uint8_t *per_mille) {
    pthread_once(&once, build_table);
    const struct entry *entry = find(stem_hash);
    if (entry->same) {
        const char *to = same_words[entry->same - 1].to;
        stem_hash = text_hash(to, strlen(to));
        entry = find(stem_hash);
    }
    *per_mille = entry->per_mille;
    return stem_hash;
}

static bool equal(const char *word, size_t len, const char *entry) {
    return strlen(entry) == len && memcmp(word, entry, len) == 0;
}

const char *words_compound(const char *first, size_t first_len, const char *second, size_t second_len) {
    for (size_t i = 0; i < COUNT(compounds); i++) {
        if (equal(first, first_len, compounds[i].first) && equal(second, second_len, compounds[i].second))
            return compounds[i].to;
    }
    return NULL;
}
