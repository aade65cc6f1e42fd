#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "tmpdir.h"

static struct wf_checkpoint_store *store;
static struct wf_err err;

static void reopen(void)
{
    wf_checkpoint_close(store);
    store = NULL;
    cr_assert_eq(wf_checkpoint_open(in_tmpdir("state"), &store, &err), WF_OK, "%s", err.text);
}

static void make(void)
{
    tmpdir_make();
    reopen();
}

static void destroy(void)
{
    wf_checkpoint_close(store);
    tmpdir_remove();
}

TestSuite(checkpoint, .init = make, .fini = destroy);

static enum wf_rc try_save(uint64_t lsn)
{
    struct wf_checkpoint cp = {.state = WF_CHECKPOINT_ACTIVE,
                               .system_id = UINT64_C(7000000000000000001),
                               .timeline = 3,
                               .lsn = lsn,
                               .slot = "walferry_shop"};

    return wf_checkpoint_save(store, &cp, &err);
}

static void save(uint64_t lsn)
{
    cr_assert_eq(try_save(lsn), WF_OK, "%s", err.text);
}

static enum wf_rc try_load(struct wf_checkpoint *cp)
{
    memset(&err, 0, sizeof(err));
    return wf_checkpoint_load(store, cp, &err);
}

static void expect_lsn(uint64_t lsn)
{
    struct wf_checkpoint cp;

    cr_assert_eq(try_load(&cp), WF_OK, "%s", err.text);
    cr_expect_eq(cp.state, WF_CHECKPOINT_ACTIVE);
    cr_expect_eq(cp.lsn, lsn);
}

static void expect_refused(const char *code)
{
    struct wf_checkpoint cp;

    cr_expect_eq(try_load(&cp), WF_FATAL);
    cr_expect_str_eq(err.code, code, "%s", err.text);
    cr_expect_eq(err.exit_code, 76);
    cr_expect(strstr(err.text, "hint: "), "%s", err.text);
}

/* ---- ordinary life ------------------------------------------------------------------------ */

Test(checkpoint, is_none_before_the_first_save)
{
    struct wf_checkpoint cp = {.state = WF_CHECKPOINT_ACTIVE, .lsn = 1};

    cr_assert_eq(try_load(&cp), WF_OK);
    cr_expect_eq(cp.state, WF_CHECKPOINT_NONE);
    cr_expect_eq(cp.lsn, 0);
    wf_checkpoint_close(NULL);
}

Test(checkpoint, comes_back_as_it_was_saved)
{
    struct wf_checkpoint saved = {
        .state = WF_CHECKPOINT_INTENT,
        .system_id = UINT64_MAX,
        .timeline = UINT32_MAX,
        .lsn = UINT64_C(0x16B374D848),
        .slot = "a_slot_name_of_sixty_three_bytes_which_is_the_most_a_slot_can_h"};
    struct wf_checkpoint cp;

    cr_assert_eq(strlen(saved.slot), 63);
    cr_assert_eq(wf_checkpoint_save(store, &saved, &err), WF_OK, "%s", err.text);
    cr_expect_eq(saved.generation, 1);
    cr_expect_gt(saved.saved_us, INT64_C(1577836800000000), "after 2020");

    reopen();
    cr_assert_eq(try_load(&cp), WF_OK, "%s", err.text);
    cr_expect_eq(cp.state, WF_CHECKPOINT_INTENT);
    cr_expect_eq(cp.generation, 1);
    cr_expect_eq(cp.system_id, saved.system_id);
    cr_expect_eq(cp.timeline, saved.timeline);
    cr_expect_eq(cp.lsn, saved.lsn);
    cr_expect_eq(cp.saved_us, saved.saved_us);
    cr_expect_str_eq(cp.slot, saved.slot);
}

Test(checkpoint, is_the_newest_of_many_saves)
{
    for (uint64_t lsn = 1; lsn <= 7; lsn++) {
        save(lsn);
        expect_lsn(lsn);
    }
    reopen();
    expect_lsn(7);
    save(8);
    reopen();
    expect_lsn(8);
}

/* The one before stays whole while the next is written. */
Test(checkpoint, alternates_between_two_places)
{
    size_t before_len, after_len;
    char *before, *after;

    save(1);
    save(2);
    save(3);
    before = read_whole(in_tmpdir("state/checkpoint"), &before_len);
    save(4);
    after = read_whole(in_tmpdir("state/checkpoint"), &after_len);
    cr_assert_eq(before_len, after_len);
    cr_assert_gt(before_len, 4096);
    cr_expect_neq(memcmp(before, after, 4096), 0);
    cr_expect_eq(memcmp(before + 4096, after + 4096, before_len - 4096), 0);
    free(before);
    free(after);
}

