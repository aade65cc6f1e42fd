#include <criterion/criterion.h>

#include "checkpoint_record.h"

static struct wf_buf text;

static void make(void)
{
    wf_buf_init(&text, 65536);
}

static void destroy(void)
{
    wf_buf_deinit(&text);
}

TestSuite(checkpoint_record, .init = make, .fini = destroy);

static enum wf_rc parse(const char *s, struct wf_checkpoint *cp, struct wf_err *err)
{
    return wf_checkpoint_parse(s, strlen(s), cp, err);
}

Test(checkpoint_record, comes_back_as_it_went)
{
    struct wf_checkpoint cp = {.system_id = UINT64_MAX,
                               .timeline = 7,
                               .lsn = UINT64_C(0x16B374D848),
                               .slot = "shop_\"1",
                               .split = {UINT64_MAX, 1, UINT64_C(0xfedcba9876543210)}},
                         back;
    struct wf_err err;

    wf_checkpoint_record(&text, &cp, "shop", 42, "00ff");
    cr_assert(!text.failed);
    cr_assert_eq(wf_checkpoint_parse(text.data, text.len, &back, &err), WF_OK, "%s", err.text);
    cr_expect_eq(back.state, WF_CHECKPOINT_ACTIVE);
    cr_expect_eq(back.system_id, cp.system_id);
    cr_expect_eq(back.timeline, cp.timeline);
    cr_expect_eq(back.lsn, cp.lsn);
    cr_expect_str_eq(back.slot, cp.slot);
    cr_expect_eq(back.split.final_lsn, cp.split.final_lsn);
    cr_expect_eq(back.split.changes, cp.split.changes);
    cr_expect_eq(back.split.hash, cp.split.hash);
    cr_expect_gt(back.saved_us, 0);
}

Test(checkpoint_record, has_no_split_when_there_is_none)
{
    struct wf_checkpoint cp = {.system_id = 1, .timeline = 1, .lsn = 1, .slot = "s"}, back;

    wf_checkpoint_record(&text, &cp, "p", 0, "");
    wf_buf_byte(&text, '\0');
    cr_expect_null(strstr((char *)text.data, "split"));
    cr_expect_eq(wf_checkpoint_parse(text.data, text.len - 1, &back, NULL), WF_OK);
    cr_expect_eq(back.split.final_lsn, 0);
}

/* A position that is not surely read is no position. */
Test(checkpoint_record, refuses_what_it_does_not_know_whole)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"version\":2,\"system_id\":\"1\",\"timeline\":1,\"slot\":\"s\",\"lsn\":\"0/1\"}",
        "{\"version\":1,\"system_id\":1,\"timeline\":1,\"slot\":\"s\",\"lsn\":\"0/1\"}",
        "{\"version\":1,\"system_id\":\"-1\",\"timeline\":1,\"slot\":\"s\",\"lsn\":\"0/1\"}",
        "{\"version\":1,\"system_id\":\"18446744073709551616\",\"timeline\":1,\"slot\":\"s\","
        "\"lsn\":\"0/1\"}",
        "{\"version\":1,\"system_id\":\"1\",\"timeline\":0,\"slot\":\"s\",\"lsn\":\"0/1\"}",
        "{\"version\":1,\"system_id\":\"1\",\"timeline\":4294967296,\"slot\":\"s\",\"lsn\":\"0/"
        "1\"}",
        "{\"version\":1,\"system_id\":\"1\",\"timeline\":1,\"lsn\":\"0/1\"}",
        "{\"version\":1,\"system_id\":\"1\",\"timeline\":1,\"slot\":\"s\",\"lsn\":\"1\"}",
        "{\"version\":1,\"system_id\":\"1\",\"timeline\":1,\"slot\":\"s\",\"lsn\":\"0/1\","
        "\"split\":{}}",
        "{\"version\":1,\"system_id\":\"1\",\"timeline\":1,\"slot\":\"s\",\"lsn\":\"0/1\","
        "\"split\":{\"commit_lsn\":\"0/2\",\"changes\":\"0\",\"hash\":\"1\"}}",
        "{\"version\":1,\"system_id\":\"1\",\"timeline\":1,\"slot\":\"s\",\"lsn\":\"0/1\","
        "\"lsn\":\"0/2\"}",
    };
    struct wf_checkpoint cp;
    struct wf_err err;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_eq(parse(bad[i], &cp, &err), WF_FATAL, "%s", bad[i]);
        cr_expect_str_eq(err.code, "checkpoint_invalid");
        cr_expect_eq(err.exit_code, WF_EXIT_REFUSED);
    }
}

Test(checkpoint_record, refuses_a_slot_name_that_is_too_long)
{
    struct wf_checkpoint cp;

    wf_buf_str(&text,
               "{\"version\":1,\"system_id\":\"1\",\"timeline\":1,\"lsn\":\"0/1\",\"slot\":\"");
    for (unsigned i = 0; i < sizeof(cp.slot); i++)
        wf_buf_byte(&text, 'a');
    wf_buf_str(&text, "\"}");
    cr_expect_eq(wf_checkpoint_parse(text.data, text.len, &cp, NULL), WF_FATAL);
}
