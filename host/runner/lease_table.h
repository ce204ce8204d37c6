/* SPDX-License-Identifier: Apache-2.0 */
/* lease_table.h - the open leases of one instance, found by number. The nodes are the caller's, and so is the
 * lock. */
#ifndef RUNNER_LEASE_TABLE_H
#define RUNNER_LEASE_TABLE_H

#include <stddef.h>

#include <telex/abi.h>

enum { LEASE_BUCKETS = 256 };

struct lease_node {
    struct lease_node *next;
    telex_lease lease;
};

struct lease_table {
    struct lease_node *buckets[LEASE_BUCKETS];
    size_t n;
};

/* Where the lease hangs, or the end of its chain. */
static inline struct lease_node **lease_place(struct lease_table *table, telex_lease lease) {
    struct lease_node **at = &table->buckets[(lease ^ lease >> 8) % LEASE_BUCKETS];
    while (*at && (*at)->lease != lease)
        at = &(*at)->next;
    return at;
}

static inline struct lease_node *lease_find(struct lease_table *table, telex_lease lease) {
    return *lease_place(table, lease);
}

/* The lease must not be in the table yet. */
static inline void lease_add(struct lease_table *table, struct lease_node *node) {
    struct lease_node **at = lease_place(table, node->lease);
    node->next = NULL;
    *at = node;
    table->n++;
}

/* Take a lease out and give its node; NULL when it is not open. */
static inline struct lease_node *lease_take(struct lease_table *table, telex_lease lease) {
    struct lease_node **at = lease_place(table, lease), *node = *at;
    if (node) {
        *at = node->next;
        table->n--;
    }
    return node;
}

/* Take any one out; NULL when none is left. */
static inline struct lease_node *lease_take_any(struct lease_table *table) {
    for (size_t i = 0; i < LEASE_BUCKETS; i++)
        if (table->buckets[i])
            return lease_take(table, table->buckets[i]->lease);
    return NULL;
}

#endif
