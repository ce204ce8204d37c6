/* SPDX-License-Identifier: Apache-2.0 */
/* test_parts.c - the parts of the signal stages that are functions of their arguments. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "address.h"
#include "charset.h"
#include "date.h"
#include "entity.h"
#include "html.h"
#include "repair.h"
#include "schedule.h"
#include "text.h"
#include "url.h"

#define HOUR_MS 3600000ll
#define DAY_MS  (24 * HOUR_MS)

/* ---- dates ---- */

static void dates_are_read_as_people_write_them(void **state) {
    static const struct {
        const char *text;
        int year, month, day, hour, minute, second, ms;
    } dates[] = {
        {"Thu, 01 Jan 2004 19:48:21 GMT", 2004, 1, 1, 19, 48, 21, 0},
        {"Thu,  1 Jan 04 19:48 GMT", 2004, 1, 1, 19, 48, 0, 0},
        {"01 Jan 2004 00:00:00 +0100", 2003, 12, 31, 23, 0, 0, 0},
        {"Wed, 31 December 2003 10:14:55 PST", 2003, 12, 31, 18, 14, 55, 0},
        {"Thursday, 1 January 2004 5:07 pm EST", 2004, 1, 1, 22, 7, 0, 0},
        {"Sun Jan  4 16:29:06 PST 2004", 2004, 1, 5, 0, 29, 6, 0},
        {"Sun Jan  4 16:29:06 2004", 2004, 1, 4, 16, 29, 6, 0},
        {"January 5, 2004", 2004, 1, 5, 0, 0, 0, 0},
        {"26-FEB-1987 15:01:01.79", 1987, 2, 26, 15, 1, 1, 790},
        {" 2-MAR-1987 08:25:42.14", 1987, 3, 2, 8, 25, 42, 140},
        {"2003-12-31T10:14:55Z", 2003, 12, 31, 10, 14, 55, 0},
        {"2003-12-31T10:14:55.125-08:00", 2003, 12, 31, 18, 14, 55, 125},
        {"2003-12-31 10:14:55 +0530", 2003, 12, 31, 4, 44, 55, 0},
        {"20031231T101455Z", 2003, 12, 31, 10, 14, 55, 0},
        {"2003-12-31T10:14Z", 2003, 12, 31, 10, 14, 0, 0},
        {"2003-12-31", 2003, 12, 31, 0, 0, 0, 0},
        {"2003-12", 2003, 12, 1, 0, 0, 0, 0},
        {"2003", 2003, 1, 1, 0, 0, 0, 0},
        {"2004-060", 2004, 2, 29, 0, 0, 0, 0},
        {"2004-02-29T24:00:00Z", 2004, 3, 1, 0, 0, 0, 0},
        {"Tue, 24 Nov 2026 09:00:00 GMT+2", 2026, 11, 24, 7, 0, 0, 0},
        {"  Tue,\n24 Nov 2026\t09:00:00 UT ", 2026, 11, 24, 9, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(dates) / sizeof(*dates); i++) {
        int64_t want = date_ms(dates[i].year, dates[i].month, dates[i].day, dates[i].hour, dates[i].minute,
                               dates[i].second, dates[i].ms);
        if (date_parse(dates[i].text) != want)
            fail_msg("%s: %lld, not %lld", dates[i].text, (long long)date_parse(dates[i].text),
                     (long long)want);
    }
}

static void what_is_no_date_is_none(void **state) {
    static const char *const texts[] = {"",
                                        "yesterday",
                                        "2003-13-01",
                                        "2003-02-30",
                                        "31 Feb 2004 10:00",
                                        "99999999999",
                                        "10:14:55",
                                        "Jan",
                                        "0",
                                        "-1",
                                        "Thu, 01 Foo 2004 19:48:21 GMT",
                                        "0000-01-01",
                                        "12345-01-01"};
    (void)state;
    assert_int_equal(date_parse(NULL), DATE_NONE);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (date_parse(texts[i]) != DATE_NONE)
            fail_msg("%s is a date: %lld", texts[i], (long long)date_parse(texts[i]));
}

static void every_day_of_four_centuries_counts_once(void **state) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t want = date_ms(1800, 1, 1, 0, 0, 0, 0);
    (void)state;
    assert_int_equal(date_ms(1970, 1, 1, 0, 0, 0, 0), 0);
    assert_int_equal(want, -5364662400000);
    for (int year = 1800; year < 2200; year++)
        for (int month = 1; month <= 12; month++) {
            bool leap = month == 2 && ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0);
            for (int day = 1; day <= days[month - 1] + leap; day++, want += DAY_MS)
                assert_int_equal(date_ms(year, month, day, 0, 0, 0, 0), want);
        }
}

