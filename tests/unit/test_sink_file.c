#include <dirent.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "avro_put.h"
#include "container.h"
#include "sink_kit.h"
#include "tmpdir.h"

extern const struct wf_sink_ops wf_sink_file;
static const struct wf_sink_ops *const ops = &wf_sink_file;

static struct wf_stream orders = {.topic = "orders", .value_schema = "\"string\""};
static struct wf_stream orders_v2 = {.topic = "orders",
                                     .value_schema = "{\"type\":\"string\",\"logicalType\":\"x\"}"};
static struct wf_stream users = {.topic = "users", .value_schema = "\"string\""};

static void make(void)
{
    tmpdir_make();
    kit_make(ops);
    kit_option(ops, "dir", in_tmpdir("out"));
    kit_option(ops, "sync", "0ms");
}

static void make_open(void)
{
    make();
    kit_open(ops);
}

static void destroy(void)
{
    kit_destroy(ops);
    tmpdir_remove();
}

TestSuite(sink_file, .init = make_open, .fini = destroy);
TestSuite(sink_file_options, .init = make, .fini = destroy);
TestSuite(sink_file_recovery, .init = make, .fini = destroy);

/* An Avro string. */
static enum wf_rc try_publish(struct wf_stream *stream, const char *text, size_t len)
{
    unsigned char *value = malloc(len + WF_LONG_ROOM);
    unsigned char *end = wf_put_bytes(value, text, len);
    struct wf_event ev = {.stream = stream, .value = value, .value_len = (size_t)(end - value)};
    enum wf_rc rc = kit_send(ops, &ev);

    free(value); /* the sink holds its own copy */
    return rc;
}

/* While the worker writes, the first event of a topic or schema has to wait. */
static void publish_bytes(struct wf_stream *stream, const char *text, size_t len)
{
    if (try_publish(stream, text, len) == WF_OK)
        return;
    kit_wait_worker();
    cr_assert_eq(try_publish(stream, text, len), WF_OK, "%s", err.text);
}

static void publish(struct wf_stream *stream, const char *text)
{
    publish_bytes(stream, text, strlen(text));
}

static void publish_and_wait(struct wf_stream *stream, const char *text)
{
    publish(stream, text);
    kit_wait_confirmed(ops);
}

/* ---- reading back ------------------------------------------------------------------------- */

static char content[4096];

static bool append_datum(void *arg, const char *json, size_t len)
{
    (void)arg;
    snprintf(content + strlen(content), sizeof(content) - strlen(content), "%.*s ", (int)len, json);
    return true;
}

/* The data of one file, each followed by a blank: "\"a\" \"b\" ". */
static const char *content_of(const char *name)
{
    enum wf_rc rc;

    content[0] = '\0';
    rc = wf_container_read(in_tmpdir(name), append_datum, NULL, &err);
    cr_expect_eq(rc, WF_OK, "%s", err.text);
    return content;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder in order, each followed by a blank. */
static const char *names_in(const char *folder)
{
    static char text[4096];
    char *names[64] = {0};
    size_t n = 0;
    DIR *d = opendir(in_tmpdir(folder));

    for (struct dirent *e; d && (e = readdir(d)) != NULL && n < 64;) {
        if (e->d_name[0] != '.')
            names[n++] = strdup(e->d_name);
    }
    if (d)
        closedir(d);
    qsort(names, n, sizeof(*names), by_name);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(strcat(text, names[i]), " ");
        free(names[i]);
    }
    return text;
}

/* ---- ordinary life ------------------------------------------------------------------------ */

Test(sink_file, writes_a_folder_per_topic_in_order)
{
    publish(&orders, "a");
    publish(&users, "u");
    publish(&orders, "b");
    kit_wait_confirmed(ops);
    publish_and_wait(&orders, "c");
    cr_expect_str_eq(names_in("out"), "orders users ");
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro.part ");
    cr_expect_str_eq(content_of("out/orders/000000000001.avro.part"), "\"a\" \"b\" \"c\" ");
    cr_expect_str_eq(content_of("out/users/000000000001.avro.part"), "\"u\" ");
}

