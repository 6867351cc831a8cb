// Preloaded into dvar: counts what it does to files, and at one of these operations does what
// FAULT_HOW says:
//   before  the process is killed, as by `kill -9`, before the operation
//   half    killed after it, or, where it writes, after half of the bytes
//   power   killed before it, and files lose what had not been synced, as in a power cut
//   full    from then on nothing can be written: the disk is full
// The operation is FAULT_AT, counted from 1; a process that ends by itself writes how many there
// were to the file FAULT_COUNT.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096

static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static long count, at;
static const char *how = "";
static int full;
// each file that was written to, and how much of it has reached the disk
static struct { char path[PATH_MAX]; off_t synced; } files[FILES];
static int known;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
    how = getenv("FAULT_HOW") ? getenv("FAULT_HOW") : "";
}

__attribute__((destructor)) static void end(void) {
    const char *file = getenv("FAULT_COUNT");
    FILE *out = file ? fopen(file, "w") : NULL;
    if (out) {
        fprintf(out, "%ld\n", count);
        fclose(out);
    }
}

static void die(void) {
    if (!strcmp(how, "power"))
        for (int i = 0; i < known; i++) {
            struct stat now;
            if (!stat(files[i].path, &now) && now.st_size > files[i].synced)
                (void)!truncate(files[i].path, files[i].synced);
        }
    kill(getpid(), SIGKILL);
    pause();
}

// Counts an operation. Whether it is the one, and is to be cut in its middle.
static int reached(void) {
    if (++count < at || !at) return 0;
    if (!strcmp(how, "full")) full = 1;
    if (count > at) return 0;
    if (!strcmp(how, "half")) return 1;
    if (strcmp(how, "full")) die();
    return 0;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int regular(int fd) {
    struct stat is;
    return !fstat(fd, &is) && S_ISREG(is.st_mode);
}

static off_t size(int fd) {
    struct stat is;
    return fstat(fd, &is) ? 0 : is.st_size;
}

static void note(int fd, off_t synced, int anew) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return;
    for (int i = 0; i < known; i++)
        if (!strcmp(files[i].path, path)) {
            if (anew) files[i].synced = synced;
            return;
        }
    if (known == FILES) return;
    strcpy(files[known].path, path);
    files[known++].synced = synced;
}

#define LOCKED pthread_mutex_lock(&mutex)
#define FREE pthread_mutex_unlock(&mutex)

static int opened(const char *name, int flags, mode_t mode, int (*real)(const char *, int, ...)) {
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    if (!writes) return real(name, flags, mode);
    LOCKED;
    int cut = reached();
    int fd = -1;
    if (full && flags & O_CREAT && access(name, F_OK)) errno = ENOSPC;
    else fd = real(name, flags, mode);
    if (fd >= 0 && regular(fd)) note(fd, size(fd), 0);
    if (cut) die();
    FREE;
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & O_CREAT ? va_arg(rest, mode_t) : 0;
}

int open(const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened(name, flags, mode, REAL(open));
}

int open64(const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened(name, flags, mode, REAL(open64));
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!regular(fd)) return REAL(write)(fd, bytes, length);
    LOCKED;
    ssize_t written;
    if (reached()) {
        (void)!REAL(write)(fd, bytes, length / 2);
        die();
    }
    if (full) {
        errno = ENOSPC;
        written = -1;
    } else {
        note(fd, size(fd), 0);
        written = REAL(write)(fd, bytes, length);
    }
    FREE;
    return written;
}

static int synced(int fd, int (*real)(int)) {
    if (!regular(fd)) return real(fd);
    LOCKED;
    int cut = reached();
    int done = real(fd);
    note(fd, size(fd), 1);
    if (cut) die();
    FREE;
    return done;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int ftruncate64(int fd, off64_t length) {
    LOCKED;
    int cut = reached();
    int done = REAL(ftruncate64)(fd, length);
    if (cut) die();
    FREE;
    return done;
}

int rename(const char *from, const char *to) {
    LOCKED;
    int cut = reached();
    char whole[PATH_MAX], taken[PATH_MAX];
    int here = realpath(from, whole) != NULL;
    int done = REAL(rename)(from, to);
    // its content is as safe under the new name as it was under the old one
    if (!done && here && realpath(to, taken))
        for (int i = 0, j; i < known; i++)
            if (!strcmp(files[i].path, whole)) {
                for (j = 0; j < known && strcmp(files[j].path, taken); j++) {}
                if (j == known && known < FILES) strcpy(files[known++].path, taken);
                if (j < known) files[j].synced = files[i].synced;
            }
    if (cut) die();
    FREE;
    return done;
}

#define SIMPLE(name, parameters, arguments, makes)                                                 \
    int name parameters {                                                                          \
        LOCKED;                                                                                    \
        int cut = reached(), done = -1;                                                            \
        if (full && makes) errno = ENOSPC;                                                         \
        else done = REAL(name) arguments;                                                          \
        if (cut) die();                                                                            \
        FREE;                                                                                      \
        return done;                                                                               \
    }

SIMPLE(mkdir, (const char *path, mode_t mode), (path, mode), 1)
SIMPLE(unlink, (const char *path), (path), 0)
SIMPLE(rmdir, (const char *path), (path), 0)
SIMPLE(link, (const char *from, const char *to), (from, to), 1)