/* A save that would look older than what is there would be no save at all. */
Test(checkpoint, saved_without_loading_first_is_still_the_newest)
{
    save(1);
    save(2);
    save(3);
    reopen();
    save(4);
    expect_lsn(4);
}

/* A daemon that lost the slot without knowing it must not turn its successor's position back. */
Test(checkpoint, of_another_daemon_is_not_written_over)
{
    struct wf_checkpoint_store *successor;
    struct wf_checkpoint cp;

    save(1);
    cr_assert_eq(wf_checkpoint_open(in_tmpdir("state"), &successor, &err), WF_OK);
    cr_assert_eq(wf_checkpoint_load(successor, &cp, &err), WF_OK);
    save(2); /* not seen by the successor yet */
    cr_expect_eq(wf_checkpoint_claim(successor, &cp, &err), WF_RETRY);
    cr_expect_str_eq(err.code, "checkpoint_moved");

    cr_assert_eq(wf_checkpoint_load(successor, &cp, &err), WF_OK);
    cr_expect_eq(cp.lsn, 2);
    cp.lsn = 3;
    cr_expect_eq(wf_checkpoint_claim(successor, &cp, &err), WF_OK);
    cr_expect_eq(try_save(4), WF_RETRY);
    cr_expect_str_eq(err.code, "checkpoint_taken");
    expect_lsn(3); /* a look, on the way to a slot that is not ours */
    cr_expect_eq(try_save(5), WF_RETRY);
    wf_checkpoint_close(successor);
}

/* Our own progress saves while a connection is made with what was loaded before. */
Test(checkpoint, is_not_moved_back_by_a_claim)
{
    struct wf_checkpoint cp;

    save(10);
    cr_assert_eq(try_load(&cp), WF_OK, "%s", err.text);
    save(20);
    cr_expect_eq(wf_checkpoint_claim(store, &cp, &err), WF_RETRY);
    cr_expect_str_eq(err.code, "checkpoint_moved");
    expect_lsn(20);
    cr_assert_eq(try_load(&cp), WF_OK, "%s", err.text);
    cr_expect_eq(wf_checkpoint_claim(store, &cp, &err), WF_OK, "%s", err.text);
    expect_lsn(20);
}

/* Such a save may have been on its way while the newer one was claimed. */
Test(checkpoint, does_not_go_back_by_a_save)
{
    save(20);
    cr_expect_eq(try_save(10), WF_RETRY);
    cr_expect_str_eq(err.code, "checkpoint_moved");
    expect_lsn(20);
}

