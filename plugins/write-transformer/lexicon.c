/* SPDX-License-Identifier: Apache-2.0 */
/* lexicon.c - the English that the desk knows.
 *
 * Written as lines to be read and extended; read once, by whoever comes first, into one table of
 * words. A word may stand in several classes and in at most one line of synonyms. */
#include "lexicon.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define TABLE_SLOTS 8192 /* power of two, at least twice the words */
#define WORD_BYTES  24

struct class_line {
    uint32_t flags;
    const char *words;
};

static const struct class_line class_lines[] = {
    {LEX_STOP | LEX_OPEN, "a an the this that these those there here then than so such as it its itself"},
    {LEX_STOP | LEX_OPEN | LEX_PREP,
     "of in on at by for from to with into onto over under after before during since until till within "
     "without "
     "between among amid against across through throughout per via about around near off out toward towards "
     "upon "
     "along alongside beyond behind beside besides despite except including regarding concerning following"},
    {LEX_STOP | LEX_OPEN | LEX_CONJ,
     "and but or nor while whereas although though unless if when where as because"},
    {LEX_STOP | LEX_OPEN, "also both each either every few many more most much other others another some any "
                          "all only own same very too "
                          "just even still yet already again once ever now later earlier ago meanwhile "
                          "however moreover separately "
                          "currently recently previously instead rather less least several various certain "
                          "one ones once further like "
                          "unlike back away together apart ahead up down above below again well made make "
                          "makes making take takes took "
                          "get gets got give gives gave given go goes going went come comes came put puts "
                          "set sets let lets do does did "
                          "done doing use uses used using being having according based due amid part total "
                          "next last first new news "
                          "among which who whom whose what why how where when whether"},
    {LEX_STOP | LEX_OPEN | LEX_PRONOUN, "he she they it him her them his hers their theirs its this these "
                                        "those such we us our ours i me my you your"},
    {LEX_STOP | LEX_OPEN | LEX_WH, "who what when where why how which whose whom"},
    {LEX_STOP | LEX_BE,
     "is are was were be been being am has have had having isn't aren't wasn't weren't hasn't "
     "haven't hadn't"},
    {LEX_NEG,
     "no not never none neither nor nobody nothing without cannot can't won't don't doesn't didn't isn't "
     "aren't wasn't weren't hasn't haven't hadn't wouldn't couldn't shouldn't"},
    {LEX_NEG | LEX_STOP, "no not never none neither nor without cannot can't won't don't doesn't didn't"},
    {LEX_DENY | LEX_REPORT,
     "denied deny denies denying refuted refutes dismissed dismisses disputed disputes"},
    {LEX_DENY,
     "refused refuse refuses refusing rejected reject rejects rejecting declined declines ruled rules "
     "ruling unlikely failed fails fail silent baseless unable halted withdrew withdraws withdrawn "
     "cancelled canceled abandoned opposed opposes"},
    {LEX_MODAL | LEX_STOP, "may might could would can perhaps maybe possibly"},
    {LEX_MODAL, "possible likely unlikely probable probably potential potentially apparently apparent"},
    {LEX_EXPECT,
     "expect expects expected expecting expectation expectations forecast forecasts predicts predicted "
     "predict prediction projected projects estimate estimates estimated anticipate anticipates "
     "anticipated suggest suggests suggested seem seems seemed appear appears appeared likely due "
     "believe believes believed think thinks thought hope hopes hoped hopeful feels suggesting"},
    {LEX_PLAN,
     "plan plans planned planning intend intends intended intention propose proposes proposed proposal "
     "consider considers considered considering study studying studies seek seeks sought seeking aim aims "
     "aimed agreed agree agrees agreement offer offers offered want wants wanted option options review "
     "reviewing try tries trying tried ready prepared discuss discusses discussing discussed discussions "
     "negotiating ask asks asked urge urges urged recommend recommends recommended call calls called "
     "bid bids vying scheduled principle committed commitment weigh weighs weighing views viewing "
     "explore explores exploring mull mulls mulling set"},
    {LEX_PLAN | LEX_STOP, "should"},
    {LEX_REPORT, "recommended recommends recommend urged urges advised"},
    {LEX_RUMOUR,
     "rumour rumours rumoured rumor rumors rumored speculation speculate speculated speculates talk "
     "reportedly allegedly alleged alleges unconfirmed supposedly suppose apparently apparent seen "
     "claim claims claimed suspected"},
    {LEX_REPORT,
     "said say says saying told tell tells added add adds adding stated state states noted note notes "
     "reported "
     "reports report announced announces announce according quoted quote quotes explained explains warned "
     "warns "
     "warn argued argues asserted asserts reiterated reiterates reaffirmed reaffirms disclosed discloses "
     "claimed claims estimated estimate estimates predicted predicts believe believes believed speculated "
     "confirmed confirms revealed reveals named declared declares commented remarked described replied "
     "insisted "
     "acknowledged acknowledges expects expected forecast forecasts cited cites pledged pledges vowed vows "
     "stressed wrote writes questioned questions think thinks thought questioned suggests suggested"},
    {LEX_CERTAIN,
     "announced announces announce confirmed confirms confirm will won't definitely certainly surely "
     "guaranteed guarantees must always completed completes completing complete finalized finalised "
     "finalizes "
     "officially clearly undoubtedly inevitably proved proves proven decided decides decision "
     "successfully immediately"},
    {LEX_CAUSAL,
     "because therefore thus hence consequently due owing thanks causing caused cause causes lead leads "
     "leading led result results resulted resulting reason reasons spurred prompted prompting prompts "
     "triggered triggering drove drives driving driven boosting ensuring ensure allows allowing enabling "
     "enable enables"},
    {LEX_EVAL,
     "main principal significant significantly crucial important importantly major key remarkable impressive "
     "strong "
     "strongly "
     "dramatic dramatically huge massive notable notably vital critical critically unprecedented historic "
     "landmark surprising surprisingly unfortunately fortunately best worst great greatly essential "
     "innovative exciting strategic strategically robust severe serious seriously competitive increasingly "
     "sharply sharp severely steep steeply rapid rapidly substantial substantially modest modestly slightly"},
    {LEX_UP,
     "rise rises rose risen rising increase increases increased increasing gain gains gained raise raises "
     "raised raising higher up climb climbs climbed boost boosts boosted lift lifts lifted expand expands "
     "expanded expanding jump jumps jumped grow grows grew growing growth above exceed exceeds exceeded "
     "exceeding improve improves improved surge surged soar soared advance advanced over more double doubled "
     "highest upward elevated elevating elevate sweeten sweetened broadening"},
    {LEX_DOWN,
     "fall falls fell fallen falling drop drops dropped dropping decrease decreases decreased decreasing cut "
     "cuts cutting lower lowers lowered decline declining slump slumps slumped reduce reduces "
     "reduced reducing reduction below down halve halved halving loss losses lost lose under less plunge "
     "plunged shrink shrank weaken weakened weakness weak slide slid lowest slip slipped fewer downward"},
    {LEX_MONTH,
     "january february march april may june july august september october november december jan feb mar "
     "apr jun jul aug sep sept oct nov dec"},
    {LEX_WEEKDAY,
     "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thurs fri sat"},
    {LEX_ROLE,
     "directors chairmen presidents secretaries governors editors bankers brokers farmers miners "
     "drivers "
     "engineers scientists doctors teachers students voters workers unions residents witnesses critics "
     "supporters lenders borrowers creditors owners holders users customers clients suppliers growers makers "
     "exporters importers "
     "company companies firm firms group minister ministers ministry spokesman spokeswoman spokesperson "
     "official "
     "officials analyst analysts trader traders economist economists source sources agency government bank "
     "president "
     "chairman director executive executives investor investors management board committee department "
     "statement "
     "members member partners partner governor secretary expert experts observers dealers dealer report "
     "study survey "
     "newspaper daily filing document researchers researcher developers developer engineers buyers rivals "
     "others "
     "unit subsidiary venture commission council institute association union court police shareholders "
     "producer "
     "producers operator operators team lawyers lawyer authorities authority regulator regulators vendor"},
    {LEX_UNIT,
     "barrel barrels dollar dollars dlr dlrs mln million bn billion trillion thousand hundred dozen pct "
     "percent percentage cent cents share shares tonne tonnes ton tons bpd day days week weeks month months "
     "year years quarter quarters ounce ounces pound pounds yen franc francs mark marks euro euros stg "
     "point points unit units per daily annual annually weekly monthly room rooms people half third "
     "quarter double triple twice bushel bushels gallon gallons litre litres kilo kilos hectare hectares "
     "acre acres"},
    {LEX_ASK, "reason reasons purpose role amount cost price value number size plan plans goal date time "
              "name total level effect "
              "result outcome status position view opinion relationship relation change difference share "
              "stake source estimate "
              "estimated expected happen happened happens decide decided offer change changed percentage "
              "proportion main current "
              "response reaction details terms deal agreement event people person companies countries "
              "company country"},
    {LEX_OPEN | LEX_WORDY,
     "analysts officials traders investors economists shareholders companies crude oil prices price shares "
     "stock "
     "stocks sales profits earnings industry government market markets buyers sellers talks reports rumours "
     "rumors "
     "current recent former foreign total average domestic local national international annual free net "
     "gross world "
     "global additional future early late big small high low good bad full "
     "speculation sources members producers details terms closing today yesterday tomorrow under during "
     "asked "
     "speaking referring citing neither none no not never two three four five six seven eight nine ten "
     "eleven "
     "twelve twenty hundreds thousands millions half nearly almost about some more less up"},
};

