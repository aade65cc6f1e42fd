/* The encoder: one change in, events with key and value out. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "encode_kit.h"

#define NUMERIC(p, s) (((p) << 16 | (s)) + 4)

/* What follows the rows: transaction 777, record at 1500, previous commit at 1000. */
#define SOURCE(table)                                                                              \
    "\"source\":{\"version\":\"" WF_VERSION                                                        \
    "\",\"connector\":\"postgresql\",\"name\":\"srv\",\"ts_ms\":1700000000123,\"snapshot\":"       \
    "\"false\",\"db\":\"shop\",\"sequence\":\"[\\\"1000\\\",\\\"1500\\\"]\","                      \
    "\"ts_us\":1700000000123456,\"schema\":\"public\",\"table\":\"" table                          \
    "\",\"txId\":777,\"lsn\":1500,\"xmin\":null,\"origin\":null,\"origin_lsn\":null},"             \
    "\"transaction\":null,"
#define NOW "\"ts_ms\":1700000001654,\"ts_us\":1700000001654321}"
#define ENVELOPE(before, after, op)                                                                \
    "{\"before\":" before ",\"after\":" after "," SOURCE("t") "\"op\":\"" op "\"," NOW

static const struct kit_col plain[] = {
    {.name = "id", .oid = 23, .key = true, .required = true},
    {.name = "a", .oid = 23, .required = true},
    {.name = "v", .oid = 25},
    {.name = "w", .oid = 1700, .typmod = NUMERIC(8, 2)},
};

static void expect_event(struct kit *k, uint32_t i, char op, const char *key, const char *value)
{
    cr_assert_lt(i, k->events.n);
    cr_expect_eq(k->events.ev[i].op, op);
    cr_expect_str_eq(kit_key(k, i), key);
    cr_expect_str_eq(kit_value(k, i), value);
    cr_expect_eq(k->events.ev[i].lsn, 1500);
    cr_expect_eq(k->events.ev[i].ts_us, KIT_COMMIT_US);
}

static void open_plain(struct kit *k, char identity)
{
    struct kit_col cols[4];

    memcpy(cols, plain, sizeof(cols));
    for (size_t i = 0; i < 4 && identity == 'f'; i++)
        cols[i].key = true;
    kit_open(k);
    cr_assert_eq(kit_table(k, "public", "t", identity, cols, 4, "a"), WF_OK, "%s", k->err.text);
}

Test(encode_insert, is_a_create_with_the_new_row)
{
    const char *row[] = {"1", "2", "x", NULL};
    struct kit k;

    open_plain(&k, 'd');
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 1);
    expect_event(&k, 0, 'c', "{\"id\":1}",
                 ENVELOPE("null", "{\"id\":1,\"a\":2,\"v\":\"x\",\"w\":null}", "c"));
    cr_expect_str_eq(k.events.ev[0].stream->topic, "srv.public.t");
    cr_expect_str_eq(k.events.ev[0].stream->table, "public.t");
    kit_close(&k);
}

Test(encode_update, shows_before_only_when_the_old_row_was_sent)
{
    const char *old_row[] = {"1", "2", "x", NULL}, *row[] = {"1", "2", "y", "1.50"};
    struct kit k;

    open_plain(&k, 'd');
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, row), WF_OK);
    cr_assert_eq(k.events.n, 1);
    expect_event(&k, 0, 'u', "{\"id\":1}",
                 ENVELOPE("null", "{\"id\":1,\"a\":2,\"v\":\"y\",\"w\":1.50}", "u"));
    kit_close(&k);

    open_plain(&k, 'f');
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_FULL, old_row, row), WF_OK);
    cr_assert_eq(k.events.n, 1);
    expect_event(&k, 0, 'u', "{\"id\":1}",
                 ENVELOPE("{\"id\":1,\"a\":2,\"v\":\"x\",\"w\":null}",
                          "{\"id\":1,\"a\":2,\"v\":\"y\",\"w\":1.50}", "u"));
    kit_close(&k);
}

Test(encode_update, of_the_key_is_delete_tombstone_create)
{
    const char *old_key[] = {"1", NULL, NULL, NULL}, *row[] = {"9", "2", "y", NULL};
    struct kit k;

    open_plain(&k, 'd');
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old_key, row), WF_OK);
    cr_assert_eq(k.events.n, 3);
    expect_event(&k, 0, 'd', "{\"id\":1}",
                 ENVELOPE("{\"id\":1,\"a\":0,\"v\":null,\"w\":null}", "null", "d"));
    expect_event(&k, 1, 'x', "{\"id\":1}", "null");
    expect_event(&k, 2, 'c', "{\"id\":9}",
                 ENVELOPE("null", "{\"id\":9,\"a\":2,\"v\":\"y\",\"w\":null}", "c"));
    cr_expect_null(k.events.ev[1].value);

    k.conf.tombstones = false;
    cr_assert_eq(kit_encode(&k), WF_OK);
    cr_expect_eq(k.events.n, 2);
    kit_close(&k);
}

