/*
 * A layer between a program and its disk, preloaded (LD_PRELOAD): it writes down everything that happens to files below
 * one folder, in order and with data, and can let the disk be full or fail.
 *
 *   RECORD_FOLDER   the data folder (absolute, without links)
 *   RECORD_LOG      where the record goes (not below the folder); without it nothing is written down
 *   RECORD_FAULTS   a file of 16 bytes, changed from outside while the program runs. At 8: seconds by which all clocks are
 *                   ahead (int64). At 0, what fails now:
 *                   'n' nothing, 'f' the disk is full (ENOSPC for whatever would grow; what goes leaves room), 'q' the quota is reached (EDQUOT),
 *                   's' fsync fails once for each file and then all writing pretends to work (EIO, as Linux does), 'e' every fsync fails
 *
 * A record: struct head, the path, the second path, the data. What has no path belongs to the file `ino`. The log is
 * complete for what returned: an fsync is in it before the program learns that it succeeded. One lock keeps the order.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 'c', WRITE = 'w', TRUNCATE = 't', SYNC = 's', RENAME = 'r', UNLINK = 'u', MKDIR = 'm', RMDIR = 'd', LINK = 'l' };

struct head {
    uint32_t magic, kind;
    uint64_t ino, offset, length;
    uint32_t path, path2, flags, zero;
};

#define MAGIC 0x53414d31
#define MOST 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static const volatile char *fault = "n";
static const int64_t nothing = 0;
static const volatile int64_t *ahead = &nothing;
/* Descriptors of files and folders below the root. */
static unsigned char mine[MOST];
/* Those opened with O_SYNC or O_DSYNC. */
static unsigned char syncs[MOST];

#define REAL(name) ((__typeof__(&name))real(#name, &real_##name))
#define SLOT(name) static void *real_##name
static void *real(const char *name, void **slot) {
    if (!*slot) *slot = dlsym(RTLD_NEXT, name);
    return *slot;
}

SLOT(open); SLOT(openat); SLOT(close); SLOT(dup); SLOT(dup2); SLOT(dup3); SLOT(fcntl); SLOT(write); SLOT(pwrite); SLOT(writev);
SLOT(pwritev); SLOT(pwritev2); SLOT(ftruncate); SLOT(truncate); SLOT(fallocate); SLOT(posix_fallocate); SLOT(renameat2);
SLOT(unlinkat); SLOT(mkdirat); SLOT(linkat); SLOT(fsync); SLOT(fdatasync); SLOT(sync_file_range); SLOT(copy_file_range);
SLOT(sendfile); SLOT(clock_gettime);

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORD_FOLDER"), *to = getenv("RECORD_LOG"), *faults = getenv("RECORD_FAULTS");
    if (!folder) return;
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    if (to) {
        int fd = REAL(open)(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        /* Out of the way of the program's own numbers. */
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900);
        REAL(close)(fd);
    }
    if (faults) {
        int fd = REAL(open)(faults, O_RDONLY | O_CLOEXEC);
        void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
        if (page != MAP_FAILED) fault = page, ahead = (const volatile int64_t *)((char *)page + 8);
        if (fd >= 0) REAL(close)(fd);
    }
}

static int is_mine(int fd) { return root_length && fd >= 0 && fd < MOST && mine[fd]; }