/* The first word of a line stands for all of it. */
static const char *const synonym_lines[] = {
    "buy buys buying bought purchase purchases purchased purchasing acquire acquires acquired acquiring "
    "acquisition "
    "acquisitions takeover takeovers buyout buyer buyers",
    "sell sells selling sold sale sales divest divests divested divestiture divestitures divestment offload",
    "say says said saying state states stated stating tell tells told telling add adds added adding note "
    "notes noted "
    "report reports reported announce announces announced announcing announcement",
    "company companies firm firms corporation corp corporate business businesses co enterprise",
    "rise rises rose risen rising increase increases increased increasing climb climbs climbed grow grows "
    "grew growing "
    "growth gain gains gained raise raises raised raising higher boost boosts boosted boosting lift lifts "
    "lifted up "
    "hike hikes hiked advance advanced expand expands expanded expansion",
    "fall falls fell fallen falling drop drops dropped dropping decline declines declining decrease "
    "decreases decreased "
    "decreasing slump slumps slumped cut cuts cutting lower lowered lowering lowers reduce reduces reduced "
    "reducing "
    "reduction down slide slid shrink shrinks shrank shrunk",
    "exceed exceeds exceeded exceeding above over surpass surpasses surpassed excess over-producing "
    "overproducing",
    "limit limits limited ceiling ceilings cap caps quota quotas",
    "produce produces produced producing production pump pumps pumped pumping output producer producers "
    "over-producing",
    "accord accords pact pacts agreement agreements deal deals agree agrees agreed agreeing treaty",
    "reiterate reiterates reiterated reaffirm reaffirms reaffirmed restate restated repeat repeats repeated",
    "commitment commitments commit commits committed adherence adhere adheres adhering adhered stick sticks "
    "sticking "
    "stuck abide follow follows following",
    "meeting meetings meet meets met talks talk session conference discuss discusses discussed discussing "
    "discussion "
    "discussions",
    "plan plans planned planning intend intends intended intention intentions aim aims aimed scheme propose "
    "proposes "
    "proposed proposal proposals",
    "consider considers considered considering consideration study studies studied studying review reviews "
    "reviewed "
    "reviewing explore explores exploring weigh weighs weighing evaluate evaluating examine examining mull",
    "deny denies denied denying denial reject rejects rejected rejecting rejection refute refutes refuted "
    "dismiss "
    "dismisses dismissed rebuff rebuffed refuse refuses refused refusing",
    "offer offers offered offering bid bids tender",
    "rumour rumours rumoured rumor rumors rumored speculation speculate speculated speculates gossip "
    "speculative",
    "own owns owned owning owner owners ownership hold holds held holding possess possesses stake stakes "
    "interest "
    "interests",
    "spend spends spent spending invest invests invested investing investment investments expenditure outlay",
    "worth value values valued valuing valuation valuations",
    "pay pays paid paying payment payments",
    "dollar dollars dlr dlrs usd",
    "percent pct percentage percentages",
    "barrel barrels bpd b/d bbl",
    "million mln m",
    "billion bln bilion bn",
    "trillion tln",
    "share shares stock stocks equity",
    "minister ministers ministry",
    "official officials officially",
    "spokesman spokeswoman spokesperson",
    "analyst analysts",
    "trader traders trade trades traded trading dealer dealers",
    "expect expects expected expecting expectation expectations anticipate anticipates anticipated forecast "
    "forecasts "
    "predict predicts predicted prediction projected",
    "estimate estimates estimated estimating believe believes believed think thinks thought",
    "last late recent recently past previous previously prior earlier former",
    "begin begins began begun beginning start starts started starting launch launches launched open opens "
    "opened",
    "end ends ended ending finish finished close closes closed closing complete completes completed "
    "completion "
    "conclude concluded finalize finalized",
    "keep keeps kept keeping retain retains retained retaining remain remains remained remaining continue "
    "continues "
    "continued continuing stay stays stayed maintain maintains maintained still",
    "help helps helped helping assist aid support supports supported supporting",
    "big large larger largest biggest bigger major huge giant great",
    "small smaller smallest little minor",
    "undisclosed unspecified",
    "term terms amount amounts sum price prices priced "
    "pricing cost costs costing",
    "market markets marketplace",
    "jointly joint together both",
    "rename renames renamed renaming name names named naming call calls called",
    "hotel hotels property properties resort resorts",
    "urge urges urged urging recommend recommends recommended should advise advises advised advice suggest "
    "suggests "
    "suggested suggesting",
    "protect protects protected protecting protection guard guards safeguard shield",
    "import imports imported importing importer",
    "export exports exported exporting exporter",
    "research researcher researchers",
    "develop develops developed developing development",
    "show shows showed shown showing demonstrate demonstrates demonstrated indicate indicates indicated",
    "use uses used using usage utilize",
    "need needs needed needing require requires required requirement",
    "ask asks asked asking request requests requested requesting",
    "give gives gave given giving provide provides provided providing supply supplies supplied grant grants "
    "granted",
    "lead leads led leading head heads headed heading",
    "control controls controlled controlling run runs running ran",
    "postpone postpones postponed delay delays delayed delaying defer deferred",
    "group groups organisation organisations organization organizations body",
    "plant plants factory factories facility facilities",
    "unit units subsidiary subsidiaries arm division divisions",
    "shareholder shareholders stockholder stockholders investor investors",
    "chairman chairwoman chair chief head",
    "executive executives",
    "boss",
    "issue issues issued issuing publish publishes "
    "published release releases released",
    "strength strengthen strong",
    "weak weaken weakens weakened weakness",
    "stabilise stabilize stabilises stabilizes "
    "stabilised stabilized stable stability",
    "world global globally worldwide international internationally",
    "u.s us united-states america american",
    "u.k uk britain british",
    "nation nations national country countries",
    "year years annual annually yearly",
    "daily day days",
    "month months monthly",
    "week weeks weekly",
    "quarter quarters quarterly",
    "area areas region regions",
    "build builds built building construct construction",
    "lose loses lost losing loss losses",
    "get gets got getting obtain obtains obtained receive receives received receiving win wins won",
    "leave leaves left",
    "make makes made making",
    "take takes took taken taking",
    "know knows knew known",
    "see sees saw seen seeing view "
    "views viewed viewing",
    "write writes wrote written writing",
    "speak speaks spoke spoken",
    "bring brings brought",
    "become becomes became",
    "choose chooses chose chosen",
    "find finds found",
    "feel feels felt",
    "send sends sent",
    "spinoff spin-off spinnoff spin spinning spun",
    "brokerage broker brokers broking",
    "bank banks banking banker",
    "employ employs employed employing employee employees staff workers worker",
    "about approximately roughly around "
    "some nearly almost",
    "least minimum",
    "most maximum",
    "difficult difficulty difficulties trouble problem problems",
    "comment comments commented commenting",
    "able ability capability capable can could",
    "free freely",
    "set sets setting fix fixes fixed fixing",
    "try tries trying tried attempt attempts attempted seek seeks sought seeking want wants wanted",
    "barred ban banned bans prohibit prohibited",
    "two pair",
    "talks-over negotiations negotiate negotiated",
    "accuse accuses accused alleging allege alleged alleges",
    "merge merges merged merger mergers merging combine",
    "reserve reserves stockpile stockpiles",
    "explore-oil exploration",
    "model models",
    "chip chips",
    "licence license "
    "licences licenses licensed licensing",
    "data-center datacenter",
    "software program programs",
    "train trains trained training",
    "test tests tested testing validate validates validated validation evaluate "
    "evaluation",
    "hardware",
    "main key principal primary leading",
    "fund funds funded funding finance finances financed financing",
    "found founded founding "
    "founder establish establishes established",
    "release-weights weights",
    "move moves moved moving step steps measure measures",
    "level levels",
    "high highs",
    "low lows",
    "sign signs signed signing",
    "confidential confidentiality secret secrecy private privately",
    "competitor competitors rival rivals compete competes competing competition competitive",
    "job jobs post posts position positions",
    "part parts portion portions partial partially",
    "possible possibly potential potentially may might",
    "profit profits profitable profitability earnings earn earned "
    "earns",
    "strategic strategy strategies",
    "shopping customer customers custom client clients",
};