/* ---- addresses of pages ---- */

static void relative_addresses_become_absolute(void **state) {
    static const char *const cases[][3] = {
        {"http://a.example/b/c?d", "e", "http://a.example/b/e"},
        {"http://a.example/b/c", "/e", "http://a.example/e"},
        {"http://a.example/b/c", "../e", "http://a.example/e"},
        {"http://a.example/b/c", "?q=1", "http://a.example/b/c?q=1"},
        {"https://a.example/b", "//x.example/y", "https://x.example/y"},
        {"http://a.example/b", "  http://x.example/ ", "http://x.example/"},
        {"http://a.example/b", "tag:x,2026:1", "tag:x,2026:1"},
        {"", "e", "e"},
        {"file:///etc/", "passwd", "passwd"},
    };
    struct arena arena = {.limit = 0};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(url_resolve(&arena, cases[i][0], cases[i][1]), cases[i][2]);
    char *huge = malloc(URL_LIMIT_BYTES + 2);
    memset(huge, 'a', URL_LIMIT_BYTES + 1);
    huge[URL_LIMIT_BYTES + 1] = 0;
    assert_null(url_resolve(&arena, "http://a.example/", huge));
    free(huge);
    arena_finish(&arena);
}

static void one_page_has_one_spelling(void **state) {
    static const char *const cases[][2] = {
        {"HTTPS://Harbour.Example:443/News?utm_source=rss&id=7&utm_medium=x#top",
         "https://harbour.example/News?id=7"},
        {"http://harbour.example", "http://harbour.example/"},
        {"http://harbour.example:8080/?fbclid=1", "http://harbour.example:8080/"},
        {"https://www.harbour.example/a?ref=harbour.example&b=2", "https://www.harbour.example/a?b=2"},
        {"https://harbour.example/a?source=rss", "https://harbour.example/a"},
        {"https://harbour.example/a?ref=chapter2", "https://harbour.example/a?ref=chapter2"},
        {"https://harbour.example/a?reference=x", "https://harbour.example/a?reference=x"},
        {"mailto:desk@harbour.example", "mailto:desk@harbour.example"},
    };
    struct arena arena = {.limit = 0};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_string_equal(url_canonical(&arena, cases[i][0]), cases[i][1]);
        assert_string_equal(url_canonical(&arena, cases[i][1]), cases[i][1]);
    }
    arena_finish(&arena);
}

static void only_http_without_a_password_is_of_the_web(void **state) {
    (void)state;
    assert_true(url_is_web("http://a.example"));
    assert_true(url_is_web("HTTPS://a.example/x@y"));
    assert_false(url_is_web("http://user:pw@a.example/"));
    assert_false(url_is_web("http://user@a.example"));
    assert_false(url_is_web("http:///x"));
    assert_false(url_is_web("http://"));
    assert_false(url_is_web("ftp://a.example/"));
    assert_false(url_is_web("javascript:alert(1)"));
    assert_false(url_is_web(NULL));
}