Test(sink_file, gives_files_their_names_when_closed)
{
    publish_and_wait(&orders, "a");
    kit_close(ops);
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro ");
    cr_expect_null(orders.sink_data, "the stream outlives the sink");

    kit_open(ops);
    publish_and_wait(&orders, "b");
    kit_close(ops);
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro 000000000002.avro ");
    cr_expect_str_eq(content_of("out/orders/000000000002.avro"), "\"b\" ");
}

Test(sink_file, confirms_once_the_disk_has_it)
{
    kit_wait_worker();
    publish(&orders, "a");
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 1);
    cr_assert_eq(ops->poll(sink, &err), WF_OK); /* starts to write */
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 1);
    cr_expect_eq(wf_delivery_safe_lsn(env.delivery), 0);
    kit_wait_worker();
    cr_expect(all_confirmed());
    cr_expect_str_eq(content_of("out/orders/000000000001.avro.part"), "\"a\" ");
}

Test(sink_file_options, let_events_wait_for_company_until_shutdown_begins)
{
    kit_option(ops, "sync", "60s");
    kit_open(ops);
    publish(&orders, "a");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(kit_turn(ops), WF_OK);
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 1);
    ops->drain(sink);
    kit_wait_confirmed(ops);
}

Test(sink_file, drops_what_was_not_confirmed_when_closed)
{
    publish_and_wait(&orders, "a");
    publish(&orders, "b");
    kit_close(ops);
    cr_expect_str_eq(content_of("out/orders/000000000001.avro"), "\"a\" ");
}

Test(sink_file, leaves_no_file_without_an_event)
{
    publish(&orders, "a");
    kit_close(ops);
    cr_expect_str_eq(names_in("out/orders"), "");
}

/* A tombstone is for compacted topics; keys are in the value. */
Test(sink_file, confirms_tombstones_without_writing_them)
{
    struct wf_event tombstone = {
        .stream = &orders, .key = (const unsigned char *)"k", .key_len = 1};

    publish(&orders, "a");
    cr_assert_eq(kit_send(ops, &tombstone), WF_OK);
    kit_wait_confirmed(ops);
    cr_expect_str_eq(content_of("out/orders/000000000001.avro.part"), "\"a\" ");
}

Test(sink_file, starts_a_file_with_each_change_of_schema)
{
    publish(&orders, "1a");
    publish(&orders_v2, "2a");
    publish(&orders_v2, "2b");
    publish(&orders, "3a"); /* back again: a third file, for the order of events */
    kit_wait_confirmed(ops);
    publish_and_wait(&orders, "3b");
    cr_expect_str_eq(names_in("out/orders"),
                     "000000000001.avro 000000000002.avro 000000000003.avro.part ");
    cr_expect_str_eq(content_of("out/orders/000000000001.avro"), "\"1a\" ");
    cr_expect_str_eq(content_of("out/orders/000000000002.avro"), "\"2a\" \"2b\" ");
    cr_expect_str_eq(content_of("out/orders/000000000003.avro.part"), "\"3a\" \"3b\" ");
}

Test(sink_file, retires_a_file_whose_schema_is_out_of_use)
{
    publish_and_wait(&orders, "1");
    publish_and_wait(&orders_v2, "2");
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro 000000000002.avro.part ");
    cr_expect_null(orders.sink_data);
}

Test(sink_file_options, end_a_file_by_its_size)
{
    static char big[70000];

    memset(big, 'x', sizeof(big));
    kit_option(ops, "rotate_size", "64KiB");
    kit_open(ops);
    for (int i = 0; i < 3; i++) {
        publish_bytes(&orders, big, sizeof(big));
        kit_wait_confirmed(ops);
    }
    publish_and_wait(&orders, "small");
    kit_wait_worker();
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro 000000000002.avro "
                                             "000000000003.avro 000000000004.avro.part ");
    cr_expect_str_eq(content_of("out/orders/000000000004.avro.part"), "\"small\" ");
}

Test(sink_file_options, end_a_file_by_its_age_even_without_events)
{
    kit_option(ops, "rotate_age", "100ms");
    kit_open(ops);
    publish_and_wait(&orders, "a");
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro.part ");
    for (uint64_t end = wf_mono_us() + 130000; wf_mono_us() < end;)
        cr_assert_eq(kit_turn(ops), WF_OK);
    kit_wait_worker();
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro ");
    publish_and_wait(&orders, "b");
    cr_expect_str_eq(content_of("out/orders/000000000002.avro.part"), "\"b\" ");
}