/* The server sends the old key also when only its TOASTed form was at stake. */
Test(encode_update, with_an_equal_old_key_stays_an_update)
{
    const char *old_key[] = {"1", NULL, NULL, NULL}, *row[] = {"1", "2", "y", NULL};
    struct kit k;

    open_plain(&k, 'd');
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old_key, row), WF_OK);
    cr_assert_eq(k.events.n, 1);
    expect_event(&k, 0, 'u', "{\"id\":1}",
                 ENVELOPE("{\"id\":1,\"a\":0,\"v\":null,\"w\":null}",
                          "{\"id\":1,\"a\":2,\"v\":\"y\",\"w\":null}", "u"));
    kit_close(&k);
}

Test(encode_delete, carries_the_key_and_a_tombstone)
{
    const char *old_key[] = {"1", NULL, NULL, NULL};
    struct kit k;

    open_plain(&k, 'd');
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old_key, NULL), WF_OK);
    cr_assert_eq(k.events.n, 2);
    expect_event(&k, 0, 'd', "{\"id\":1}",
                 ENVELOPE("{\"id\":1,\"a\":0,\"v\":null,\"w\":null}", "null", "d"));
    expect_event(&k, 1, 'x', "{\"id\":1}", "null");
    cr_expect_eq(k.events.ev[1].value_len, 0);
    kit_close(&k);
}

Test(encode_delete, without_a_key_has_no_tombstone)
{
    const char *old_row[] = {"1", "x"};
    const struct kit_col cols[] = {{.name = "a", .oid = 23, .key = true},
                                   {.name = "v", .oid = 25, .key = true}};
    struct kit k;

    kit_open(&k);
    cr_assert_eq(kit_table(&k, "public", "t", 'f', cols, 2, NULL), WF_OK);
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_FULL, old_row, NULL), WF_OK);
    cr_assert_eq(k.events.n, 1);
    expect_event(&k, 0, 'd', "null", ENVELOPE("{\"a\":1,\"v\":\"x\"}", "null", "d"));
    cr_expect_null(k.events.ev[0].key);
    cr_expect_null(k.events.ev[0].stream->key_schema);
    kit_close(&k);
}

/* events.md, sections 2.6 and 4: what a real run filled in under DEFAULT identity. */
Test(encode_delete, fills_not_null_columns_with_default_or_zero)
{
    static const struct kit_col cols[] = {
        {.name = "id", .oid = 23, .key = true, .required = true},
        {.name = "i2", .oid = 21, .required = true},
        {.name = "f8", .oid = 701, .required = true},
        {.name = "b", .oid = 16, .required = true},
        {.name = "n", .oid = 1700, .required = true},
        {.name = "n2", .oid = 1700, .typmod = NUMERIC(10, 2), .required = true},
        {.name = "m", .oid = 790, .required = true},
        {.name = "t", .oid = 25, .required = true},
        {.name = "td", .oid = 25, .required = true, .dflt = "'x'::text"},
        {.name = "u", .oid = 2950, .required = true},
        {.name = "by", .oid = 17, .required = true},
        {.name = "hs", .oid = 70000, .type_name = "hstore", .required = true},
        {.name = "d", .oid = 1082, .required = true},
        {.name = "tz", .oid = 1266, .required = true},
        {.name = "ts", .oid = 1114, .required = true},
        {.name = "tt", .oid = 1184, .required = true},
        {.name = "ttd", .oid = 1184, .required = true, .dflt = "now()"},
        {.name = "b4", .oid = 1560, .typmod = 4, .required = true},
        {.name = "p", .oid = 600, .required = true},
        {.name = "j", .oid = 3802, .required = true},
        {.name = "nu", .oid = 25, .dflt = "'y'::text"},
    };
    const char *old_key[21] = {"1"};
    struct kit k;

    kit_open(&k);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, 21, "a"), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old_key, NULL), WF_OK);
    expect_event(&k, 0, 'd', "{\"id\":1}",
                 ENVELOPE("{\"id\":1,\"i2\":0,\"f8\":0,\"b\":false,\"n\":{\"scale\":0,\"value\":"
                          "\"AA==\"},\"n2\":0.00,\"m\":0.00,\"t\":\"\",\"td\":\"x\",\"u\":\"\","
                          "\"by\":\"\",\"hs\":\"{}\",\"d\":0,\"tz\":\"00:00:00Z\",\"ts\":0,"
                          "\"tt\":\"1970-01-01T00:00:00Z\",\"ttd\":\"1970-01-01T00:00:00.000000Z\","
                          "\"b4\":\"\",\"p\":{\"x\":0,\"y\":0,\"wkb\":"
                          "\"AQEAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null},\"j\":\"\",\"nu\":null}",
                          "null", "d"));
    kit_close(&k);
}

