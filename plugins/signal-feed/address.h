/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - which network addresses may be spoken to. */
#ifndef SIGNAL_FEED_ADDRESS_H
#define SIGNAL_FEED_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A block of addresses. IPv4 is kept as ::ffff:a.b.c.d, so that one comparison serves both. */
struct address_block {
    uint8_t bytes[16];
    unsigned bits;
};

/* Read "10.0.0.0/8", "127.0.0.1", "fc00::/7". 0 or -EINVAL. */
int address_block_parse(struct address_block *block, const char *text);

/* True when a socket to `address` may be opened: it is of the public Internet, or in one of the allowed
 * blocks, and its port is 80, 443 or in `ports`. Otherwise `why` says what it is. An IPv4 address that comes
 * wrapped in IPv6 (mapped, NAT64, 6to4) is judged as the IPv4 address it leads to. [any] */
bool address_allowed(const struct sockaddr *address, const struct address_block *allowed, size_t n_allowed,
                     const uint16_t *ports, size_t n_ports, char *why, size_t why_bytes);

#endif
