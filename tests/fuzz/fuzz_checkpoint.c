/* The bytes of a checkpoint file. The first byte says which of the two copies get a right checksum,
 * for a fuzzer does not guess one. */
#include "../../src/checkpoint.c" /* for struct record and its checksum */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static char dir[] = "/dev/shm/walferry-fuzz-XXXXXX";
static char path[sizeof(dir) + 16];

static void clean_up(void)
{
    unlink(path);
    rmdir(dir);
}

static void write_file(const unsigned char *data, size_t size, unsigned right)
{
    static unsigned char copy[2 * SLOT_BYTES];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (size > sizeof(copy))
        size = sizeof(copy);
    memcpy(copy, data, size);
    for (size_t i = 0; i < 2; i++) {
        struct record r;

        if (!(right >> i & 1) || size < i * SLOT_BYTES + sizeof(r))
            continue;
        memcpy(&r, copy + i * SLOT_BYTES, sizeof(r));
        memcpy(r.magic, magic, sizeof(magic));
        r.version = FORMAT_VERSION;
        r.crc = crc32c(&r, offsetof(struct record, crc));
        memcpy(copy + i * SLOT_BYTES, &r, sizeof(r));
    }
    if (fd < 0 || write(fd, copy, size) != (ssize_t)size)
        abort();
    close(fd);
}

/* A start, then a save over whatever was there. */
static void use(void)
{
    struct wf_checkpoint_store *s;
    struct wf_checkpoint cp, again;
    struct wf_err err;
    enum wf_rc rc;

    if (wf_checkpoint_open(dir, &s, &err) != WF_OK)
        abort();
    rc = wf_checkpoint_load(s, &cp, &err);
    if (rc == WF_OK) {
        if (cp.state < WF_CHECKPOINT_INTENT || cp.state > WF_CHECKPOINT_COPY ||
            !memchr(cp.slot, '\0', sizeof(cp.slot)))
            abort();
        cp.lsn += cp.lsn < UINT64_MAX;
        if (cp.generation < UINT64_MAX && /* no daemon saves that often */
            (wf_checkpoint_save(s, &cp, &err) != WF_OK ||
             wf_checkpoint_load(s, &again, &err) != WF_OK || again.lsn != cp.lsn))
            abort();
    } else if (rc != WF_FATAL || err.exit_code != WF_EXIT_REFUSED ||
               strcmp(err.code, "checkpoint_invalid") != 0) {
        abort();
    }
    wf_checkpoint_close(s);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (!path[0]) {
        if (!mkdtemp(dir))
            abort();
        snprintf(path, sizeof(path), "%s/" FILE_NAME, dir);
        atexit(clean_up);
    }
    if (size < 1)
        return 0;
    write_file(data + 1, size - 1, data[0]);
    use();
    return 0;
}