Test(sink_file, closes_blocks_that_are_large_enough)
{
    static char text[1000];
    struct stat st;

    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 1000; i++)
        publish_bytes(&orders, text, sizeof(text));
    kit_wait_confirmed(ops);
    cr_assert_eq(stat(in_tmpdir("out/orders/000000000001.avro.part"), &st), 0);
    cr_expect_gt(st.st_size, 1000 * 1002 + 15 * 20, "a sync marker for each 64 KiB");
    cr_expect_eq(
        wf_container_read(in_tmpdir("out/orders/000000000001.avro.part"), append_datum, NULL, &err),
        WF_OK, "%s", err.text);
}

Test(sink_file, says_again_when_it_holds_enough)
{
    static char big[1 << 20];
    int taken = 0;

    memset(big, 'x', sizeof(big));
    kit_wait_worker();
    while (try_publish(&orders, big, sizeof(big)) == WF_OK)
        cr_assert_lt(++taken, 100);
    cr_expect_leq(taken, 8, "about 4 MiB");
    cr_expect_eq(wf_delivery_in_flight(env.delivery), (uint64_t)taken, "nothing was half taken");
    kit_wait_confirmed(ops);
    publish_and_wait(&orders, "small");
}

Test(sink_file_options, name_a_folder_that_can_be_used)
{
    struct wf_sink *s = NULL;

    write_whole(in_tmpdir("file"), "", 0);
    kit_option(ops, "dir", in_tmpdir("file/out"));
    cr_expect_eq(ops->open(&s, sink_conf, &env, &err), WF_FATAL);
    cr_expect_eq(err.exit_code, 78);
    cr_expect(strncmp(err.text, "sink.dir: ", 10) == 0, "%s", err.text);
    cr_expect_null(s);
    ops->close(NULL);
}

Test(sink_file, shares_its_folder_with_no_other_writer)
{
    struct wf_sink *s = NULL;

    cr_expect_eq(ops->open(&s, sink_conf, &env, &err), WF_RETRY);
    cr_expect_str_eq(err.code, "sink_locked");
    cr_expect(strstr(err.text, "hint: "), "%s", err.text);
    kit_close(ops);
    kit_open(ops);
    publish_and_wait(&orders, "a");
}

static char findings[512];

static void report(void *arg, const char *level, const char *what, const char *cure)
{
    (void)arg;
    snprintf(findings, sizeof(findings), "%s: %s; %s", level, what, cure ? cure : "-");
}

static sem_t hold;

static void wait_for_hold(struct wf_job *job)
{
    (void)job;
    sem_wait(&hold);
}

static void held(struct wf_job *job)
{
    (void)job;
}

/* The slot is lost to another daemon while a slow disk still writes. */
Test(sink_file, closed_while_it_writes_goes_once_that_is_done)
{
    struct wf_job busy = {.run = wait_for_hold, .done = held};

    kit_wait_worker(); /* recovery */
    sem_init(&hold, 0, 0);
    wf_worker_submit(env.worker, &busy);
    cr_assert_eq(try_publish(&orders, "a", 1), WF_OK, "%s", err.text);
    cr_assert_eq(ops->poll(sink, &err), WF_OK, "%s", err.text);
    ops->close(sink);
    sink = NULL;
    cr_expect_eq(ops->open(&sink, sink_conf, &env, &err), WF_RETRY);
    cr_expect_str_eq(err.code, "sink_locked");
    sem_post(&hold);
    kit_wait_worker();
    kit_open(ops);
    kit_wait_worker();
    cr_expect_str_eq(names_in("out/orders"), "000000000001.avro ");
    cr_expect_str_eq(content_of("out/orders/000000000001.avro"), "\"a\" ");
    sem_destroy(&hold);
}

