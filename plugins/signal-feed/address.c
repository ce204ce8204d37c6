/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - which network addresses may be spoken to.
 *
 * The question is asked for every socket that is about to be opened, with the address that was resolved for
 * it, so neither a redirect nor a name that resolves to something else the second time gets around it. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct special {
    const char *block, *what;
} specials[] = {
    {"0.0.0.0/8", "this network"},
    {"10.0.0.0/8", "private"},
    {"100.64.0.0/10", "carrier-grade NAT"},
    {"127.0.0.0/8", "loopback"},
    {"169.254.0.0/16", "link-local"},
    {"172.16.0.0/12", "private"},
    {"192.0.0.0/24", "protocol assignments"},
    {"192.0.2.0/24", "documentation"},
    {"192.88.99.0/24", "6to4 relay"},
    {"192.168.0.0/16", "private"},
    {"198.18.0.0/15", "benchmarking"},
    {"198.51.100.0/24", "documentation"},
    {"203.0.113.0/24", "documentation"},
    {"224.0.0.0/4", "multicast"},
    {"240.0.0.0/4", "reserved"},
    {"::/96", "unspecified, loopback or IPv4-compatible"},
    {"64:ff9b:1::/48", "local NAT64"},
    {"100::/64", "discard"},
    {"2001::/23", "protocol assignments"},
    {"2001:db8::/32", "documentation"},
    {"fc00::/7", "private"},
    {"fe80::/10", "link-local"},
    {"fec0::/10", "site-local"},
    {"ff00::/8", "multicast"},
};

int address_block_parse(struct address_block *block, const char *text) {
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    struct in_addr four;
    char *end = NULL;
    if (n >= sizeof(address))
        return -EINVAL;
    memcpy(address, text, n);
    address[n] = 0;
    bool is_four = inet_pton(AF_INET, address, &four) == 1;
    unsigned long most = is_four ? 32 : 128, bits = slash ? strtoul(slash + 1, &end, 10) : most;
    if ((slash && (end == slash + 1 || *end)) || bits > most)
        return -EINVAL;
    memset(block, 0, sizeof(*block));
    if (is_four) {
        memset(block->bytes + 10, 0xFF, 2);
        memcpy(block->bytes + 12, &four, 4);
        block->bits = (unsigned)bits + 96;
        return 0;
    }
    block->bits = (unsigned)bits;
    return inet_pton(AF_INET6, address, block->bytes) == 1 ? 0 : -EINVAL;
}

static bool is_in(const uint8_t bytes[16], const struct address_block *block) {
    unsigned whole = block->bits / 8, rest = block->bits % 8;
    if (memcmp(bytes, block->bytes, whole) != 0)
        return false;
    return !rest || ((bytes[whole] ^ block->bytes[whole]) >> (8 - rest)) == 0;
}

static void as_mapped(uint8_t out[16], const uint8_t four[4]) {
    memset(out, 0, 10);
    memset(out + 10, 0xFF, 2);
    memcpy(out + 12, four, 4);
}

/* The address in its sixteen-byte form, unwrapped where an IPv4 address travels in it. */
static bool unwrap(uint8_t out[16], const struct sockaddr *address, uint16_t *port) {
    static const uint8_t nat64[12] = {0x00, 0x64, 0xFF, 0x9B};
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof(four));
        as_mapped(out, (const uint8_t *)&four.sin_addr);
        *port = ntohs(four.sin_port);
        return true;
    }
    if (address->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 six;
    memcpy(&six, address, sizeof(six));
    memcpy(out, &six.sin6_addr, 16);
    *port = ntohs(six.sin6_port);
    if (!memcmp(out, nat64, 12)) {
        uint8_t four[4];
        memcpy(four, out + 12, 4);
        as_mapped(out, four);
    } else if (out[0] == 0x20 && out[1] == 0x02) {
        uint8_t four[4];
        memcpy(four, out + 2, 4);
        as_mapped(out, four);
    }
    return true;
}

static bool port_allowed(uint16_t port, const uint16_t *ports, size_t n_ports) {
    if (port == 80 || port == 443)
        return true;
    for (size_t i = 0; i < n_ports; i++)
        if (ports[i] == port)
            return true;
    return false;
}

bool address_allowed(const struct sockaddr *address, const struct address_block *allowed, size_t n_allowed,
                     const uint16_t *ports, size_t n_ports, char *why, size_t why_bytes) {
    uint8_t bytes[16];
    uint16_t port = 0;
    char text[INET6_ADDRSTRLEN];
    if (!unwrap(bytes, address, &port)) {
        snprintf(why, why_bytes, "neither IPv4 nor IPv6");
        return false;
    }
    if (!port_allowed(port, ports, n_ports)) {
        snprintf(why, why_bytes, "port %u is not allowed (allow_ports)", port);
        return false;
    }
    for (size_t i = 0; i < n_allowed; i++)
        if (is_in(bytes, &allowed[i]))
            return true;
    bool mapped = bytes[10] == 0xFF && bytes[11] == 0xFF && !memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0", 10);
    for (size_t i = 0; i < sizeof(specials) / sizeof(*specials); i++) {
        struct address_block block;
        if (address_block_parse(&block, specials[i].block) < 0 || !is_in(bytes, &block))
            continue;
        inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? bytes + 12 : bytes, text, sizeof(text));
        snprintf(why, why_bytes, "%s is %s; not allowed (allow_addresses)", text, specials[i].what);
        return false;
    }
    return true;
}
