/* SPDX-License-Identifier: Apache-2.0 */
/* sketch_words.c - the lists behind sketch.c, in one hash table that whoever comes first builds. */
#include "sketch_words.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "text.h"

/* Words with a space behind each. In a numbered list a word's place is its number. */
static const struct {
    const char *words;
    uint32_t sort;
    bool numbered;
} lists[] = {
    {"january february march april may june july august september october november december ", SORT_MONTH,
     true},
    {"jan feb mar apr may jun jul aug sep oct nov dec ", SORT_MONTH, true},
    {"monday tuesday wednesday thursday friday saturday sunday ", SORT_WEEKDAY, true},
    {"first second third fourth fifth sixth seventh eighth ninth tenth ", SORT_ORDINAL, true},
    {"1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th ", SORT_ORDINAL, true},
    {"in by since until till from before after for of last this next ", SORT_BEFORE_MONTH, false},
    {"in at near off from outside across around over on ", SORT_BEFORE_PLACE, false},
    {"the northern southern eastern western central north south east west downtown ", SORT_SIDE, false},
    {"kill kills killed killing dead die dies died death deaths injured injures hurt wounded wounds missing "
     "rescued rescues arrested arrests people victims toll evacuated trapped leaves sick infected stranded "
     "hostages ",
     SORT_TOLL, false},
};

/* Two sides of one thing. */
static const struct {
    const char *one, *other;
} ways[SKETCH_WAYS] = {
    {"up rise rises rose rising raises raised raise jump jumps jumped gain gains gained climb climbs climbed "
     "surge surges surged soar soars soared rally rallies grow grows grew higher above upgraded upgrades "
     "increase increases lifts hikes ",
     "down fall falls fell falling drop drops dropped sink sinks sank slump slumps slide slides slid tumble "
     "tumbles plunge plunges lower lowers lowered below cut cuts decline declines downgraded downgrades "
     "decrease decreases slips sags shrinks "},
    {"approve approves approved accept accepts accepted pass passes passed backs ",
     "reject rejects rejected block blocks blocked veto vetoes vetoed "},
    {"open opens opened reopen reopens reopened resume resumes resumed ",
     "close closes closed shut shuts suspend suspends suspended closure "},
    {"buy buys buying bought acquire acquires acquired ", "sell sells selling sold divests "},
    {"win wins won beat beats beaten triumph ", "lose loses lost draw draws drew "},
    {"safe alive rescued ", "dead killed dies "},
};

enum { SLOTS = 1024 }; /* power of two, over twice the words */

static struct sketch_known table[SLOTS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct sketch_known *find(uint64_t hash) {
    uint32_t slot = (uint32_t)hash & (SLOTS - 1);
    while (table[slot].hash && table[slot].hash != hash)
        slot = (slot + 1) & (SLOTS - 1);
    return &table[slot];
}

static void add_list(const char *words, uint32_t sort, bool numbered) {
    uint8_t nth = 0;
    for (const char *word = words; *word; nth++) {
        size_t len = strcspn(word, " ");
        uint64_t hash = text_hash(word, len);
        struct sketch_known *known = find(hash);
        known->hash = hash;
        known->sorts |= sort;
        if (numbered)
            known->nth = (uint8_t)(nth + 1);
        word += len + (word[len] == ' ');
    }
}

static void build_table(void) {
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        add_list(lists[i].words, lists[i].sort, lists[i].numbered);
    for (size_t i = 0; i < SKETCH_WAYS; i++) {
        add_list(ways[i].one, (uint32_t)SORT_WAY << i, false);
        add_list(ways[i].other, (uint32_t)SORT_OTHER_WAY << i, false);
    }
}

const struct sketch_known *sketch_known(uint64_t hash) {
    pthread_once(&once, build_table);
    return find(hash);
}