static const struct kit_col toasted[] = {
    {.name = "id", .oid = 25, .key = true, .required = true},
    {.name = "t", .oid = 25},
    {.name = "by", .oid = 17, .required = true},
    {.name = "hs", .oid = 70000, .type_name = "hstore"},
    {.name = "ai", .oid = 1007, .type_name = "_int4"},
    {.name = "td", .oid = 25, .dflt = "'x'::text"},
};

Test(encode_toast, unchanged_is_the_placeholder_and_never_null)
{
    const char *row[] = {"k", UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', toasted, 6, "a");
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, row), WF_OK);
    expect_event(&k, 0, 'u', "{\"id\":\"k\"}",
                 ENVELOPE("null",
                          "{\"id\":\"k\",\"t\":\"__debezium_unavailable_value\",\"by\":"
                          "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\",\"hs\":"
                          "\"{\\\"__debezium_unavailable_value\\\":"
                          "\\\"__debezium_unavailable_value\\\"}\",\"ai\":"
                          "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,"
                          "98,108,101,95,118,97,108,117,101],\"td\":"
                          "\"__debezium_unavailable_value\"}",
                          "u"));
    kit_close(&k);
}

Test(encode_toast, is_filled_from_a_full_old_row)
{
    const char *old_row[] = {"k", "long", "\\x01", "\"a\"=>\"1\"", "{1}", NULL};
    const char *row[] = {UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED, "y"};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'f', toasted, 6, "a");
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_FULL, old_row, row), WF_OK);
    cr_assert_eq(k.events.n, 1);
    expect_event(&k, 0, 'u', "{\"id\":\"k\"}",
                 ENVELOPE("{\"id\":\"k\",\"t\":\"long\",\"by\":\"AQ==\",\"hs\":\"{\\\"a\\\":"
                          "\\\"1\\\"}\",\"ai\":[1],\"td\":null}",
                          "{\"id\":\"k\",\"t\":\"long\",\"by\":\"AQ==\",\"hs\":\"{\\\"a\\\":"
                          "\\\"1\\\"}\",\"ai\":[1],\"td\":\"y\"}",
                          "u"));
    kit_close(&k);
}

Test(encode_toast, an_unchanged_key_comes_from_the_old_key)
{
    const char *old_key[6] = {"k"}, *row[] = {UNCHANGED, "t", "\\x", NULL, NULL, NULL};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', toasted, 6, "a");
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old_key, row), WF_OK);
    cr_assert_eq(k.events.n, 1);
    cr_expect_str_eq(kit_key(&k, 0), "{\"id\":\"k\"}");
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"after\":{\"id\":\"k\",\"t\":\"t\""));

    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, row), WF_REJECT);
    cr_expect_str_eq(k.err.code, "key_unsent");
    kit_close(&k);
}

Test(encode_toast, without_a_placeholder_is_refused_with_the_cure)
{
    static const struct kit_col cols[] = {{.name = "id", .oid = 23, .key = true, .required = true},
                                          {.name = "n", .oid = 1700}};
    const char *row[] = {"1", UNCHANGED};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', cols, 2, "a");
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, row), WF_REJECT);
    cr_expect_str_eq(k.err.code, "toast_unsent");
    cr_expect_not_null(strstr(k.err.text, "public.t.n"));
    cr_expect_not_null(strstr(k.err.text, "REPLICA IDENTITY FULL"));
    kit_close(&k);
}

Test(encode_null, in_a_column_with_default_stays_null)
{
    static const struct kit_col cols[] = {
        {.name = "id", .oid = 23, .key = true, .required = true, .dflt = "nextval('s'::regclass)"},
        {.name = "i", .oid = 23, .dflt = "7"}};
    const char *row[] = {"1", NULL}, *row2[] = {"1", "7"};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', cols, 2, "a");
    kit_insert(&k, row);
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"after\":{\"id\":1,\"i\":null}"));
    kit_insert(&k, row2);
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"after\":{\"id\":1,\"i\":7}"));
    kit_close(&k);
}

/* The live catalog may know of a SET NOT NULL that the stream has not reached. */
Test(encode_null, from_before_set_not_null_widens_the_schema)
{
    const char *row[] = {"1", NULL, "x", NULL};
    struct wf_stream *before = NULL, *after = NULL;
    struct kit k;

    open_plain(&k, 'd');
    kit_row(k.new_row, row, 4);
    k.change = (struct wf_change){.kind = WF_CHANGE_INSERT, .rel = &k.rel, .new_row = k.new_row};
    cr_expect_eq(wf_encoder_streams(k.encoder, &k.change, &before, 1), 1);
    cr_assert_eq(kit_encode(&k), WF_AGAIN);
    cr_expect_eq(k.events.n, 0);
    cr_expect_eq(wf_encoder_streams(k.encoder, &k.change, &after, 1), 1);
    cr_expect_neq(before, after);
    cr_assert_eq(kit_encode(&k), WF_OK);
    cr_expect_eq(k.events.ev[0].stream, after);
    cr_expect_not_null(strstr(kit_value(&k, 0), "{\"id\":1,\"a\":null,"));
    kit_close(&k);
}

