/*
 * The floor: a FUSE server that keeps names in memory, no content, and does nothing else. What a request costs with it is what the kernel and
 * the processors take. Mounts on argv[1] as root and ends when it is unmounted. Answers as userloop does: no OPEN, no CREATE, everything may be believed for ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODES (1 << 20)
#define SLOTS (1 << 16)
#define REMOVED UINT32_MAX
#define MAX_WRITE (1 << 20)
#define FOR_EVER 1000000

static struct { uint64_t parent, size; uint32_t mode; char name[64]; } nodes[NODES];
static uint32_t slots[SLOTS];
static uint64_t next_node = FUSE_ROOT_ID + 1;
static char request[MAX_WRITE + 4096], reply[4096];
static int fuse;

/* The slot of a name, or the empty one where it would be. */
static uint32_t slot_of(uint64_t parent, const char *name)
{
	uint32_t at = parent * 2654435761u;
	for (const char *c = name; *c; c++) at = at * 31 + *c;
	for (at %= SLOTS; slots[at] != 0; at = (at + 1) % SLOTS) {
		uint32_t node = slots[at];
		if (node != REMOVED && nodes[node].parent == parent && strcmp(nodes[node].name, name) == 0) break;
	}
	return at;
}

static void answer(int error, size_t length)
{
	struct fuse_in_header *in = (void *)request;
	struct fuse_out_header *out = (void *)reply;
	out->unique = in->unique;
	out->error = -error;
	out->len = sizeof *out + (error ? 0 : length);
	/* ENOENT: the request was interrupted. */
	if (write(fuse, reply, out->len) < 0 && errno != ENOENT) perror("write");
}

static void *body(size_t length) { return memset(reply + sizeof(struct fuse_out_header), 0, length); }

static void attributes(struct fuse_attr *to, uint64_t node)
{
	to->ino = node;
	to->mode = nodes[node].mode;
	to->size = nodes[node].size;
	to->nlink = 1;
	to->blksize = 4096;
}

static void entry(uint64_t node)
{
	struct fuse_entry_out *out = body(sizeof *out);
	out->nodeid = node;
	out->generation = 1;
	out->entry_valid = out->attr_valid = FOR_EVER;
	attributes(&out->attr, node);
	answer(0, sizeof *out);
}

static void make(uint64_t parent, const char *name, uint32_t mode)
{
	uint64_t node = next_node++;
	if (node >= NODES || strlen(name) >= sizeof nodes[0].name) { answer(ENOSPC, 0); return; }
	nodes[node].parent = parent;
	nodes[node].size = 0;
	nodes[node].mode = mode;
	strcpy(nodes[node].name, name);
	slots[slot_of(parent, name)] = node;
	entry(node);
}

static void handle(void)
{
	struct fuse_in_header *in = (void *)request;
	char *arguments = request + sizeof *in;
	switch (in->opcode) {
	case FUSE_INIT: {
		struct fuse_init_out *out = body(sizeof *out);
		out->major = FUSE_KERNEL_VERSION;
		out->minor = ((struct fuse_init_in *)arguments)->minor;
		out->flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS | FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;
		out->max_write = MAX_WRITE;
		out->max_pages = MAX_WRITE / 4096;
		out->time_gran = 1;
		answer(0, sizeof *out);
		return;
	}
	case FUSE_LOOKUP: {
		uint32_t node = slots[slot_of(in->nodeid, arguments)];
		if (node == 0) answer(ENOENT, 0);
		else entry(node);
		return;
	}
	case FUSE_SETATTR: {
		struct fuse_setattr_in *set = (void *)arguments;
		if (set->valid & FATTR_SIZE) nodes[in->nodeid].size = set->size;
	} /* fall through */
	case FUSE_GETATTR: {
		struct fuse_attr_out *out = body(sizeof *out);
		out->attr_valid = FOR_EVER;
		attributes(&out->attr, in->nodeid);
		answer(0, sizeof *out);
		return;
	}
	case FUSE_MKNOD:
		make(in->nodeid, arguments + sizeof(struct fuse_mknod_in), ((struct fuse_mknod_in *)arguments)->mode);
		return;
	case FUSE_MKDIR:
		make(in->nodeid, arguments + sizeof(struct fuse_mkdir_in), S_IFDIR | ((struct fuse_mkdir_in *)arguments)->mode);
		return;
	case FUSE_WRITE: {
		struct fuse_write_in *wanted = (void *)arguments;
		struct fuse_write_out *out = body(sizeof *out);
		uint64_t end = wanted->offset + wanted->size;
		if (end > nodes[in->nodeid].size) nodes[in->nodeid].size = end;
		out->size = wanted->size;
		answer(0, sizeof *out);
		return;
	}
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		slots[slot_of(in->nodeid, arguments)] = REMOVED;
		answer(0, 0);
		return;
	case FUSE_GETXATTR:
		answer(ENODATA, 0);
		return;
	case FUSE_STATFS:
		body(sizeof(struct fuse_statfs_out));
		answer(0, sizeof(struct fuse_statfs_out));
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		answer(ENOSYS, 0);
	}
}

int main(int argc, char **argv)
{
	char options[128];
	if (argc < 2) return 2;
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", fuse);
	if (fuse < 0 || mount("names-only", argv[1], "fuse.names-only", MS_NOSUID | MS_NODEV, options) < 0) {
		perror(argv[1]);
		return 1;
	}
	nodes[FUSE_ROOT_ID].mode = S_IFDIR | 0755;
	for (;;) {
		ssize_t length = read(fuse, request, sizeof request);
		if (length >= 0) handle();
		else if (errno == ENODEV) return 0;
		else if (errno != ENOENT && errno != EINTR) {
			perror("read");
			return 1;
		}
	}
}