static void a_host_belongs_to_who_registered_it(void **state) {
    static const char *const cases[][3] = {
        {"www.harbour.com", "harbour.com", "harbour.com"},
        {"news.bbc.co.uk", "bbc.co.uk", "bbc.co.uk"},
        {"a.b.harbour.com.au", "harbour.com.au", "harbour.com.au"},
        {"co.uk", "co.uk", "co.uk"},
        {"com.harbour.de", "harbour.de", "harbour.de"},
        {"x.com.de", "x.com.de", "x.com.de"},
        {"user.tumblr.com", "tumblr.com", "user.tumblr.com"},
        {"www.tumblr.com", "tumblr.com", "tumblr.com"},
        {"a.user.github.io", "github.io", "user.github.io"},
        {"one.blogspot.de", "blogspot.de", "one.blogspot.de"},
        {"localhost", "localhost", "localhost"},
        {"127.0.0.1", "127.0.0.1", "127.0.0.1"},
        {"[::1]", "[::1]", "[::1]"},
        {"", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_string_equal(url_registrable(cases[i][0]), cases[i][1]);
        assert_string_equal(url_outlet(cases[i][0]), cases[i][2]);
    }
}

/* ---- addresses of machines ---- */

static bool allowed(const char *text, uint16_t port, const char *block) {
    struct sockaddr_storage address = {0};
    struct address_block blocks[1];
    struct sockaddr_in *four = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
    uint16_t ports[] = {8080};
    char why[160];
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
    }
    if (block)
        assert_int_equal(address_block_parse(blocks, block), 0);
    return address_allowed((struct sockaddr *)&address, blocks, block != NULL, ports, 1, why, sizeof(why));
}