Test(encode_key, has_the_catalogs_columns_in_their_order)
{
    static const struct kit_col cols[] = {{.name = "a", .oid = 23, .key = true, .required = true},
                                          {.name = "b", .oid = 25, .required = true},
                                          {.name = "c", .oid = 20, .key = true, .required = true}};
    const char *row[] = {"1", "x", "3"};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', cols, 3, "ca");
    kit_insert(&k, row);
    cr_expect_str_eq(kit_key(&k, 0), "{\"c\":3,\"a\":1}");
    /* a primary key the stream has not reached yet: the relation's own columns count */
    kit_table(&k, "public", "t", 'd', cols, 3, "b");
    kit_insert(&k, row);
    cr_expect_str_eq(kit_key(&k, 0), "{\"a\":1,\"c\":3}");
    kit_close(&k);
}

/* Deletes carry the identity's columns only: a key outside them could not be written. */
Test(encode_key, follows_the_identity_index_when_it_lacks_the_primary_key)
{
    static const struct kit_col cols[] = {{.name = "id", .oid = 23, .required = true},
                                          {.name = "u", .oid = 25, .key = true, .required = true}};
    const char *old_key[] = {NULL, "x"};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'i', cols, 2, "a");
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old_key, NULL), WF_OK);
    cr_expect_str_eq(kit_key(&k, 0), "{\"u\":\"x\"}");
    kit_close(&k);
}

Test(encode_catalog, unknown_columns_are_nullable_without_default)
{
    static const struct kit_col cols[] = {
        {.name = "id", .oid = 23, .key = true, .unknown = true, .dflt = "1"},
        {.name = "v", .oid = 23, .required = true, .dflt = "5", .unknown = true},
        /* the live catalog has another type already */
        {.name = "x", .oid = 23, .required = true, .dflt = "'a'::text", .base_oid = 25},
        {.name = "e", .oid = 70000, .type_name = "_mood", .unknown = true},
        {.name = "d", .oid = 70001, .type_name = "int8", .unknown = true}};
    struct wf_plan *plan;
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', cols, 5, "a");
    plan = k.rel.plan;
    cr_expect_not_null(
        strstr(plan->stream->value_schema,
               "\"fields\":[{\"name\":\"id\",\"type\":\"int\"},{\"name\":\"v\",\"type\":[\"null\","
               "\"int\"],\"default\":null},{\"name\":\"x\",\"type\":[\"null\",\"int\"],"
               "\"default\":null},{\"name\":\"e\",\"type\":[\"null\",{\"type\":\"string\","
               "\"walferry.pg.type\":\"mood[]\"}],\"default\":null},{\"name\":\"d\",\"type\":"
               "[\"null\",\"long\"],\"default\":null}]"));
    kit_close(&k);
}

Test(encode_catalog, domains_are_their_base_type_without_default)
{
    static const struct kit_col cols[] = {
        {.name = "id", .oid = 23, .key = true, .required = true},
        {.name = "p",
         .oid = 70000,
         .typtype = 'd',
         .base_oid = 1700,
         .base_typmod = NUMERIC(8, 3),
         .dflt = "9.999"},
        {.name = "m", .oid = 70001, .typtype = 'd', .base_oid = 70002, .labels = "a,b"},
        {.name = "ts", .oid = 70003, .typtype = 'd', .base_oid = 1114, .base_typmod = 3}};
    const char *row[] = {"1", "1.5", "a", "2020-01-02 03:04:05.123"};
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', cols, 4, "a");
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"after\":{\"id\":1,\"p\":1.500,\"m\":\"a\","
                                                "\"ts\":1577934245123}"));
    kit_close(&k);
}

Test(encode_reject, names_the_column_and_never_the_value)
{
    static const struct {
        const char *value, *code;
    } v[] = {{"NaN", "value_special"}, {"secret", "value_invalid"}, {"1.234", "value_range"}};
    struct kit k;

    open_plain(&k, 'd');
    for (size_t i = 0; i < 3; i++) {
        const char *row[] = {"1", "2", "x", v[i].value};

        cr_expect_eq(kit_insert(&k, row), WF_REJECT);
        cr_expect_str_eq(k.err.code, v[i].code);
        cr_expect_not_null(strstr(k.err.text, "public.t.w"));
        cr_expect_not_null(strstr(k.err.text, "hint: "));
        cr_expect_null(strstr(k.err.text, "secret"));
        cr_expect_eq(k.events.n, 0);
    }
    kit_row(k.new_row, (const char *const[]){"1", "2", "x", "1"}, 4);
    k.new_row[1].kind = WF_COL_BINARY;
    cr_expect_eq(kit_encode(&k), WF_RETRY); /* nothing binary was asked for: as text, please */
    cr_expect_str_eq(k.err.code, "binary_off");
    kit_close(&k);
}

