/* What a power cut leaves, as a library that is loaded before libc: the folder POWER_CUT_DISK holds what was synced of
   POWER_CUT_ROOT, by the number of its file or folder, and nothing else. At the POWER_CUT_AT-th sync the power fails. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int count;

static void write_content(int source, int copy) {
    char part[1 << 16];
    ssize_t size;
    while ((size = read(source, part, sizeof part)) > 0)
        if (write(copy, part, size) != size) abort();
    close(source);
}

static void write_names(DIR *folder, int copy) {
    for (struct dirent *each; (each = readdir(folder));)
        dprintf(copy, "%lu %d %s\n", (unsigned long)each->d_ino, each->d_type == DT_DIR, each->d_name);
    closedir(folder);
}

/* Copies what stands in a file, or the names in a folder, as they are now. */
static int keep(int descriptor) {
    char path[64], copy[4096], begun[4200];
    struct stat found;
    if (fstat(descriptor, &found)) return -1;
    dup(descriptor); /* never closed: no other file gets its number meanwhile */
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    const char *kind = S_ISDIR(found.st_mode) ? ".names" : "";
    snprintf(copy, sizeof copy, "%s/%lu%s", getenv("POWER_CUT_DISK"), (unsigned long)found.st_ino, kind);
    snprintf(begun, sizeof begun, "%s.%d.%d", copy, getpid(), descriptor);
    int to = open(begun, O_WRONLY | O_CREAT | O_TRUNC, 0600), from = open(path, O_RDONLY);
    if (to < 0 || from < 0) abort();
    if (S_ISDIR(found.st_mode)) write_names(fdopendir(from), to);
    else write_content(from, to);
    close(to);
    return rename(begun, copy);
}

static int keep_path(const char *path, const struct stat *found, int kind, struct FTW *place) {
    int descriptor = open(path, O_RDONLY);
    if (descriptor >= 0) keep(descriptor), close(descriptor);
    return 0;
}

/* Whether there is a disk; counts the sync, and ends the process where the power fails at it. */
static int is_kept(void) {
    const char *disk = getenv("POWER_CUT_DISK"), *at = getenv("POWER_CUT_AT");
    char path[4096];
    if (!disk) return 0;
    int now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    snprintf(path, sizeof path, "%s/count", disk);
    int counted = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (counted < 0 || write(counted, ".", 1) != 1) abort();
    close(counted);
    if (at && now == atoi(at)) kill(getpid(), SIGKILL);
    return 1;
}

int fsync(int descriptor) { return is_kept() ? keep(descriptor) : 0; }
int fdatasync(int descriptor) { return is_kept() ? keep(descriptor) : 0; }
int syncfs(int descriptor) { return is_kept() ? nftw(getenv("POWER_CUT_ROOT"), keep_path, 16, FTW_PHYS) : 0; }
