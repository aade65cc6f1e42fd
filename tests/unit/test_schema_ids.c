#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "schema_ids.h"

static char dir[] = "/tmp/walferry-ids-XXXXXX", file[100];
static char url[] = "http://one", other_url[] = "http://two";
static char *urls[] = {url, other_url};
static struct wf_list one = {urls, 1}, both = {urls, 2};
static struct wf_schema_ids *ids;
static struct wf_err err;
static int writes_left = INT_MAX; /* then the file system takes nothing and says nothing */

/* In place of libc's. */
ssize_t write(int fd, const void *data, size_t n)
{
    if (writes_left <= 0)
        return 0;
    if (writes_left == 1)
        n = n / 2;
    writes_left--;
    return syscall(SYS_write, fd, data, n);
}

static void make(void)
{
    wf_log_setup(WF_LOG_ERROR, false, NULL);
    cr_assert_not_null(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/schemas", dir);
}

static void destroy(void)
{
    wf_schema_ids_close(ids);
    unlink(file);
    rmdir(dir);
}

TestSuite(schema_ids, .init = make, .fini = destroy);

static void reopen(const struct wf_list *registry)
{
    wf_schema_ids_close(ids);
    ids = NULL;
    cr_assert_eq(wf_schema_ids_open(&ids, dir, registry, NULL, &err), WF_OK, "%s", err.text);
}

static void put(const char *subject, const char *text, bool key, int32_t id)
{
    cr_assert_eq(wf_schema_ids_put(ids, subject, text, key, id, &err), WF_OK, "%s", err.text);
}

static int32_t id_of(const char *subject, const char *text)
{
    const struct wf_schema_id *found = wf_schema_ids_find(ids, subject, text);

    return found ? found->id : 0;
}

Test(schema_ids, outlive_a_restart)
{
    reopen(&one);
    cr_expect_eq(id_of("t-value", "\"int\""), 0);
    put("t-value", "\"int\"", false, 7);
    put("t-value", "\"long\"", false, INT32_MAX);
    put("t-key", "\"int\"", true, 7);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(id_of("t-value", "\"int\""), 7);
        cr_expect_eq(id_of("t-value", "\"long\""), INT32_MAX);
        cr_expect_eq(id_of("t-value", "\"string\""), 0);
        cr_expect_str_eq(wf_schema_ids_text(ids, "t-value"), "\"long\"");
        cr_expect_null(wf_schema_ids_text(ids, "t"));
        reopen(&one);
    }
}

Test(schema_ids, of_another_registry_are_only_pins)
{
    reopen(&one);
    put("t-value", "\"int\"", false, 7);
    put("t-key", "\"int\"", true, 8);
    cr_expect_not(wf_schema_ids_find(ids, "t-key", "\"int\"")->foreign);
    reopen(&both);
    cr_expect_eq(id_of("t-value", "\"int\""), 0);
    cr_expect_eq(id_of("t-key", "\"int\""), 8);
    cr_expect(wf_schema_ids_find(ids, "t-key", "\"int\"")->foreign);
    cr_expect_str_eq(wf_schema_ids_text(ids, "t-value"), "\"int\"");
    reopen(&both);
    cr_expect(wf_schema_ids_find(ids, "t-key", "\"int\"")->foreign, "until it is asked again");
    put("t-key", "\"int\"", true, 8);
    reopen(&both);
    cr_expect_not(wf_schema_ids_find(ids, "t-key", "\"int\"")->foreign);
}