Test(encode_reject, mode_warn_still_stops_at_a_required_column)
{
    static const struct kit_col cols[] = {
        {.name = "id", .oid = 23, .key = true, .required = true},
        {.name = "w", .oid = 1700, .typmod = NUMERIC(8, 2)},
        {.name = "r", .oid = 1700, .typmod = NUMERIC(8, 2), .required = true}};
    const char *lost[] = {"1", "NaN", "1"}, *unsent[] = {"1", UNCHANGED, "1"};
    const char *stops[] = {"1", "1", "NaN"}, *stops_too[] = {"1", "1", UNCHANGED};
    struct kit k;

    kit_open(&k);
    k.conf.failure_mode = WF_FAILURE_WARN;
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, 3, "a"), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, lost), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"after\":{\"id\":1,\"w\":null,\"r\":1.00}"));
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, unsent), WF_OK, "%s",
                 k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"after\":{\"id\":1,\"w\":null,\"r\":1.00}"));
    cr_expect_eq(kit_insert(&k, stops), WF_REJECT);
    cr_expect_str_eq(k.err.code, "value_special");
    cr_expect_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, stops_too), WF_REJECT);
    cr_expect_str_eq(k.err.code, "toast_unsent");
    kit_row(k.new_row, lost, 3);
    k.new_row[2].kind = WF_COL_UNSURE;
    cr_expect_eq(kit_encode(&k), WF_REJECT);
    cr_expect_str_eq(k.err.code, "value_unsure");
    kit_close(&k);
}

Test(encode_limit, a_larger_event_is_refused_and_a_smaller_one_passes)
{
    static char big[60000];
    const char *row[] = {"1", "2", big, NULL};
    struct kit k;

    memset(big, 'x', sizeof(big) - 1);
    kit_open_framed(&k, WF_FRAME_NONE, 60500);
    kit_table(&k, "public", "t", 'd', plain, 4, "a");
    cr_expect_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    kit_close(&k);
    kit_open_framed(&k, WF_FRAME_NONE, 60000);
    kit_table(&k, "public", "t", 'd', plain, 4, "a");
    cr_expect_eq(kit_insert(&k, row), WF_REJECT);
    cr_expect_str_eq(k.err.code, "event_too_large");
    row[2] = "small";
    cr_expect_eq(kit_insert(&k, row), WF_OK);
    kit_close(&k);
}

/* Microseconds that milliseconds would cut: only by leave; and the schema tells PostgreSQL's types
 * of the columns that were asked for. */
Test(encode_types, lossy_columns_and_told_types)
{
    static const struct kit_col cols[] = {
        {.name = "id", .oid = 23, .required = true, .dflt = "nextval('t_id_seq'::regclass)"},
        {.name = "ts", .oid = 1114},
        {.name = "price",
         .type_name = "price",
         .oid = 80000,
         .typtype = 'd',
         .base_oid = 1700,
         .base_typmod = (8 << 16 | 3) + 4},
    };
    static char pattern[] = "public.t.[!t]*";
    static char *patterns[] = {pattern};
    const char *schema;
    struct kit k;

    kit_open(&k);
    k.conf.profile = WF_PROFILE_CONNECT;
    k.conf.source_type = (struct wf_list){.items = patterns, .n = 1};
    cr_expect_eq(kit_table(&k, "public", "t", 'd', cols, 3, NULL), WF_REJECT);
    cr_expect_str_eq(k.err.code, "lossy_column");
    cr_expect_not_null(strstr(k.err.text, "column \"ts\" of type "), "%s", k.err.text);
    k.conf.lossy_mode = WF_LOSSY_ALLOW;
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, 3, "ac"), WF_OK, "%s", k.err.text);
    schema = ((const struct wf_plan *)k.rel.plan)->stream->key_schema;
    cr_expect_null(strstr(schema, "__debezium"), "keys tell no types: %s", schema);
    cr_expect_not_null(strstr(schema, "\"connect.decimal.precision\":\"8\""), "%s", schema);
    schema = ((const struct wf_plan *)k.rel.plan)->stream->value_schema;
    cr_expect_not_null(strstr(schema, "\"__debezium.source.column.type\":\"SERIAL\""));
    cr_expect_not_null(strstr(schema, "\"__debezium.source.column.type\":\"PRICE\","
                                      "\"__debezium.source.column.length\":\"8\","
                                      "\"__debezium.source.column.scale\":\"3\""));
    cr_expect_null(strstr(schema, "column.name\":\"ts\""));
    kit_close(&k);
}