Test(checkpoint, is_for_our_eyes_only)
{
    struct stat st;

    save(1);
    cr_assert_eq(stat(in_tmpdir("state"), &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0700);
    cr_assert_eq(stat(in_tmpdir("state/checkpoint"), &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    cr_expect_eq(access(in_tmpdir("state/checkpoint.new"), F_OK), -1);
}

Test(checkpoint, can_be_looked_at_without_making_anything)
{
    struct wf_checkpoint cp;

    cr_expect_eq(wf_checkpoint_peek(in_tmpdir("nowhere"), &cp, &err), WF_OK);
    cr_expect_eq(cp.state, WF_CHECKPOINT_NONE);
    cr_expect_eq(access(in_tmpdir("nowhere"), F_OK), -1);

    save(5);
    cr_expect_eq(wf_checkpoint_peek(in_tmpdir("state"), &cp, &err), WF_OK);
    cr_expect_eq(cp.lsn, 5);
}

Test(checkpoint, needs_a_folder_it_can_open)
{
    struct wf_checkpoint_store *s = NULL;

    cr_expect_eq(wf_checkpoint_open(in_tmpdir("a/b"), &s, &err), WF_FATAL);
    cr_expect_eq(err.exit_code, 78);
    cr_expect(strstr(err.text, "state.dir") && strstr(err.text, "hint: "), "%s", err.text);

    write_whole(in_tmpdir("file"), "", 0);
    cr_expect_eq(wf_checkpoint_open(in_tmpdir("file"), &s, &err), WF_FATAL);
    cr_expect_eq(err.exit_code, 78);
    cr_expect_null(s);
}

/* ---- whose file it is --------------------------------------------------------------------- */

Test(checkpoint, behind_a_link_is_refused)
{
    save(1);
    cr_assert_eq(rename(in_tmpdir("state/checkpoint"), in_tmpdir("elsewhere")), 0);
    cr_assert_eq(symlink("../elsewhere", in_tmpdir("state/checkpoint")), 0);
    reopen();
    expect_refused("checkpoint_owner");
    cr_expect_eq(try_save(2), WF_FATAL);
}

Test(checkpoint, that_others_can_write_is_refused)
{
    static const mode_t modes[] = {0620, 0602, 0666};

    save(1);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(chmod(in_tmpdir("state/checkpoint"), modes[i]), 0);
        reopen();
        expect_refused("checkpoint_owner");
    }
    cr_assert_eq(chmod(in_tmpdir("state/checkpoint"), 0644), 0);
    expect_lsn(1);
}

Test(checkpoint, of_another_user_is_refused)
{
    if (geteuid() != 0)
        cr_skip_test("only root can give files away");
    save(1);
    cr_assert_eq(chown(in_tmpdir("state/checkpoint"), 12345, (gid_t)-1), 0);
    reopen();
    expect_refused("checkpoint_owner");
}

Test(checkpoint, that_is_no_regular_file_is_refused)
{
    cr_assert_eq(mkfifo(in_tmpdir("state/checkpoint"), 0600), 0);
    expect_refused("checkpoint_owner");
}

Test(checkpoint, is_not_kept_in_a_folder_of_another_user)
{
    struct wf_checkpoint_store *s = NULL;

    if (geteuid() != 0)
        cr_skip_test("only root can give folders away");
    cr_assert_eq(mkdir(in_tmpdir("theirs"), 0700), 0);
    cr_assert_eq(chown(in_tmpdir("theirs"), 12345, (gid_t)-1), 0);
    cr_expect_eq(wf_checkpoint_open(in_tmpdir("theirs"), &s, &err), WF_FATAL);
    cr_expect_eq(err.exit_code, 78);
    cr_expect(strstr(err.text, "hint: "), "%s", err.text);
}

/* ---- damage: one of the two that were saved, or a refusal, never a third thing -------------- */

#define OLDER 0x1111
#define NEWER 0x2222

struct image {
    char *data;
    size_t len;
};

/* A file with OLDER and NEWER in its two places. */
static struct image saved_twice(void)
{
    struct image image;

    save(OLDER);
    save(NEWER);
    image.data = read_whole(in_tmpdir("state/checkpoint"), &image.len);
    cr_assert_not_null(image.data);
    return image;
}

static void put_file(const void *data, size_t len)
{
    write_whole(in_tmpdir("state/checkpoint"), data, len);
    chmod(in_tmpdir("state/checkpoint"), 0600);
}

/* What a start finds in the file: OLDER, NEWER, or 0 for a refusal. */
static uint64_t outcome(void)
{
    struct wf_checkpoint cp;

    reopen();
    if (try_load(&cp) == WF_OK) {
        cr_assert(cp.lsn == OLDER || cp.lsn == NEWER, "%lx", (unsigned long)cp.lsn);
        cr_assert_eq(cp.state, WF_CHECKPOINT_ACTIVE);
        cr_assert_eq(cp.timeline, 3);
        cr_assert_str_eq(cp.slot, "walferry_shop");
        return cp.lsn;
    }
    cr_assert_str_eq(err.code, "checkpoint_invalid");
    cr_assert_eq(err.exit_code, 76);
    return 0;
}

Test(checkpoint, survives_any_byte_turned_over)
{
    static const unsigned char masks[] = {0x01, 0x80, 0xff};
    struct image image = saved_twice();
    size_t fell_back = 0;

    for (size_t i = 0; i < image.len; i++) {
        if (i == 200)
            i = 4096; /* nothing stands between the two */
        for (size_t m = 0; m < sizeof(masks); m++) {
            image.data[i] ^= (char)masks[m];
            put_file(image.data, image.len);
            image.data[i] ^= (char)masks[m];
            if (i >= 4096)
                cr_assert_eq(outcome(), NEWER, "byte %zu", i); /* the older one is damaged */
            else
                fell_back += outcome() == OLDER;
        }
    }
    cr_expect_geq(fell_back, 120 * sizeof(masks), "only padding may change unseen");
    free(image.data);
}

Test(checkpoint, survives_a_write_torn_at_any_byte)
{
    struct image before = saved_twice(), after;

    save(NEWER); /* over OLDER, at 4096 */
    after.data = read_whole(in_tmpdir("state/checkpoint"), &after.len);
    cr_assert_eq(after.len, before.len);
    for (size_t i = 4096; i <= before.len; i++) {
        put_file(before.data, before.len);
        cr_assert_eq(outcome(), NEWER, "torn at byte %zu", i);
        if (i < before.len)
            before.data[i] = after.data[i];
    }
    free(before.data);
    free(after.data);
}

Test(checkpoint, survives_a_file_cut_at_any_byte)
{
    struct image image = saved_twice();

    for (size_t len = 0; len < image.len; len++) {
        uint64_t expected = len >= 4096 ? NEWER : 0;

        if (len == 200)
            len = 4000;
        put_file(image.data, len);
        if (len < 120 || expected)
            cr_assert_eq(outcome(), expected, "cut at byte %zu", len);
        else
            outcome();
    }
    free(image.data);
}

Test(checkpoint, is_refused_when_both_copies_are_damaged)
{
    struct image image = saved_twice();

    for (size_t i = 0; i < 120; i++) {
        image.data[i] ^= 1;
        image.data[4096 + i] ^= 1;
        put_file(image.data, image.len);
        cr_assert_eq(outcome(), 0, "byte %zu", i);
        image.data[i] ^= 1;
        image.data[4096 + i] ^= 1;
    }
    free(image.data);
    put_file("", 0);
    reopen();
    expect_refused("checkpoint_invalid");
    put_file("someone wrote a note here\n", 26);
    reopen();
    expect_refused("checkpoint_invalid");
}

/* Nobody knows what was delivered, so nothing may be written over it. */
Test(checkpoint, does_not_write_over_a_damaged_file)
{
    put_file("note", 4);
    reopen();
    cr_expect_eq(try_save(1), WF_FATAL);
    cr_expect_eq(err.exit_code, 76);
    expect_refused("checkpoint_invalid");
}

Test(checkpoint, goes_on_in_the_damaged_place)
{
    struct image image = saved_twice();

    image.data[8] ^= 1; /* NEWER is at 0 */
    put_file(image.data, image.len);
    free(image.data);
    reopen();
    expect_lsn(OLDER);
    save(0x3333);
    reopen();
    expect_lsn(0x3333);
    save(0x4444);
    reopen();
    expect_lsn(0x4444);
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

static void expect_disk_full(uint64_t lsn)
{
    cr_expect_eq(try_save(lsn), WF_RETRY);
    cr_expect(strstr(err.text, "cannot write"), "%s", err.text);
    cr_expect_not(strstr(err.text, "Success"), "%s", err.text);
}

Test(checkpoint, stands_when_the_disk_is_full)
{
    static const rlim_t limits[] = {0, 1, 64, 119};

    save(1);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        limit_files_to(limits[i]); /* the next place is at 0: some bytes still fit */
        expect_disk_full(2);
        expect_lsn(1);
        limit_files_to(RLIM_INFINITY);
        reopen();
        expect_lsn(1);
    }
    save(3);
    expect_lsn(3);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        limit_files_to(4096 + limits[i]);
        expect_disk_full(4);
        expect_lsn(3);
    }
    limit_files_to(RLIM_INFINITY);
    save(5);
    reopen();
    expect_lsn(5);
}

Test(checkpoint, is_not_half_made_when_the_disk_is_full)
{
    struct wf_checkpoint cp;

    limit_files_to(4100);
    expect_disk_full(1);
    reopen();
    cr_expect_eq(try_load(&cp), WF_OK);
    cr_expect_eq(cp.state, WF_CHECKPOINT_NONE);
    limit_files_to(RLIM_INFINITY);
    save(2);
    expect_lsn(2);
}

Test(checkpoint, waits_for_a_folder_that_went_away)
{
    save(1);
    cr_assert_eq(unlink(in_tmpdir("state/checkpoint")), 0);
    cr_assert_eq(rmdir(in_tmpdir("state")), 0);
    reopen(); /* makes it anew */
    cr_assert_eq(rmdir(in_tmpdir("state")), 0);
    cr_expect_eq(try_save(2), WF_RETRY);
    cr_expect(strstr(err.text, "No such file"), "%s", err.text);
}