/* Every single byte matters. */
Test(schema_ids, of_a_damaged_file_are_asked_again)
{
    unsigned char content[1000];
    ssize_t len;
    int fd;

    reopen(&one);
    put("t-value", "\"int\"", false, 7);
    wf_schema_ids_close(ids);
    ids = NULL;
    fd = open(file, O_RDONLY | O_CLOEXEC);
    len = read(fd, content, sizeof(content));
    close(fd);
    cr_assert(len > 100 && len < 1000);
    for (ssize_t i = -1; i < len; i++) {
        fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (i >= 0)
            content[i] ^= 1;
        cr_assert_eq(write(fd, content, (size_t)(i < 0 ? len / 2 : len)), i < 0 ? len / 2 : len);
        if (i >= 0)
            content[i] ^= 1;
        close(fd);
        reopen(&one);
        cr_expect_eq(id_of("t-value", "\"int\""), 0, "byte %zd", i);
        cr_expect_null(wf_schema_ids_text(ids, "t-value"));
    }
    put("t-value", "\"int\"", false, 9);
    reopen(&one);
    cr_expect_eq(id_of("t-value", "\"int\""), 9, "a new file takes its place");
}

/* Half a file never takes the place of a whole one. */
Test(schema_ids, stand_when_the_disk_is_full)
{
    char half[120];

    snprintf(half, sizeof(half), "%s.new", file);
    reopen(&one);
    put("t-value", "\"int\"", false, 7);
    reopen(&one);
    put("t-value", "\"long\"", false, 8);
    writes_left = 1;
    wf_schema_ids_close(ids);
    ids = NULL;
    writes_left = INT_MAX;
    cr_expect_eq(unlink(half), 0, "the new file stays under its other name");
    reopen(&one);
    cr_expect_eq(id_of("t-value", "\"int\""), 7);
    cr_expect_eq(id_of("t-value", "\"long\""), 0);
}

Test(schema_ids, are_bounded_and_keys_stay_longest)
{
    char text[32];

    reopen(&one);
    put("t-key", "\"int\"", true, 1);
    for (int i = 0; i < 16384; i++) {
        snprintf(text, sizeof(text), "\"t%d\"", i);
        put("t-value", text, false, i + 2);
    }
    cr_expect_eq(id_of("t-value", "\"t0\""), 0, "the oldest is gone");
    cr_expect_eq(id_of("t-value", "\"t1\""), 3);
    cr_expect_eq(id_of("t-key", "\"int\""), 1);
    reopen(&one);
    cr_expect_eq(id_of("t-value", "\"t16383\""), 16385);
}

Test(schema_ids, keep_texts_of_8_mib_at_most)
{
    char *text = malloc((1 << 20) + 1), subject[16];

    cr_assert_not_null(text);
    memset(text, 'x', 1 << 20);
    text[1 << 20] = '\0';
    reopen(&one);
    for (int i = 0; i < 9; i++) {
        snprintf(subject, sizeof(subject), "s%d", i);
        put(subject, text, false, 7);
    }
    cr_expect_null(wf_schema_ids_text(ids, "s0"));
    cr_expect_not_null(wf_schema_ids_text(ids, "s1"));
    cr_expect_eq(id_of("s0", text), 7);
    reopen(&one);
    cr_expect_not_null(wf_schema_ids_text(ids, "s8"));
    free(text);
}

static bool finished;

static void set_finished(struct wf_job *job)
{
    (void)job;
    finished = true;
}

static void nothing(struct wf_job *job)
{
    (void)job;
}

Test(schema_ids, are_written_by_the_worker)
{
    struct wf_loop *loop = wf_loop_new(&err);
    struct wf_worker *worker = wf_worker_new(loop, "worker", &err);
    struct wf_job behind = {.run = nothing, .done = set_finished};
    struct stat st;

    cr_assert_eq(wf_schema_ids_open(&ids, dir, &one, worker, &err), WF_OK);
    put("t-value", "\"int\"", false, 7);
    put("t-value", "\"long\"", false, 8);
    wf_worker_submit(worker, &behind);
    while (!finished)
        cr_assert_eq(wf_loop_turn(loop, 100000, &err), WF_OK);
    cr_assert_eq(stat(file, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    wf_worker_free(worker);
    reopen(&one); /* writes what came in meanwhile */
    cr_expect_eq(id_of("t-value", "\"long\""), 8);
    wf_loop_free(loop);
}
