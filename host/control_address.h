/* SPDX-License-Identifier: Apache-2.0 */
/* control_address.h - Unix sockets at paths of any length.
 *
 * A socket address holds 107 bytes; a journal's folder may be deeper. The folder is opened first and the
 * address goes through /proc/self/fd, so only the file's own name has to fit. */
#ifndef HOST_CONTROL_ADDRESS_H
#define HOST_CONTROL_ADDRESS_H

/* A connected socket, or a negative errno. */
int control_connect(const char *path);

/* A bound socket of mode 0600, not listening yet, or a negative errno. */
int control_bind(const char *path);

#endif
