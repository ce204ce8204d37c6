/* SPDX-License-Identifier: Apache-2.0 */
/* control_address.c - see control_address.h. */
#include "control_address.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The folder's descriptor and the address by way of it. The caller closes the descriptor after use. */
static int address_of(const char *path, struct sockaddr_un *address) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char dir[PATH_MAX];
    int n = slash ? snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path)
                  : snprintf(dir, sizeof(dir), ".");
    if (n < 0 || (size_t)n >= sizeof(dir))
        return -ENAMETOOLONG;
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", fd, name);
    if (n < 0 || (size_t)n >= sizeof(address->sun_path)) {
        close(fd);
        return -ENAMETOOLONG;
    }
    return fd;
}

/* A socket at path, after `act` (connect or bind) on it. */
static int open_at(const char *path, int (*act)(int fd, const struct sockaddr *address, socklen_t size)) {
    struct sockaddr_un address;
    int dir = address_of(path, &address);
    if (dir < 0)
        return dir;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The file that bind makes has the mode of the descriptor: there is no moment at which others may
     * connect. */
    int err = fd < 0 ? -errno : fchmod(fd, 0600) < 0 ? -errno : 0;
    if (err == 0 && act(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        err = -errno;
    close(dir);
    if (err < 0 && fd >= 0)
        close(fd);
    return err < 0 ? err : fd;
}

int control_connect(const char *path) {
    return open_at(path, connect);
}

int control_bind(const char *path) {
    return open_at(path, bind);
}