Test(sink_file_options, are_looked_at_by_check)
{
    ops->check(sink_conf, "test", report, NULL);
    cr_expect(strncmp(findings, "warning: ", 9) == 0, "%s", findings);
    cr_expect_eq(access(in_tmpdir("out"), F_OK), -1, "nothing was made");
    cr_assert_eq(mkdir(in_tmpdir("out"), 0700), 0);
    ops->check(sink_conf, "test", report, NULL);
    cr_expect(strncmp(findings, "ok: ", 4) == 0, "%s", findings);
    write_whole(in_tmpdir("file"), "", 0);
    kit_option(ops, "dir", in_tmpdir("file/out"));
    ops->check(sink_conf, "test", report, NULL);
    cr_expect(strncmp(findings, "error: ", 7) == 0, "%s", findings);
}

/* ---- after a crash ------------------------------------------------------------------------ */

/* What a run that was killed left behind. */
static void left_behind(const char *name, const char *data, size_t len)
{
    mkdir(in_tmpdir("out"), 0700);
    mkdir(in_tmpdir("out/orders"), 0700);
    write_whole(in_tmpdir(name), data, len);
}

static void recover(void)
{
    kit_open(ops);
    kit_wait_worker();
    cr_assert_eq(ops->poll(sink, &err), WF_OK, "%s", err.text);
    kit_close(ops);
}

Test(sink_file_recovery, keeps_whole_blocks_of_a_file_cut_at_any_byte)
{
    static const char *const whole[] = {"", "\"a\" ", "\"a\" \"bb\" ", "\"a\" \"bb\" \"ccc\" "};
    static const char *const texts[] = {"a", "bb", "ccc"};
    size_t end[4] = {0}, len = 0; /* of the file behind each block */
    char *data;

    kit_open(ops);
    for (int i = 0; i < 3; i++) {
        struct stat st;

        publish_and_wait(&orders, texts[i]);
        cr_assert_eq(stat(in_tmpdir("out/orders/000000000001.avro.part"), &st), 0);
        end[i + 1] = (size_t)st.st_size;
    }
    kit_close(ops);
    data = read_whole(in_tmpdir("out/orders/000000000001.avro"), &len);
    cr_assert_eq(len, end[3]);
    cr_assert_eq(unlink(in_tmpdir("out/orders/000000000001.avro")), 0);

    for (size_t cut = 0; cut <= len; cut++) {
        int blocks = (cut >= end[1]) + (cut >= end[2]) + (cut >= end[3]);
        bool header = cut >= end[1] - (2 + 2 + 16); /* "a": count, size, two bytes, marker */

        left_behind("out/orders/000000000001.avro.part", data, cut);
        recover();
        if (blocks || (header && names_in("out/orders")[0])) {
            cr_assert_str_eq(names_in("out/orders"), "000000000001.avro ", "cut at %zu", cut);
            cr_assert_str_eq(content_of("out/orders/000000000001.avro"), whole[blocks],
                             "cut at %zu", cut);
            unlink(in_tmpdir("out/orders/000000000001.avro"));
        } else {
            cr_assert_str_eq(names_in("out/orders"), "", "cut at %zu", cut);
        }
    }
    free(data);
}

/* A crash of the machine may leave zeros, or old bytes, where the length was already grown. */
Test(sink_file_recovery, cuts_off_what_is_no_block)
{
    static const char tails[][40] = {"", "garbage after the last whole block", "\x02\x04\x02z"};
    size_t len;
    char *data;

    kit_open(ops);
    publish_and_wait(&orders, "a");
    kit_close(ops);
    data = read_whole(in_tmpdir("out/orders/000000000001.avro"), &len);
    data = realloc(data, len + sizeof(tails[0]));
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        memcpy(data + len, tails[i], sizeof(tails[0]));
        left_behind("out/orders/000000000001.avro.part", data, len + sizeof(tails[0]));
        recover();
        cr_expect_str_eq(content_of("out/orders/000000000001.avro"), "\"a\" ");
    }
    free(data);
}

Test(sink_file_recovery, goes_on_with_the_next_number)
{
    left_behind("out/orders/000000000007.avro", "old", 3);
    left_behind("out/orders/000000000009.avro.part", "torn", 4);
    kit_open(ops);
    publish_and_wait(&orders, "a");
    cr_expect_str_eq(names_in("out/orders"), "000000000007.avro 000000000008.avro.part ");
}