/* The path as one below the root, or NULL. `.` and `..` are resolved in the folder part, links too. */
static const char *below(int dir, const char *path, char *into) {
    char whole[PATH_MAX], folder[PATH_MAX];
    if (!root_length || !path) return NULL;
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else {
        char base[PATH_MAX], proc[64];
        if (dir == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            snprintf(proc, sizeof proc, "/proc/self/fd/%d", dir);
            ssize_t n = readlink(proc, base, sizeof base - 1);
            if (n < 0) return NULL;
            base[n] = 0;
        }
        if ((size_t)snprintf(whole, sizeof whole, "%s/%s", base, path) >= sizeof whole) return NULL;
    }
    size_t n = strlen(whole);
    while (n > 1 && whole[n - 1] == '/') whole[--n] = 0;
    if (!strcmp(whole, root)) return strcpy(into, whole);
    char *name = strrchr(whole, '/');
    *name++ = 0;
    if (!realpath(*whole ? whole : "/", folder)) return NULL;
    if (strncmp(folder, root, root_length) || (folder[root_length] && folder[root_length] != '/')) return NULL;
    if ((size_t)snprintf(into, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) return NULL;
    return into;
}

static void put(const void *data, size_t length) {
    const char *at = data;
    while (length) {
        ssize_t n = REAL(write)(log_fd, at, length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            static const char why[] = "record: the log cannot be written\n";
            (void)!REAL(write)(2, why, sizeof why - 1);
            _exit(97);
        }
        at += n;
        length -= n;
    }
}

static void note(int kind, uint64_t ino, uint64_t offset, const char *path, const char *path2, uint32_t flags,
                 const struct iovec *data, int parts, uint64_t length) {
    if (log_fd < 0) return;
    int kept = errno;
    struct head head = {MAGIC, kind, ino, offset, length, path ? strlen(path) : 0, path2 ? strlen(path2) : 0, flags, 0};
    put(&head, sizeof head);
    if (path) put(path, head.path);
    if (path2) put(path2, head.path2);
    for (int i = 0; i < parts && length; i++) {
        size_t n = data[i].iov_len < length ? data[i].iov_len : length;
        put(data[i].iov_base, n);
        length -= n;
    }
    errno = kept;
}

static uint64_t inode(int fd) {
    struct stat st;
    return fstat(fd, &st) ? 0 : st.st_ino;
}

/* Bytes that files below the root gave back since the disk became full: others may have them. */
static off_t room;

static int limited(void) {
    if (*fault == 'f' || *fault == 'q') return 1;
    room = 0;
    return 0;
}

/* Takes so much of the disk; whether it is more than there is. */
static int is_full(off_t more) {
    if (!limited()) return 0;
    if (more <= room) {
        room -= more;
        return 0;
    }
    errno = *fault == 'f' ? ENOSPC : EDQUOT;
    return 1;
}

static void gives_back(off_t bytes) {
    if (limited() && bytes > 0) room += bytes;
}

enum { ENTRY = 4096 };

/* Whether a write of this reach is more than a full disk takes. */
static int too_much(int fd, off_t end) {
    struct stat st;
    if (!limited() || fstat(fd, &st) || end <= st.st_size) return 0;
    return is_full(end - st.st_size);
}

static int opened(int dir, const char *path, int flags, mode_t mode, int by) {
    char here[PATH_MAX];
    const char *known = below(dir, path, here);
    if (!known) return by ? REAL(openat)(dir, path, flags, mode) : REAL(open)(path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before;
    int fresh = (flags & O_CREAT) && lstat(known, &before) != 0;
    int fd;
    if (fresh && is_full(ENTRY)) fd = -1;
    else {
        fd = by ? REAL(openat)(dir, path, flags, mode) : REAL(open)(path, flags, mode);
        if (fd >= 0 && fd < MOST) {
            mine[fd] = 1;
            syncs[fd] = (flags & (O_SYNC | O_DSYNC)) != 0;
            if (fresh) note(CREATE, inode(fd), 0, known, NULL, mode, NULL, 0, 0);
            else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) note(TRUNCATE, inode(fd), 0, NULL, NULL, 0, NULL, 0, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t mode_of(int flags, va_list more) { return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0; }

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        va_list more;                                                  \
        va_start(more, flags);                                         \
        mode_t mode = mode_of(flags, more);                            \
        va_end(more);                                                  \
        return opened(AT_FDCWD, path, flags, mode, 0);                 \
    }
#define OPENAT(name)                                                   \
    int name(int dir, const char *path, int flags, ...) {              \
        va_list more;                                                  \
        va_start(more, flags);                                         \
        mode_t mode = mode_of(flags, more);                            \
        va_end(more);                                                  \
        return opened(dir, path, flags, mode, 1);                      \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, 0); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    if (fd == log_fd && fd >= 0) return 0;
    if (fd >= 0 && fd < MOST) mine[fd] = syncs[fd] = 0;
    return REAL(close)(fd);
}

static int copied(int from, int to) {
    if (to >= 0 && to < MOST && from >= 0 && from < MOST) mine[to] = mine[from], syncs[to] = syncs[from];
    return to;
}
int dup(int fd) { return copied(fd, REAL(dup)(fd)); }
int dup2(int fd, int to) { return copied(fd, REAL(dup2)(fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, REAL(dup3)(fd, to, flags)); }

#define FCNTL(name)                                                    \
    int name(int fd, int what, ...) {                                  \
        va_list more;                                                  \
        va_start(more, what);                                          \
        void *argument = va_arg(more, void *);                         \
        va_end(more);                                                  \
        int result = REAL(fcntl)(fd, what, argument);                  \
        return what == F_DUPFD || what == F_DUPFD_CLOEXEC ? copied(fd, result) : result; \
    }
FCNTL(fcntl) FCNTL(fcntl64)

static size_t sum(const struct iovec *parts, int count) {
    size_t all = 0;
    for (int i = 0; i < count; i++) all += parts[i].iov_len;
    return all;
}

/* offset < 0: at the file's own place. */
static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset) {
    pthread_mutex_lock(&lock);
    ssize_t n = -1;
    off_t from = offset;
    if (offset < 0) {
        int flags = REAL(fcntl)(fd, F_GETFL);
        struct stat st;
        from = (flags & O_APPEND) && !fstat(fd, &st) ? st.st_size : lseek(fd, 0, SEEK_CUR);
    }
    if (!too_much(fd, from + sum(parts, count))) {
        n = offset < 0 ? REAL(writev)(fd, parts, count) : REAL(pwritev)(fd, parts, count, offset);
        if (n > 0) note(WRITE, inode(fd), from, NULL, NULL, syncs[fd], parts, count, n);
    }
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t write(int fd, const void *data, size_t length) {
    if (!is_mine(fd)) return REAL(write)(fd, data, length);
    struct iovec part = {(void *)data, length};
    return written(fd, &part, 1, -1);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    if (!is_mine(fd)) return REAL(pwrite)(fd, data, length, offset);
    struct iovec part = {(void *)data, length};
    return written(fd, &part, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) { return pwrite(fd, data, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return is_mine(fd) ? written(fd, parts, count, -1) : REAL(writev)(fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return is_mine(fd) ? written(fd, parts, count, offset) : REAL(pwritev)(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev(fd, parts, count, offset); }
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    return is_mine(fd) ? written(fd, parts, count, offset) : REAL(pwritev2)(fd, parts, count, offset, flags);
}

/* Copies inside the kernel show no data: programs fall back to reading and writing. */
ssize_t copy_file_range(int from, off_t *at, int to, off_t *there, size_t length, unsigned flags) {
    if (is_mine(to)) { errno = EXDEV; return -1; }
    return REAL(copy_file_range)(from, at, to, there, length, flags);
}
ssize_t sendfile(int to, int from, off_t *at, size_t length) {
    if (is_mine(to)) { errno = EINVAL; return -1; }
    return ((ssize_t(*)(int, int, off_t *, size_t))real("sendfile", &real_sendfile))(to, from, at, length);
}
ssize_t sendfile64(int to, int from, off_t *at, size_t length) { return sendfile(to, from, at, length); }

int ftruncate(int fd, off_t length) {
    if (!is_mine(fd)) return REAL(ftruncate)(fd, length);
    struct stat before;
    pthread_mutex_lock(&lock);
    off_t size = fstat(fd, &before) ? 0 : before.st_size;
    int result = too_much(fd, length) ? -1 : REAL(ftruncate)(fd, length);
    if (!result) gives_back(size - length);
    if (!result) note(TRUNCATE, inode(fd), length, NULL, NULL, 0, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }
int truncate(const char *path, off_t length) {
    char here[PATH_MAX];
    if (!below(AT_FDCWD, path, here)) return REAL(truncate)(path, length);
    int fd = open(path, O_WRONLY);
    int result = fd < 0 ? -1 : ftruncate(fd, length);
    if (fd >= 0) close(fd);
    return result;
}
int truncate64(const char *path, off_t length) { return truncate(path, length); }

/* Room made ahead is a growing file of zeros; punching holes is not known to us. */
int fallocate(int fd, int mode, off_t offset, off_t length) {
    if (!is_mine(fd)) return REAL(fallocate)(fd, mode, offset, length);
    if (mode & ~1) { errno = EOPNOTSUPP; return -1; }
    struct stat st;
    if (mode & 1 || fstat(fd, &st) || st.st_size >= offset + length) return 0;
    return ftruncate(fd, offset + length);
}
int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) {
    if (!is_mine(fd)) return REAL(posix_fallocate)(fd, offset, length);
    return fallocate(fd, 0, offset, length) ? errno : 0;
}
int posix_fallocate64(int fd, off_t offset, off_t length) { return posix_fallocate(fd, offset, length); }

static int synced(int fd, int data_only) {
    pthread_mutex_lock(&lock);
    int result;
    /* Once each: the search index may be synced before the log is. */
    static unsigned char failed[MOST];
    int first = fd < MOST && !failed[fd];
    if (*fault == 'e' || (*fault == 's' && first)) {
        failed[fd] = 1;
        errno = EIO;
        result = -1;
    } else {
        result = data_only ? REAL(fdatasync)(fd) : REAL(fsync)(fd);
        if (!result && *fault != 's') note(SYNC, inode(fd), 0, NULL, NULL, data_only, NULL, 0, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
int fsync(int fd) { return is_mine(fd) ? synced(fd, 0) : REAL(fsync)(fd); }
int fdatasync(int fd) { return is_mine(fd) ? synced(fd, 1) : REAL(fdatasync)(fd); }
/* It flushes neither the device nor what finds the data again (sync_file_range(2)): worth nothing here. */
int sync_file_range(int fd, off_t offset, off_t length, unsigned flags) {
    return ((int (*)(int, off_t, off_t, unsigned))real("sync_file_range", &real_sync_file_range))(fd, offset, length, flags);
}

static int renamed(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char one[PATH_MAX], two[PATH_MAX];
    const char *a = below(from_dir, from, one), *b = below(to_dir, to, two);
    if (!a && !b) return REAL(renameat2)(from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&lock);
    int result = REAL(renameat2)(from_dir, from, to_dir, to, flags);
    if (!result) note(RENAME, 0, 0, a, b, flags, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int linked(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char one[PATH_MAX], two[PATH_MAX];
    const char *a = below(from_dir, from, one), *b = below(to_dir, to, two);
    if (!b) return REAL(linkat)(from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&lock);
    int result = REAL(linkat)(from_dir, from, to_dir, to, flags);
    if (!result) note(LINK, 0, 0, a ? a : "?", b, 0, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return linked(a, from, b, to, flags); }

static int gone(int dir, const char *path, int flags) {
    char here[PATH_MAX];
    const char *known = below(dir, path, here);
    if (!known) return REAL(unlinkat)(dir, path, flags);
    struct stat before;
    pthread_mutex_lock(&lock);
    off_t size = lstat(known, &before) || !S_ISREG(before.st_mode) || before.st_nlink > 1 ? 0 : before.st_size + ENTRY;
    int result = REAL(unlinkat)(dir, path, flags);
    if (!result) gives_back(size);
    if (!result) note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, known, NULL, 0, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *path) { return gone(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return gone(dir, path, flags); }
int rmdir(const char *path) { return gone(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat st;
    return !lstat(path, &st) && S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path);
}

int mkdirat(int dir, const char *path, mode_t mode) {
    char here[PATH_MAX];
    const char *known = below(dir, path, here);
    if (!known) return REAL(mkdirat)(dir, path, mode);
    pthread_mutex_lock(&lock);
    int result = is_full(ENTRY) ? -1 : REAL(mkdirat)(dir, path, mode);
    struct stat st;
    if (!result && !lstat(known, &st)) note(MKDIR, st.st_ino, 0, known, NULL, mode, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* Clocks: time can be let pass. What waits for a moment of the real clock (a futex) does not notice. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(clock_gettime)(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE))
        now->tv_sec += *ahead;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t)) return -1;
    now->tv_sec = t.tv_sec;
    now->tv_usec = t.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (to) *to = t.tv_sec;
    return t.tv_sec;
}