struct entry {
    char word[WORD_BYTES];
    uint32_t flags;
    char head[WORD_BYTES]; /* empty: none */
};

static struct entry table[TABLE_SLOTS];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static uint32_t slot_of(const char *word) {
    uint32_t hash = 2166136261u;
    for (; *word; word++)
        hash = (hash ^ (unsigned char)*word) * 16777619u;
    return hash & (TABLE_SLOTS - 1);
}

/* The entry of `word`, or the free slot for it. */
static struct entry *entry_of(const char *word) {
    uint32_t slot = slot_of(word);
    while (table[slot].word[0] && strcmp(table[slot].word, word) != 0)
        slot = (slot + 1) & (TABLE_SLOTS - 1);
    return &table[slot];
}

static const char *next_word(const char *line, char *word) {
    while (*line == ' ')
        line++;
    size_t n = strcspn(line, " ");
    if (n == 0)
        return NULL;
    size_t kept = n < WORD_BYTES - 1 ? n : WORD_BYTES - 1;
    memcpy(word, line, kept);
    word[kept] = '\0';
    return line + n;
}

static void build_table(void) {
    char word[WORD_BYTES], head[WORD_BYTES];
    for (size_t i = 0; i < sizeof(class_lines) / sizeof(class_lines[0]); i++) {
        for (const char *line = class_lines[i].words; (line = next_word(line, word));) {
            struct entry *entry = entry_of(word);
            memcpy(entry->word, word, sizeof(word));
            entry->flags |= class_lines[i].flags | LEX_WORDY;
        }
    }
    for (size_t i = 0; i < sizeof(synonym_lines) / sizeof(synonym_lines[0]); i++) {
        bool first = true;
        for (const char *line = synonym_lines[i]; (line = next_word(line, word)); first = false) {
            if (first)
                memcpy(head, word, sizeof(word));
            struct entry *entry = entry_of(word);
            memcpy(entry->word, word, sizeof(word));
            entry->flags |= LEX_WORDY;
            if (!entry->head[0])
                memcpy(entry->head, head, sizeof(head));
        }
    }
}