Test(sink_file_recovery, leaves_other_peoples_files_alone)
{
    static const char *const names[] = {
        "out/README",
        "out/notes.avro.part",
        "out/orders/mine.avro.part",
        "out/orders/5.avro.part",
        "out/orders/000000000001.avro.part.bak",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        left_behind(names[i], "precious", 8);
    recover();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len;
        char *data = read_whole(in_tmpdir(names[i]), &len);

        cr_expect(len == 8 && memcmp(data, "precious", 8) == 0, "%s", names[i]);
        free(data);
    }
}

Test(sink_file_recovery, does_not_follow_links)
{
    left_behind("precious", "precious", 8);
    cr_assert_eq(symlink("../../precious", in_tmpdir("out/orders/000000000001.avro.part")), 0);
    kit_open(ops);
    kit_wait_worker();
    cr_expect_eq(ops->poll(sink, &err), WF_RETRY);
    cr_expect(strstr(err.text, "000000000001.avro.part"), "%s", err.text);
}

/* ---- full disk ---------------------------------------------------------------------------- */

static void limit_files_to(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void expect_retry(void)
{
    enum wf_rc rc = WF_OK;

    for (uint64_t end = wf_mono_us() + 5000000; rc == WF_OK && wf_mono_us() < end;)
        rc = kit_turn(ops);
    cr_assert_eq(rc, WF_RETRY);
    cr_expect(strstr(err.text, "cannot write"), "%s", err.text);
}

Test(sink_file, confirms_nothing_on_a_full_disk_and_leaves_whole_blocks)
{
    struct stat st;

    publish_and_wait(&orders, "a");
    cr_assert_eq(stat(in_tmpdir("out/orders/000000000001.avro.part"), &st), 0);
    limit_files_to((rlim_t)st.st_size + 5); /* some bytes still fit */
    publish(&orders, "does not fit");
    expect_retry();
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 1);
    cr_expect_eq(wf_delivery_safe_lsn(env.delivery), sent_lsn - 1);
    cr_expect_eq(ops->poll(sink, &err), WF_RETRY, "until it is opened again");
    kit_close(ops);
    cr_expect_str_eq(content_of("out/orders/000000000001.avro"), "\"a\" ");

    limit_files_to(RLIM_INFINITY);
    wf_delivery_reset(env.delivery, sent_lsn - 1);
    kit_open(ops);
    publish_and_wait(&orders, "fits again");
    kit_close(ops);
    cr_expect_str_eq(content_of("out/orders/000000000002.avro"), "\"fits again\" ");
}

Test(sink_file, leaves_nothing_when_not_even_the_header_fits)
{
    kit_wait_worker();
    limit_files_to(20);
    publish(&orders, "a");
    expect_retry();
    kit_close(ops);
    cr_expect_str_eq(names_in("out/orders"), "");
    limit_files_to(RLIM_INFINITY);
}

Test(sink_file, tries_again_when_its_folder_went_away)
{
    kit_wait_worker();
    cr_assert_eq(unlink(in_tmpdir("out/.lock")), 0);
    cr_assert_eq(rmdir(in_tmpdir("out")), 0);
    publish(&orders, "a");
    for (uint64_t end = wf_mono_us() + 5000000; wf_mono_us() < end;) {
        if (kit_turn(ops) == WF_RETRY)
            break;
    }
    cr_expect_eq(err.rc, WF_RETRY);
    cr_expect(strstr(err.text, "cannot create folder"), "%s", err.text);
}

/* More topics than files may be open: the sink closes some, and loses none. */
Test(sink_file, serves_more_topics_than_it_keeps_files_open)
{
    enum { TOPICS = 300 };
    static struct wf_stream streams[TOPICS];
    static char topics[TOPICS][16];

    for (int i = 0; i < TOPICS; i++) {
        snprintf(topics[i], sizeof(topics[i]), "t%d", i);
        streams[i] = (struct wf_stream){.topic = topics[i], .value_schema = "\"string\""};
    }
    for (int round = 0; round < 2; round++) {
        kit_wait_worker();
        for (int i = 0; i < TOPICS; i++)
            publish(&streams[i], topics[i]);
        kit_wait_confirmed(ops);
    }
    kit_close(ops);
    for (int i = 0; i < TOPICS; i++) {
        char name[64];

        snprintf(name, sizeof(name), "out/t%d/000000000001.avro", i);
        cr_expect_not(strncmp(content_of(name), "\"t", 2), "%s", name);
    }
}
