/* Preloaded into a process, lets the n-th call that reads something below a folder fail, as a failing disk would.

   Calls that count: open for reading, read, pread, opendir, readdir, stat and lstat of whatever lies below the folder.
   fail_below() names the folder, fail_at() says which call fails and how, calls_made() how many there were. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char below[PATH_MAX];
static long made, first, last;
static int code;

void fail_below(const char *folder) { snprintf(below, sizeof below, "%s/", folder); }
void fail_at(long from, long to, int error) { made = 0; first = from; last = to; code = error; }
long calls_made(void) { return made; }

static int is_below(const char *path) { return below[0] && path && !strncmp(path, below, strlen(below)); }

static int is_open_below(int handle) {
    char link[64], path[PATH_MAX];
    if (!below[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int fails(int counts) {
    if (!counts) return 0;
    made++;
    if (made < first || made > last) return 0;
    errno = code;
    return 1;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        if (fails((flags & O_ACCMODE) == O_RDONLY && is_below(path))) return -1; \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define READ(name) \
    ssize_t name(int handle, void *data, size_t size) { \
        REAL(ssize_t, name, int, void *, size_t); \
        return fails(is_open_below(handle)) ? -1 : real(handle, data, size); \
    }
READ(read)

#define PREAD(name, offset_type) \
    ssize_t name(int handle, void *data, size_t size, offset_type offset) { \
        REAL(ssize_t, name, int, void *, size_t, offset_type); \
        return fails(is_open_below(handle)) ? -1 : real(handle, data, size, offset); \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

DIR *opendir(const char *path) {
    REAL(DIR *, opendir, const char *);
    return fails(is_below(path)) ? NULL : real(path);
}

#define READDIR(name, entry) \
    struct entry *name(DIR *folder) { \
        REAL(struct entry *, name, DIR *); \
        return fails(is_open_below(dirfd(folder))) ? NULL : real(folder); \
    }
READDIR(readdir, dirent)
READDIR(readdir64, dirent64)

#define STAT(name, status) \
    int name(const char *path, struct status *found) { \
        REAL(int, name, const char *, struct status *); \
        return fails(is_below(path)) ? -1 : real(path, found); \
    }
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)

int fstatat(int at, const char *path, struct stat *found, int flags) {
    REAL(int, fstatat, int, const char *, struct stat *, int);
    return fails(is_below(path)) ? -1 : real(at, path, found, flags);
}
