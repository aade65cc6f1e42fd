/* Masked columns in events: whatever type hides behind the mask. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "encode_kit.h"

/* An encoder whose columns are masked as @pattern says. */
static void open_masked(struct kit *k, char *pattern, char *spec, int profile, bool raw_text)
{
    static char prefix[] = "srv", topic[] = "{prefix}.{schema}.{table}";
    static struct wf_map_item item;
    static struct wf_source_conf source;
    struct wf_origin origin = {"shop", 7000000000000000001, 1, raw_text};
    struct wf_format_conf conf = k->conf;

    memset(k, 0, sizeof(*k));
    item = (struct wf_map_item){.key = pattern, .value = spec};
    source = (struct wf_source_conf){.mask = {&item, 1}, .mask_salt = "pepper"};
    k->conf = conf;
    k->conf.profile = profile;
    k->conf.prefix = prefix;
    k->conf.topic = topic;
    k->source = &source;
    wf_buf_init(&k->json, 1u << 24);
    cr_assert_eq(
        wf_encoder_new(&k->encoder, &k->conf, &source, WF_FRAME_NONE, 1u << 20, &origin, &k->err),
        WF_OK, "%s", k->err.text);
    k->txn = (struct wf_txn){
        .final_lsn = 2000, .commit_us = KIT_COMMIT_US, .xid = 777, .prev_end_lsn = 1000};
}

static const struct kit_col keyed[] = {{.name = "id", .oid = 23, .key = true, .required = true},
                                       {.name = "w", .oid = 1700}};

/* A number as key tells where the row is, unless nobody is to see it. */
Test(masks, of_a_key_hold_in_messages)
{
    static const char *const bad[] = {"4711", "bad"};
    struct kit k = {0};

    open_masked(&k, "*.*.nothing", "hash", WF_PROFILE_DEBEZIUM, false);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', keyed, 2, "a"), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, bad), WF_REJECT);
    cr_expect(strstr(k.err.text, ", id = 4711)"), "%s", k.err.text);
    kit_close(&k);
    open_masked(&k, "*.*.id", "hash", WF_PROFILE_DEBEZIUM, false);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', keyed, 2, "a"), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, bad), WF_REJECT);
    cr_expect(strstr(k.err.text, "public.t.w (LSN 0/5DC)"), "%s", k.err.text);
    cr_expect_not(strstr(k.err.text, "4711"), "%s", k.err.text);
    kit_close(&k);
}