Test(encode_names, collisions_are_refused_with_both_names)
{
    static const struct kit_col cols[] = {{.name = "a-b", .oid = 23}, {.name = "a b", .oid = 23}};
    struct kit k;

    kit_open(&k);
    cr_expect_eq(kit_table(&k, "public", "t", 'n', cols, 2, NULL), WF_REJECT);
    cr_expect_str_eq(k.err.code, "column_names");
    cr_expect(strstr(k.err.text, "\"a-b\"") && strstr(k.err.text, "\"a b\""), "%s", k.err.text);
    kit_drop_table(&k);

    cr_expect_eq(kit_table(&k, "public", "x y", 'n', cols, 1, NULL), WF_OK);
    kit_drop_table(&k);
    cr_expect_eq(kit_table(&k, "public", "x y", 'n', cols, 1, NULL), WF_OK, "the same again");
    kit_drop_table(&k);
    cr_expect_eq(kit_table(&k, "public", "x/y", 'n', cols, 1, NULL), WF_REJECT);
    cr_expect_str_eq(k.err.code, "topic_shared");
    cr_expect(strstr(k.err.text, "public.x y") && strstr(k.err.text, "public.x/y"), "%s",
              k.err.text);
    kit_close(&k);
}

/* FNV-1a of "a b", its halves folded; the same at every start. */
Test(encode_names, a_collision_may_have_a_suffix)
{
    static const struct kit_col cols[] = {
        {.name = "a-b", .oid = 23}, {.name = "a b", .oid = 23}, {.name = "a_b", .oid = 23}};
    const char *row[] = {"1", "2", "3"};
    struct kit k;

    kit_open(&k);
    k.conf.collision_mode = WF_COLLISION_SUFFIX;
    cr_assert_eq(kit_table(&k, "public", "t", 'n', cols, 3, NULL), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"after\":{\"a_b\":1,\"a_b_e951\":2,\"a_b_73d5\":3}"), "%s",
              kit_value(&k, 0));
    kit_close(&k);
}

Test(encode_names, topics_and_schema_names_are_legal)
{
    static const struct {
        const char *schema, *table, *topic, *ns;
    } v[] = {
        {"public", "orders", "srv.public.orders", "srv.public.orders"},
        {"Odd Sch.ema", "Ta ble", "srv.Odd_Sch.ema.Ta_ble", "srv.Odd_Sch.ema.Ta_ble"},
        {"public",
         "\xc3\xbcn\xc3\xaf"
         "code",
         "srv.public._n_code", "srv.public._n_code"},
        {"public", "em\xf0\x9f\x98\x80", "srv.public.em__", "srv.public.em__"},
        {"public", "has-dash", "srv.public.has-dash", "srv.public.has_dash"},
        {"public", "1digit", "srv.public.1digit", "srv.public._1digit"},
        {"public", "quo\"te", "srv.public.quo_te", "srv.public.quo_te"},
    };
    static const struct kit_col cols[] = {{.name = "1st", .oid = 23},
                                          {.name = "$x", .oid = 23},
                                          {.name = "col.b", .oid = 23},
                                          {.name = "\xc3\xbc", .oid = 23},
                                          {.name = "em\xf0\x9f\x98\x80", .oid = 23}};
    struct kit k;

    kit_open(&k);
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct wf_plan *plan;
        char want[200];

        cr_assert_eq(kit_table(&k, v[i].schema, v[i].table, 'n', cols, 5, NULL), WF_OK, "%s",
                     k.err.text);
        plan = k.rel.plan;
        cr_expect_str_eq(plan->stream->topic, v[i].topic);
        snprintf(want, sizeof(want), "\"name\":\"Envelope\",\"namespace\":\"%s\"", v[i].ns);
        cr_expect_not_null(strstr(plan->stream->value_schema, want));
    }
    for (uint16_t i = 0; i < 5; i++)
        cr_expect_str_eq(((struct wf_plan *)k.rel.plan)->cols[i].field,
                         ((const char *const[]){"_1st", "_x", "col_b", "_", "em__"})[i]);
    kit_close(&k);
}

Test(encode_names, too_long_a_topic_is_refused)
{
    static const struct kit_col cols[] = {{.name = "a", .oid = 23}};
    char table[300];
    struct kit k;

    memset(table, 'x', sizeof(table) - 1);
    table[sizeof(table) - 1] = '\0';
    kit_open(&k);
    cr_expect_eq(kit_table(&k, "public", table, 'n', cols, 1, NULL), WF_REJECT);
    cr_expect_str_eq(k.err.code, "topic_name");
    table[249 - strlen("srv.public.")] = '\0';
    cr_expect_eq(kit_table(&k, "public", table, 'n', cols, 1, NULL), WF_OK);
    kit_close(&k);
}

