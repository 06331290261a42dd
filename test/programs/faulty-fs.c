// A file system of one file, by the kernel's FUSE protocol (linux/fuse.h, fuse(4)), that
// misbehaves as it is told: `faulty-fs FILE FOLDER` shows FILE as FOLDER/program until its
// standard input ends. Each line there sets what reads and opens do from then on: `good`,
// `eio`, `estale` or `hang` (requests are taken and never answered); `told` is printed
// once it is in force. What is read is not kept in memory: each read(2) asks us.
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME "program"
#define FILE_NODE 2
#define MOST (128 << 10)

static int device, backing;
static char request[MOST + 4096], contents[MOST];
static enum { GOOD, EIO_ANSWER, ESTALE_ANSWER, HANG } mode;

static void reply(uint64_t unique, int error, const void *body, size_t length) {
  struct fuse_out_header header = {
      .len = sizeof(header) + length, .error = -error, .unique = unique};
  struct iovec parts[] = {{&header, sizeof(header)}, {(void *)body, length}};
  // Whoever asked may be gone.
  if (writev(device, parts, 2) < 0 && errno != ENOENT) exit(3);
}

static struct fuse_attr attributes(uint64_t node) {
  struct stat status;
  if (fstat(backing, &status)) exit(4);
  struct fuse_attr attr = {.ino = node, .nlink = 1, .blksize = 4096};
  attr.mode = node == FILE_NODE ? S_IFREG | 0755 : S_IFDIR | 0755;
  attr.size = node == FILE_NODE ? status.st_size : 0;
  attr.blocks = attr.size / 512;
  attr.mtime = attr.ctime = status.st_mtime;
  return attr;
}

static void answer(const struct fuse_in_header *in) {
  const int faulty = in->opcode == FUSE_OPEN || in->opcode == FUSE_READ;
  if (mode == HANG && in->opcode != FUSE_FORGET) return;
  if (faulty && mode != GOOD) {
    reply(in->unique, mode == ESTALE_ANSWER ? ESTALE : EIO, 0, 0);
    return;
  }
  switch (in->opcode) {
    case FUSE_INIT: {
      struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = MOST};
      reply(in->unique, 0, &out, sizeof(out));
      break;
    }
    case FUSE_LOOKUP: {
      struct fuse_entry_out out = {.nodeid = FILE_NODE, .attr_valid = 3600, .entry_valid = 3600};
      out.attr = attributes(FILE_NODE);
      const int found = !strcmp((const char *)(in + 1), NAME);
      reply(in->unique, found ? 0 : ENOENT, &out, found ? sizeof(out) : 0);
      break;
    }
    case FUSE_GETATTR: {
      struct fuse_attr_out out = {.attr_valid = 3600, .attr = attributes(in->nodeid)};
      reply(in->unique, 0, &out, sizeof(out));
      break;
    }
    case FUSE_OPEN: {
      struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO};
      reply(in->unique, 0, &out, sizeof(out));
      break;
    }
    case FUSE_READ: {
      const struct fuse_read_in *read_in = (const void *)(in + 1);
      const size_t size = read_in->size < MOST ? read_in->size : MOST;
      const ssize_t n = pread(backing, contents, size, read_in->offset);
      reply(in->unique, n < 0 ? errno : 0, contents, n < 0 ? 0 : n);
      break;
    }
    case FUSE_STATFS: {
      struct fuse_statfs_out out = {.st = {.bsize = 4096, .namelen = 255}};
      reply(in->unique, 0, &out, sizeof(out));
      break;
    }
    case FUSE_FLUSH:
    case FUSE_RELEASE:
      reply(in->unique, 0, 0, 0);
      break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      break;
    default:
      reply(in->unique, ENOSYS, 0, 0);
  }
}

static void obey(const char *line) {
  if (!strncmp(line, "good", 4)) mode = GOOD;
  if (!strncmp(line, "eio", 3)) mode = EIO_ANSWER;
  if (!strncmp(line, "estale", 6)) mode = ESTALE_ANSWER;
  if (!strncmp(line, "hang", 4)) mode = HANG;
  puts("told");
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  setvbuf(stdout, 0, _IOLBF, 0);
  device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  backing = open(argv[1], O_RDONLY | O_CLOEXEC);
  char options[128];
  snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
           device);
  if (device < 0 || backing < 0 || mount("faulty-fs", argv[2], "fuse", MS_NODEV, options)) {
    perror(argv[2]);
    return 1;
  }
  puts("ready");
  struct pollfd waits[] = {{.fd = device, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  while (poll(waits, 2, -1) >= 0) {
    if (waits[1].revents) {
      char line[64] = "";
      if (read(0, line, sizeof(line) - 1) <= 0) break;
      obey(line);
    }
    if (waits[0].revents) {
      const ssize_t n = read(device, request, sizeof(request));
      if (n >= (ssize_t)sizeof(struct fuse_in_header)) answer((const void *)request);
      if (n < 0 && errno == ENODEV) return 0;
    }
  }
  umount2(argv[2], MNT_DETACH);
  // Whoever still waits is told when the last descriptor is closed.
  return 0;
}
