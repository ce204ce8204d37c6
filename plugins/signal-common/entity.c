/* SPDX-License-Identifier: Apache-2.0 */
/* entity.c - character references of HTML 4, and "apos".
 *
 * XML documents use these names without declaring them, and expat knows only five. The table is sorted by
 * byte. */
#include "entity.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_BYTES 10

static const struct entity {
    const char *name;
    uint32_t rune;
} entities[] = {
    {"AElig", 198},      {"Aacute", 193},    {"Acirc", 194},     {"Agrave", 192},    {"Alpha", 0x391},
    {"Aring", 197},      {"Atilde", 195},    {"Auml", 196},      {"Beta", 0x392},    {"Ccedil", 199},
    {"Chi", 0x3A7},      {"Dagger", 0x2021}, {"Delta", 0x394},   {"ETH", 208},       {"Eacute", 201},
    {"Ecirc", 202},      {"Egrave", 200},    {"Epsilon", 0x395}, {"Eta", 0x397},     {"Euml", 203},
    {"Gamma", 0x393},    {"Iacute", 205},    {"Icirc", 206},     {"Igrave", 204},    {"Iota", 0x399},
    {"Iuml", 207},       {"Kappa", 0x39A},   {"Lambda", 0x39B},  {"Mu", 0x39C},      {"Ntilde", 209},
    {"Nu", 0x39D},       {"OElig", 0x152},   {"Oacute", 211},    {"Ocirc", 212},     {"Ograve", 210},
    {"Omega", 0x3A9},    {"Omicron", 0x39F}, {"Oslash", 216},    {"Otilde", 213},    {"Ouml", 214},
    {"Phi", 0x3A6},      {"Pi", 0x3A0},      {"Prime", 0x2033},  {"Psi", 0x3A8},     {"Rho", 0x3A1},
    {"Scaron", 0x160},   {"Sigma", 0x3A3},   {"THORN", 222},     {"Tau", 0x3A4},     {"Theta", 0x398},
    {"Uacute", 218},     {"Ucirc", 219},     {"Ugrave", 217},    {"Upsilon", 0x3A5}, {"Uuml", 220},
    {"Xi", 0x39E},       {"Yacute", 221},    {"Yuml", 0x178},    {"Zeta", 0x396},    {"aacute", 225},
    {"acirc", 226},      {"acute", 180},     {"aelig", 230},     {"agrave", 224},    {"alefsym", 0x2135},
    {"alpha", 0x3B1},    {"amp", 38},        {"and", 0x2227},    {"ang", 0x2220},    {"apos", 39},
    {"aring", 229},      {"asymp", 0x2248},  {"atilde", 227},    {"auml", 228},      {"bdquo", 0x201E},
    {"beta", 0x3B2},     {"brvbar", 166},    {"bull", 0x2022},   {"cap", 0x2229},    {"ccedil", 231},
    {"cedil", 184},      {"cent", 162},      {"chi", 0x3C7},     {"circ", 0x2C6},    {"clubs", 0x2663},
    {"cong", 0x2245},    {"copy", 169},      {"crarr", 0x21B5},  {"cup", 0x222A},    {"curren", 164},
    {"dArr", 0x21D3},    {"dagger", 0x2020}, {"darr", 0x2193},   {"deg", 176},       {"delta", 0x3B4},
    {"diams", 0x2666},   {"divide", 247},    {"eacute", 233},    {"ecirc", 234},     {"egrave", 232},
    {"empty", 0x2205},   {"emsp", 0x2003},   {"ensp", 0x2002},   {"epsilon", 0x3B5}, {"equiv", 0x2261},
    {"eta", 0x3B7},      {"eth", 240},       {"euml", 235},      {"euro", 0x20AC},   {"exist", 0x2203},
    {"fnof", 0x192},     {"forall", 0x2200}, {"frac12", 189},    {"frac14", 188},    {"frac34", 190},
    {"frasl", 0x2044},   {"gamma", 0x3B3},   {"ge", 0x2265},     {"gt", 62},         {"hArr", 0x21D4},
    {"harr", 0x2194},    {"hearts", 0x2665}, {"hellip", 0x2026}, {"iacute", 237},    {"icirc", 238},
    {"iexcl", 161},      {"igrave", 236},    {"image", 0x2111},  {"infin", 0x221E},  {"int", 0x222B},
    {"iota", 0x3B9},     {"iquest", 191},    {"isin", 0x2208},   {"iuml", 239},      {"kappa", 0x3BA},
    {"lArr", 0x21D0},    {"lambda", 0x3BB},  {"lang", 0x2329},   {"laquo", 171},     {"larr", 0x2190},
    {"lceil", 0x2308},   {"ldquo", 0x201C},  {"le", 0x2264},     {"lfloor", 0x230A}, {"lowast", 0x2217},
    {"loz", 0x25CA},     {"lrm", 0x200E},    {"lsaquo", 0x2039}, {"lsquo", 0x2018},  {"lt", 60},
    {"macr", 175},       {"mdash", 0x2014},  {"micro", 181},     {"middot", 183},    {"minus", 0x2212},
    {"mu", 0x3BC},       {"nabla", 0x2207},  {"nbsp", 160},      {"ndash", 0x2013},  {"ne", 0x2260},
    {"ni", 0x220B},      {"not", 172},       {"notin", 0x2209},  {"nsub", 0x2284},   {"ntilde", 241},
    {"nu", 0x3BD},       {"oacute", 243},    {"ocirc", 244},     {"oelig", 0x153},   {"ograve", 242},
    {"oline", 0x203E},   {"omega", 0x3C9},   {"omicron", 0x3BF}, {"oplus", 0x2295},  {"or", 0x2228},
    {"ordf", 170},       {"ordm", 186},      {"oslash", 248},    {"otilde", 245},    {"otimes", 0x2297},
    {"ouml", 246},       {"para", 182},      {"part", 0x2202},   {"permil", 0x2030}, {"perp", 0x22A5},
    {"phi", 0x3C6},      {"pi", 0x3C0},      {"piv", 0x3D6},     {"plusmn", 177},    {"pound", 163},
    {"prime", 0x2032},   {"prod", 0x220F},   {"prop", 0x221D},   {"psi", 0x3C8},     {"quot", 34},
    {"rArr", 0x21D2},    {"radic", 0x221A},  {"rang", 0x232A},   {"raquo", 187},     {"rarr", 0x2192},
    {"rceil", 0x2309},   {"rdquo", 0x201D},  {"real", 0x211C},   {"reg", 174},       {"rfloor", 0x230B},
    {"rho", 0x3C1},      {"rlm", 0x200F},    {"rsaquo", 0x203A}, {"rsquo", 0x2019},  {"sbquo", 0x201A},
    {"scaron", 0x161},   {"sdot", 0x22C5},   {"sect", 167},      {"shy", 173},       {"sigma", 0x3C3},
    {"sigmaf", 0x3C2},   {"sim", 0x223C},    {"spades", 0x2660}, {"sub", 0x2282},    {"sube", 0x2286},
    {"sum", 0x2211},     {"sup", 0x2283},    {"sup1", 185},      {"sup2", 178},      {"sup3", 179},
    {"supe", 0x2287},    {"szlig", 223},     {"tau", 0x3C4},     {"there4", 0x2234}, {"theta", 0x3B8},
    {"thetasym", 0x3D1}, {"thinsp", 0x2009}, {"thorn", 254},     {"tilde", 0x2DC},   {"times", 215},
    {"trade", 0x2122},   {"uArr", 0x21D1},   {"uacute", 250},    {"uarr", 0x2191},   {"ucirc", 251},
    {"ugrave", 249},     {"uml", 168},       {"upsih", 0x3D2},   {"upsilon", 0x3C5}, {"uuml", 252},
    {"weierp", 0x2118},  {"xi", 0x3BE},      {"yacute", 253},    {"yen", 165},       {"yuml", 255},
    {"zeta", 0x3B6},     {"zwj", 0x200D},    {"zwnj", 0x200C},
};