Test(encode_truncate, is_one_event_per_table_in_a_topic_of_its_own)
{
    struct wf_relation *rels[2];
    struct wf_stream *streams[4];
    struct wf_relation other;
    struct kit k;

    open_plain(&k, 'd');
    other = k.rel;
    k.rel.plan = NULL;
    cr_assert_eq(kit_table(&k, "public", "u", 'd', plain, 4, "a"), WF_OK);
    rels[0] = &other;
    rels[1] = &k.rel;
    k.change = (struct wf_change){.kind = WF_CHANGE_TRUNCATE};
    k.change.truncate.rels = rels;
    k.change.truncate.nrels = 2;
    k.change.truncate.cascade = true;
    cr_assert_eq(wf_encoder_streams(k.encoder, &k.change, streams, 4), 1);
    cr_expect_str_eq(streams[0]->topic, "srv.truncate");
    cr_assert_eq(kit_encode(&k), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 2);
    for (uint32_t i = 0; i < 2; i++)
        cr_expect_null(k.events.ev[i].key);
    cr_expect_str_eq(kit_value(&k, 0),
                     "{\"op\":\"t\",\"source\":{\"version\":\"" WF_VERSION
                     "\",\"connector\":\"postgresql\",\"name\":\"srv\",\"ts_ms\":1700000000123,"
                     "\"snapshot\":\"false\",\"db\":\"shop\",\"sequence\":\"[\\\"1000\\\","
                     "\\\"1500\\\"]\",\"ts_us\":1700000000123456,\"schema\":\"public\",\"table\":"
                     "\"t\",\"txId\":777,\"lsn\":1500,\"xmin\":null,\"origin\":null,"
                     "\"origin_lsn\":null},\"cascade\":true,\"restart_identity\":false," NOW);
    cr_expect_not_null(strstr(kit_value(&k, 1), "\"table\":\"u\""));
    other.plan_free(other.plan);
    kit_close(&k);
}

Test(encode_message, has_debeziums_key_and_value)
{
    struct kit k;

    kit_open(&k);
    k.change = (struct wf_change){.kind = WF_CHANGE_MESSAGE};
    k.change.message.transactional = true;
    k.change.message.prefix = "pfx";
    k.change.message.content = "a\0b";
    k.change.message.len = 3;
    cr_assert_eq(kit_encode(&k), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 1);
    cr_expect_str_eq(k.events.ev[0].stream->topic, "srv.message");
    cr_expect_str_eq(kit_key(&k, 0), "{\"prefix\":\"pfx\"}");
    cr_expect_str_eq(kit_value(&k, 0),
                     "{\"op\":\"m\",\"ts_ms\":1700000001654,\"source\":{\"version\":\"" WF_VERSION
                     "\",\"connector\":\"postgresql\",\"name\":\"srv\",\"ts_ms\":1700000000123,"
                     "\"snapshot\":\"false\",\"db\":\"shop\",\"sequence\":\"[\\\"1000\\\","
                     "\\\"1500\\\"]\",\"ts_us\":1700000000123456,\"schema\":\"\",\"table\":\"\","
                     "\"txId\":777,\"lsn\":1500,\"xmin\":null,\"origin\":null,\"origin_lsn\":null},"
                     "\"transaction\":null,\"message\":{\"prefix\":\"pfx\",\"content\":"
                     "\"YQBi\"}}");
    k.change.txn = NULL;
    k.rc = wf_encode(k.encoder, &k.change, KIT_NOW_US, &k.events, &k.err);
    cr_expect_eq(k.rc, WF_OK);
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"sequence\":\"[null,\\\"1500\\\"]\",\"ts_us\":"
                                                "1700000001654321"));
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"txId\":null"));
    kit_close(&k);
}

Test(encode_source, follows_the_transaction)
{
    const char *row[] = {"1", "2", "x", NULL};
    struct kit k;

    open_plain(&k, 'd');
    k.txn.prev_end_lsn = 0;
    k.txn.origin = "other";
    k.txn.origin_lsn = 43981;
    kit_insert(&k, row);
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"sequence\":\"[null,\\\"1500\\\"]\""));
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"origin\":\"other\",\"origin_lsn\":43981"));
    k.txn = (struct wf_txn){.final_lsn = UINT64_MAX - 1,
                            .prev_end_lsn = UINT64_MAX - 2,
                            .commit_us = -1,
                            .xid = UINT32_MAX};
    k.change.txn = &k.txn;
    k.change.lsn = UINT64_MAX;
    cr_assert_eq(wf_encode(k.encoder, &k.change, -1, &k.events, &k.err), WF_OK);
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"sequence\":\"[\\\"18446744073709551613\\\","
                                                "\\\"18446744073709551615\\\"]\",\"ts_us\":-1"));
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"txId\":4294967295,\"lsn\":-1"));
    cr_expect_not_null(strstr(kit_value(&k, 0), "\"op\":\"c\",\"ts_ms\":-1,\"ts_us\":-1}"));
    kit_close(&k);
}