uint32_t lexicon_flags(const char *low) {
    pthread_once(&table_once, build_table);
    if (strlen(low) >= WORD_BYTES)
        return 0;
    return entry_of(low)->flags;
}

static bool ends(const char *word, size_t len, const char *tail) {
    size_t n = strlen(tail);
    return len > n + 2 && strcmp(word + len - n, tail) == 0;
}

static bool has_vowel(const char *word, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (strchr("aeiouy", word[i]))
            return true;
    return false;
}

/* Undo a doubled consonant ("planned"), and drop a silent e so that "make" meets "making". */
static void tidy(char *word) {
    size_t len = strlen(word);
    if (len > 3 && word[len - 1] == word[len - 2] && !strchr("aeiouls", word[len - 1]))
        word[--len] = '\0';
    if (len > 3 && word[len - 1] == 'e')
        word[--len] = '\0';
    if (len > 2 && word[len - 1] == 'y')
        word[len - 1] = 'i';
}

void lexicon_stem(char *word) {
    static const char *const tails[] = {
        "ational", "ization", "isation", "fulness", "iveness", "ations", "ation", "ements", "ement",
        "ments",   "ment",    "ings",    "ing",     "edly",    "ed",     "ness",  "ally",   "ly",
        "ions",    "ion",     "ers",     "er",      "ors",     "or",     "ives",  "ive"};
    size_t len = strlen(word);
    if (len > 4 && strcmp(word + len - 3, "ies") == 0) {
        word[len - 3] = 'y';
        word[len -= 2] = '\0';
    } else if (len > 4 && (ends(word, len, "sses") || ends(word, len, "xes") || ends(word, len, "ches") ||
                           ends(word, len, "shes"))) {
        word[len -= 2] = '\0';
    } else if (len > 3 && word[len - 1] == 's' && word[len - 2] != 's' && word[len - 2] != 'u' &&
               word[len - 2] != 'i') {
        word[--len] = '\0';
    }
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        size_t n = strlen(tails[i]);
        if (!ends(word, len, tails[i]) || !has_vowel(word, len - n))
            continue;
        word[len - n] = '\0';
        break;
    }
    tidy(word);
}

const char *lexicon_canon(const char *low, char *stem, size_t cap) {
    pthread_once(&table_once, build_table);
    size_t len = strlen(low);
    if (len < WORD_BYTES) {
        const struct entry *entry = entry_of(low);
        if (entry->head[0])
            return entry->head;
    }
    if (len >= cap)
        len = cap - 1;
    memcpy(stem, low, len);
    stem[len] = '\0';
    lexicon_stem(stem);
    return stem;
}