uint32_t entity_rune(const char *name, size_t n) {
    size_t low = 0, high = sizeof(entities) / sizeof(*entities);
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strncmp(entities[mid].name, name, n);
        if (!order && entities[mid].name[n])
            order = 1;
        if (!order)
            return entities[mid].rune;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* windows-1252 from 0x80 to 0x9F, which is what writers of &#150; mean. */
static const uint16_t cp1252[32] = {0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                    0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
                                    0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                    0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

/* "&#nnn;" or "&#xhh;": bytes used, or 0. A number that is no character is U+FFFD. */
static size_t numeric(const char *text, size_t n, uint32_t *rune) {
    size_t at = 2, start;
    uint32_t base = 10;
    if (at < n && (text[at] == 'x' || text[at] == 'X')) {
        base = 16;
        at++;
    }
    start = at;
    *rune = 0;
    for (; at < n && (base == 16 ? isxdigit((unsigned char)text[at]) : isdigit((unsigned char)text[at]));
         at++) {
        unsigned digit = (unsigned)(text[at] <= '9' ? text[at] - '0' : (text[at] | 0x20) - 'a' + 10);
        if (*rune <= 0x10FFFF)
            *rune = *rune * base + digit;
    }
    if (at == start)
        return 0;
    if (*rune >= 0x80 && *rune < 0xA0)
        *rune = cp1252[*rune - 0x80];
    if (!*rune || *rune > 0x10FFFF || (*rune >= 0xD800 && *rune <= 0xDFFF))
        *rune = 0xFFFD;
    return at < n && text[at] == ';' ? at + 1 : at;
}

size_t entity_add(struct buf *out, const char *text, size_t n) {
    uint32_t rune = 0;
    size_t used = 0;
    if (n < 3 || *text != '&')
        return 0;
    if (text[1] == '#') {
        used = numeric(text, n, &rune);
    } else {
        size_t len = 0;
        while (len < n - 1 && len <= NAME_MAX_BYTES && isalnum((unsigned char)text[1 + len]))
            len++;
        rune = len && len + 1 < n && text[1 + len] == ';' ? entity_rune(text + 1, len) : 0;
        used = rune ? len + 2 : 0;
    }
    if (used && out)
        buf_add_rune(out, rune);
    return used;
}