Test(encode_framing, puts_zero_and_the_schema_id_in_front)
{
    static const unsigned char key[] = {0, 1, 2, 3, 4, 2}, value[] = {0, 0, 0, 0, 7, 0, 2};
    const char *row[] = {"1", "2", "x", NULL};
    struct wf_stream *stream;
    struct kit k;

    kit_open_framed(&k, WF_FRAME_CONFLUENT, 1u << 20);
    kit_table(&k, "public", "t", 'd', plain, 4, "a");
    k.change = (struct wf_change){.kind = WF_CHANGE_INSERT, .rel = &k.rel};
    wf_encoder_streams(k.encoder, &k.change, &stream, 1);
    stream->key_id = 0x01020304;
    stream->value_id = 7;
    cr_assert_eq(kit_insert(&k, row), WF_OK);
    cr_expect_eq(k.events.ev[0].key_len, sizeof(key));
    cr_expect_arr_eq(k.events.ev[0].key, key, sizeof(key));
    cr_expect_arr_eq(k.events.ev[0].value, value, sizeof(value));
    stream->ready = true;
    wf_encoder_unready(k.encoder);
    cr_expect(!stream->ready);
    kit_close(&k);
}

Test(encode_framing, json_is_the_same_event_as_text)
{
    const char *old_key[] = {"1", NULL, NULL, NULL}, *row[] = {"9", "2", "y", "1.50"};
    static const char key[] = "{\"id\":9}",
                      value[] = ENVELOPE("null", "{\"id\":9,\"a\":2,\"v\":\"y\",\"w\":1.50}", "c");
    struct kit k;

    kit_open_framed(&k, WF_FRAME_JSON, 1u << 20);
    kit_table(&k, "public", "t", 'd', plain, 4, "a");
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old_key, row), WF_OK);
    cr_assert_eq(k.events.n, 3);
    cr_assert_eq(k.events.ev[2].key_len, sizeof(key) - 1);
    cr_expect_arr_eq(k.events.ev[2].key, key, sizeof(key) - 1);
    cr_assert_eq(k.events.ev[2].value_len, sizeof(value) - 1);
    cr_expect_arr_eq(k.events.ev[2].value, value, sizeof(value) - 1);
    cr_expect_null(k.events.ev[1].value);
    kit_close(&k);
}

Test(encode_streams, another_shape_is_another_stream_and_the_old_one_is_found_again)
{
    static const struct kit_col wider[] = {{.name = "id", .oid = 23, .key = true, .required = true},
                                           {.name = "b", .oid = 25}};
    struct wf_stream *first, *second;
    struct kit k;

    kit_open(&k);
    kit_table(&k, "public", "t", 'd', wider, 1, "a");
    first = ((struct wf_plan *)k.rel.plan)->stream;
    kit_table(&k, "public", "t", 'd', wider, 2, "a");
    second = ((struct wf_plan *)k.rel.plan)->stream;
    cr_expect_neq(first, second);
    cr_expect_str_eq(first->topic, second->topic);
    cr_expect_neq(first->index, second->index);
    kit_table(&k, "public", "t", 'd', wider, 1, "a");
    cr_expect_eq(((struct wf_plan *)k.rel.plan)->stream, first);
    kit_close(&k);
}

/* ---- enum labels ---- */

static const struct kit_col mood_cols[] = {
    {.name = "id", .oid = 23, .key = true, .required = true},
    {.name = "mood", .oid = 70001, .labels = "sad,very, happy,ok", .type_name = "mood"}};

/* ALTER TYPE ... ADD VALUE sends no Relation message. */
Test(encode_enum, a_label_that_the_plan_does_not_know_asks_for_a_new_plan)
{
    static const char *const known[] = {"1", "very, happy"}, *const grown[] = {"2", "new"};
    struct kit k;

    kit_open(&k);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', mood_cols, 2, "a"), WF_OK);
    cr_assert_eq(kit_insert(&k, known), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, grown), WF_AGAIN);
    cr_assert_null(k.rel.plan, "the catalog is asked again");
    k.catcols[1].enum_labels = "sad,new,very, happy,ok";
    cr_assert_eq(wf_encoder_plan(k.encoder, &k.rel, &k.cat, &k.err), WF_OK);
    cr_assert_eq(kit_insert(&k, grown), WF_OK, "%s", k.err.text);
    cr_expect(
        strstr(k.events.ev[0].stream->value_schema, "\"allowed\":\"sad,new,very, happy,ok\""));
    kit_close(&k);
}

/* A label that was renamed since stands in older rows: the catalog will never know it. */
Test(encode_enum, a_label_that_the_catalog_does_not_know_either_is_taken_as_it_is)
{
    static const char *const old[] = {"2", "gone"};
    struct kit k;

    kit_open(&k);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', mood_cols, 2, "a"), WF_OK);
    cr_assert_eq(kit_insert(&k, old), WF_AGAIN);
    cr_assert_eq(wf_encoder_plan(k.encoder, &k.rel, &k.cat, &k.err), WF_OK);
    cr_assert_eq(kit_insert(&k, old), WF_AGAIN, "the column trusts from now on");
    cr_assert_eq(kit_insert(&k, old), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"mood\":\"gone\""));
    kit_close(&k);
}