static void the_public_internet_may_be_asked(void **state) {
    static const char *const texts[] = {"1.1.1.1",          "9.255.255.255",        "11.0.0.0",
                                        "100.63.255.255",   "100.128.0.0",          "126.255.255.255",
                                        "128.0.0.1",        "169.253.255.255",      "172.15.255.255",
                                        "172.32.0.0",       "192.167.0.1",          "192.169.0.1",
                                        "223.255.255.255",  "2606:4700::1111",      "::ffff:1.1.1.1",
                                        "64:ff9b::101:101", "2001:4860:4860::8888", "2002:101:101::"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (!allowed(texts[i], 443, NULL))
            fail_msg("%s is refused", texts[i]);
}

static void everything_else_may_not(void **state) {
    static const char *const texts[] = {"0.0.0.0",
                                        "10.0.0.1",
                                        "100.64.0.1",
                                        "100.127.255.255",
                                        "127.0.0.1",
                                        "127.255.255.255",
                                        "169.254.169.254",
                                        "172.16.0.1",
                                        "172.31.255.255",
                                        "192.0.0.1",
                                        "192.168.255.255",
                                        "198.18.0.1",
                                        "198.19.255.255",
                                        "224.0.0.1",
                                        "240.0.0.1",
                                        "255.255.255.255",
                                        "::",
                                        "::1",
                                        "::7f00:1",
                                        "fc00::1",
                                        "fdff::1",
                                        "fe80::1",
                                        "febf::1",
                                        "ff02::1",
                                        "::ffff:127.0.0.1",
                                        "::ffff:a9fe:a9fe",
                                        "64:ff9b::a9fe:a9fe",
                                        "64:ff9b:1::1",
                                        "2002:7f00:1::",
                                        "2001:db8::1"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (allowed(texts[i], 443, NULL))
            fail_msg("%s is allowed", texts[i]);
}

static void the_config_opens_blocks_and_ports(void **state) {
    (void)state;
    assert_true(allowed("127.0.0.1", 80, "127.0.0.0/8"));
    assert_true(allowed("::ffff:127.0.0.1", 80, "127.0.0.0/8"));
    assert_false(allowed("128.0.0.1", 22, "0.0.0.0/0"));
    assert_true(allowed("10.1.2.3", 8080, "10.1.2.3"));
    assert_false(allowed("10.1.2.4", 8080, "10.1.2.3"));
    assert_true(allowed("10.1.3.255", 443, "10.1.2.0/23"));
    assert_false(allowed("10.1.4.0", 443, "10.1.2.0/23"));
    assert_true(allowed("fd00::1", 443, "fc00::/7"));
    assert_false(allowed("10.0.0.1", 443, "::/0") && allowed("1.1.1.1", 25, NULL));
    struct address_block block;
    static const char *const bad[] = {"",       "10.0.0.0/33", "10.0.0/8",   "x",
                                      "::/129", "10.0.0.0/",   "10.0.0.0/8x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(address_block_parse(&block, bad[i]), -EINVAL);
}

/* ---- when to ask again ---- */

static void intervals_follow_the_week_between_their_bounds(void **state) {
    struct schedule s = {.now_ms = 1000, .interval_ms = HOUR_MS, .max_interval_ms = DAY_MS};
    (void)state;
    assert_int_equal(schedule_after_answer(&s, 0), 1000 + HOUR_MS);
    assert_int_equal(schedule_after_answer(&s, 1), 1000 + DAY_MS);
    assert_int_equal(schedule_after_answer(&s, 14), 1000 + 12 * HOUR_MS);
    assert_int_equal(schedule_after_answer(&s, 100000), 1000 + HOUR_MS);
    s.every_ms = 5000;
    assert_int_equal(schedule_after_answer(&s, 1), 6000);
}

static void wishes_of_the_site_are_floors_and_never_added(void **state) {
    struct schedule s = {.now_ms = 1000, .interval_ms = HOUR_MS, .max_interval_ms = HOUR_MS};
    (void)state;
    s.max_age_ms = 2 * HOUR_MS;
    s.ttl_ms = 3 * HOUR_MS;
    assert_int_equal(schedule_after_answer(&s, 0), 1000 + 3 * HOUR_MS);
    s.expires_ms = 1000 + 4 * HOUR_MS;
    assert_int_equal(schedule_after_answer(&s, 0), 1000 + 4 * HOUR_MS);
    s.retry_ms = 1000 + 100 * DAY_MS;
    assert_int_equal(schedule_after_answer(&s, 0), 1000 + 7 * DAY_MS);
    s.retry_ms = 0;
    s.expires_ms = 1000 + 100 * DAY_MS;
    assert_int_equal(schedule_after_answer(&s, 0), 1000 + DAY_MS);
    s.expires_ms = s.ttl_ms = 0;
    s.max_age_ms = 60000;
    assert_int_equal(schedule_after_answer(&s, 0), 1000 + HOUR_MS);
    s.max_age_ms = 2 * HOUR_MS;
    s.jitter = -1;
    assert_int_equal(schedule_after_answer(&s, 0), 1000 + 2 * HOUR_MS);
}

static void failures_double_the_pause_up_to_two_days(void **state) {
    struct schedule s = {.now_ms = 0, .interval_ms = HOUR_MS, .max_interval_ms = DAY_MS};
    (void)state;
    assert_int_equal(schedule_after_failure(&s, 1), HOUR_MS);
    assert_int_equal(schedule_after_failure(&s, 2), 2 * HOUR_MS);
    assert_int_equal(schedule_after_failure(&s, 5), 16 * HOUR_MS);
    assert_int_equal(schedule_after_failure(&s, 7), 2 * DAY_MS);
    assert_int_equal(schedule_after_failure(&s, INT64_MAX), 2 * DAY_MS);
}

static void retry_after_and_max_age_are_read_in_all_their_forms(void **state) {
    int64_t now = date_ms(2026, 11, 24, 9, 0, 0, 0);
    (void)state;
    assert_int_equal(schedule_retry_after("120", now), now + 120000);
    assert_int_equal(schedule_retry_after("Tue, 24 Nov 2026 10:00:00 GMT", now), now + HOUR_MS);
    assert_int_equal(schedule_retry_after("Tue, 24 Nov 2026 08:00:00 GMT", now), 0);
    assert_int_equal(schedule_retry_after("99999999999999999999999", now), now + 7 * DAY_MS);
    assert_int_equal(schedule_retry_after("-5", now), 0);
    assert_int_equal(schedule_retry_after("soon", now), 0);
    assert_int_equal(schedule_retry_after("", now), 0);
    assert_int_equal(schedule_max_age("public, max-age=300, must-revalidate"), 300000);
    assert_int_equal(schedule_max_age("max-age = \"60\""), 60000);
    assert_int_equal(schedule_max_age("max-age=-1"), 0);
    assert_int_equal(schedule_max_age("no-cache"), 0);
    assert_int_equal(schedule_max_age("max-age=99999999999999999999"), DAY_MS);
}

/* ---- text ---- */

static void assert_clean(const char *text, size_t n, enum text_shape shape, const char *want) {
    struct buf out = {.limit = 0};
    text_clean(&out, text, n, shape);
    assert_string_equal(buf_text(&out), want);
    assert_true(text_is_clean(buf_text(&out), out.len));
    buf_finish(&out);
}

static void text_is_one_line_or_paragraphs(void **state) {
    static const char text[] = "  a\t b\r\n c \n\n\n d\xC2\xA0\xE2\x80\x83"
                               "e\xE2\x80\xA8"
                               "f ";
    (void)state;
    assert_clean(text, sizeof(text) - 1, TEXT_LINE, "a b c d e f");
    assert_clean(text, sizeof(text) - 1, TEXT_PARAGRAPHS, "a b\nc\n\nd e\nf");
    assert_clean("", 0, TEXT_LINE, "");
    assert_clean(" \n ", 3, TEXT_PARAGRAPHS, "");
}

static void text_loses_what_cannot_be_seen(void **state) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a\x01"
         "b\x7F"
         "c\x1B[31m",
         "abc[31m"},
        {"a\xE2\x80\xAE"
         "b\xE2\x81\xA6"
         "c\xE2\x80\x8B"
         "d\xEF\xBB\xBF"
         "e",
         "abcde"},
        {"tag\xF3\xA0\x81\x81\xF3\xA0\x81\x82", "tag"},
        {"e\xCC\x81", "\xC3\xA9"},
        {"don\xC2\x92t \xC2\x93"
         "x\xC2\x94 \xC2\x85",
         "don\xE2\x80\x99t \xE2\x80\x9Cx\xE2\x80\x9D \xE2\x80\xA6"},
        {"bad \xFF\xC0\x80\xED\xA0\x80 end",
         "bad \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
         "\xEF\xBF\xBD end"},
        {"\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80", "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80"},
        {"\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE", "\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_clean(cases[i].text, strlen(cases[i].text), TEXT_LINE, cases[i].want);
    assert_clean("a\0b", 3, TEXT_LINE, "ab");
}

static void a_prefix_never_cuts_a_character(void **state) {
    (void)state;
    assert_int_equal(text_prefix("\xC3\xA9\xC3\xA9", 4, 4), 4);
    assert_int_equal(text_prefix("\xC3\xA9\xC3\xA9", 4, 3), 2);
    assert_int_equal(text_prefix("\xF0\x9F\x91\xA9", 4, 3), 0);
    assert_int_equal(text_prefix("abc", 3, 0), 0);
}

static void encodings_are_found_where_they_are_said(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
        const char *content_type, *want, *name;
    } cases[] = {
        {"\xEF\xBB\xBF\xC3\xA9", 5, "text/xml; charset=koi8-r", "\xC3\xA9", "UTF-8"},
        {"\xE9", 1, "text/xml; charset=\"ISO-8859-1\"", "\xC3\xA9", "WINDOWS-1252"},
        {"\x93x\x94", 3, "text/xml;charset = us-ascii", "\xE2\x80\x9Cx\xE2\x80\x9D", "WINDOWS-1252"},
        {"<?xml version='1.0' encoding='koi8-r'?>\xC1", 40, NULL,
         "<?xml version='1.0' encoding='koi8-r'?>\xD0\xB0", "KOI8-R"},
        {"\xFF\xFE<\0a\0", 6, NULL, "<a", "UTF-16LE"},
        {"\0<\0a", 4, NULL, "<a", "UTF-16BE"},
        {"<\0a\0", 4, "text/xml; charset=utf-8", "<a", "UTF-16LE"},
        {"caf\xE9", 4, NULL, "caf\xC3\xA9", "UTF-8"},
        {"+ADw-", 5, "text/xml; charset=utf-7", "+ADw-", "UTF-8"},
        {"x", 1, "text/xml; charset=../../x", "x", "UTF-8"},
        {"", 0, "text/xml; charset=utf-16", "", "UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf out = {.limit = 0};
        struct charset_result result = {0};
        charset_decode(&out, cases[i].bytes, cases[i].n, cases[i].content_type, &result);
        assert_string_equal(buf_text(&out), cases[i].want);
        assert_string_equal(result.name, cases[i].name);
        buf_finish(&out);
    }
}

static void html_becomes_what_a_reader_sees(void **state) {
    static const char *const cases[][2] = {
        {"<p>One <b>two</b></p><p>three</p>", "One two\n\nthree"},
        {"a<br>b<br/><br/>c", "a\nb\n\nc"},
        {"<ul><li>x</li><li>y</li></ul>", "x\ny"},
        {"<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3"},
        {"a<script>b</script>c<style>d</style>e", "ace"},
        {"a<!-- b -->c<![CDATA[d]]>", "ac"},
        {"<p hidden>a</p>b<span style='DISPLAY : none'>c</span>d<i aria-hidden=true>e</i>", "bd"},
        {"<span style=\"font-size:0px\">a</span><span style=\"color:#fff\">b</span>"
         "<span style=\"color:#fff;background:#000\">c</span><span style=\"opacity:0\">d</span>"
         "<span style=\"opacity:0.5\">e</span><b style='x; opacity : 0 !important'>f</b>",
         "ce"},
        {"<img alt='a' title='b'>c", "c"},
        {"before<iframe src=x/>after", "before after"},
        {"before<iframe src=x>after", "before after"},
        {"before<iframe src=x>inside</iframe>after", "beforeafter"},
        {"AT&amp;T &lt;b&gt; &copy; &#8212; &#150; &nosuch; &",
         "AT&T <b> \xC2\xA9 \xE2\x80\x94 \xE2\x80\x93 &nosuch; &"},
        {"1 < 2", "1 < 2"},
        {"<title>t</title>x<textarea>y</textarea>z", "xz"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf raw = {.limit = 0}, out = {.limit = 0};
        html_text(&raw, cases[i][0], strlen(cases[i][0]), NULL, NULL, NULL);
        text_clean(&out, buf_text(&raw), raw.len, TEXT_PARAGRAPHS);
        assert_string_equal(buf_text(&out), cases[i][1]);
        buf_finish(&raw);
        buf_finish(&out);
    }
}

static void links_are_absolute_web_addresses_each_once(void **state) {
    static const char html[] =
        "<a href='/x'>1</a><a href='http://b.example/y'>2</a><a href='/x'>3</a><a href='#top'>4</a>"
        "<a href='javascript:alert(1)'>5</a><a href='mailto:a@b'>6</a><a>7</a>"
        "<a href='http://u:p@c.example/'>8</a>";
    struct arena arena = {.limit = 0};
    struct html_links links = {.n = 0};
    struct buf out = {.limit = 0};
    (void)state;
    html_text(&out, html, sizeof(html) - 1, "https://a.example/d/", &links, &arena);
    assert_int_equal(links.n, 2);
    assert_string_equal(links.url[0], "https://a.example/x");
    assert_string_equal(links.url[1], "http://b.example/y");
    buf_finish(&out);
    arena_finish(&arena);
}

/* Repeat `unit` until there are n bytes, then `end`; the text that comes out. */
static void big_html(struct buf *out, const char *unit, size_t n, const char *end) {
    struct buf html = {.limit = 0};
    while (html.len < n)
        buf_add_text(&html, unit);
    buf_add_text(&html, end);
    html_text(out, html.data, html.len, NULL, NULL, NULL);
    buf_finish(&html);
}

static void markup_without_end_is_read_flat(void **state) {
    static const char *const units[] = {
        "<div>",    "<b>",           "<b id=1><p>",           "<table><tr><td>",
        "</x><b>",  "<a href=x><p>", "<svg><math>",           "<!-- ",
        "<iframe>", "<script>",      "<font color=1><p></p>", "<",
        "&",        "<p/",           "<select><option>",      "<i a='"};
    (void)state;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        struct buf out = {.limit = 0};
        big_html(&out, units[i], 1 << 20, "'>end");
        assert_true(out.len <= 2 << 20);
        buf_finish(&out);
    }
    struct buf out = {.limit = 0};
    big_html(&out, "<div>", 1 << 20, "end <b>of</b> it<script>no</script>");
    assert_non_null(strstr(out.data, "end of it"));
    assert_null(strstr(out.data, "no"));
    buf_finish(&out);
}

static void repair_makes_one_tree_of_anything(void **state) {
    static const char *const cases[][2] = {
        {"<a>x & y &amp; &eacute; &nosuch; &#65; &#0;</a>",
         "<a>x &amp; y &amp; \xC3\xA9 &amp;nosuch; A \xEF\xBF\xBD</a>"},
        {"<a><b>x</a>", "<a><b>x</b></a>"},
        {"<a>x</b></a>", "<a>x</a>"},
        {"<a>1 < 2 <3</a>", "<a>1 &lt; 2 &lt;3</a>"},
        {"<a b=c d e='f\" &'>x", "<a b=\"c\" d=\"d\" e=\"f&quot; &amp;\">x</a>"},
        {"<a b=1 b=2/>", "<a b=\"1\"></a>"},
        {"<a><![CDATA[x & <y>]]></a>", "<a><![CDATA[x & <y>]]></a>"},
        {"<a><![CDATA[x", "<a><![CDATA[x]]></a>"},
        {"junk<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>trail<c/>", "<a>&amp;b;</a>"},
        {"<a>\x01\x0C\xEF\xBF\xBF"
         "b</a>",
         "<a>b</a>"},
        {"", ""},
        {"</a>", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf out = {.limit = 0};
        repair_xml(&out, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(buf_text(&out), cases[i][1]);
        buf_finish(&out);
    }
}

static void a_guess_at_html_wants_proof(void **state) {
    (void)state;
    assert_true(html_is_likely("<p>x</p>", 8));
    assert_true(html_is_likely("x &amp; y", 9));
    assert_false(html_is_likely("x & y", 5));
    assert_false(html_is_likely("<br>", 4));
    assert_false(html_is_likely("AT&T <b>", 8));
    assert_false(html_is_likely("if (a<b) </b></rocks>", 21));
    assert_false(html_is_likely("&nosuch; <b>x</b>", 17));
    assert_int_equal(entity_rune("hellip", 6), 0x2026);
    assert_int_equal(entity_rune("hell", 4), 0);
    assert_int_equal(entity_rune("zwnj", 4), 0x200C);
    assert_int_equal(entity_rune("AElig", 5), 0xC6);
}

static void buffers_and_arenas_keep_to_their_limits(void **state) {
    struct buf buf = {.limit = 10};
    struct arena arena = {.limit = 1000};
    (void)state;
    buf_add_text(&buf, "1234567");
    buf_add_text(&buf, "89abc");
    assert_true(buf.full);
    assert_string_equal(buf_text(&buf), "123456789a");
    buf_finish(&buf);
    assert_string_equal(buf_text(&buf), "");
    assert_non_null(arena_take(&arena, 900));
    assert_null(arena_take(&arena, 200));
    assert_true(arena.full);
    assert_null(arena_take(&arena, SIZE_MAX));
    assert_null(arena_text(&arena, NULL));
    arena_finish(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read_as_people_write_them),
        cmocka_unit_test(what_is_no_date_is_none),
        cmocka_unit_test(every_day_of_four_centuries_counts_once),
        cmocka_unit_test(relative_addresses_become_absolute),
        cmocka_unit_test(one_page_has_one_spelling),
        cmocka_unit_test(only_http_without_a_password_is_of_the_web),
        cmocka_unit_test(a_host_belongs_to_who_registered_it),
        cmocka_unit_test(the_public_internet_may_be_asked),
        cmocka_unit_test(everything_else_may_not),
        cmocka_unit_test(the_config_opens_blocks_and_ports),
        cmocka_unit_test(intervals_follow_the_week_between_their_bounds),
        cmocka_unit_test(wishes_of_the_site_are_floors_and_never_added),
        cmocka_unit_test(failures_double_the_pause_up_to_two_days),
        cmocka_unit_test(retry_after_and_max_age_are_read_in_all_their_forms),
        cmocka_unit_test(text_is_one_line_or_paragraphs),
        cmocka_unit_test(text_loses_what_cannot_be_seen),
        cmocka_unit_test(a_prefix_never_cuts_a_character),
        cmocka_unit_test(encodings_are_found_where_they_are_said),
        cmocka_unit_test(html_becomes_what_a_reader_sees),
        cmocka_unit_test(links_are_absolute_web_addresses_each_once),
        cmocka_unit_test(markup_without_end_is_read_flat),
        cmocka_unit_test(repair_makes_one_tree_of_anything),
        cmocka_unit_test(a_guess_at_html_wants_proof),
        cmocka_unit_test(buffers_and_arenas_keep_to_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
