/* What the profiles write around the columns. */
#include <criterion/criterion.h>
#include <openssl/evp.h>

#include "avro_fingerprint.h"
#include "encode_kit.h"

static const struct kit_col cols[] = {
    {.name = "id", .oid = 23, .key = true, .required = true, .dflt = "nextval('s'::regclass)"},
    {.name = "name", .oid = 25, .required = true, .dflt = "'x'::text"},
    {.name = "note", .oid = 25, .dflt = "'y'::text"}};

/* Further settings of k->conf stay. */
static void open_profile(struct kit *k, int profile)
{
    k->conf.profile = profile;
    k->conf.tombstones = true;
    kit_start(k, WF_FRAME_NONE, 1u << 20, false);
    cr_assert_eq(k->rc, WF_OK, "%s", k->err.text);
    cr_assert_eq(kit_table(k, "public", "t", 'd', cols, 3, "a"), WF_OK, "%s", k->err.text);
}

static void expect_value(struct kit *k, uint32_t i, const char *want)
{
    cr_assert_lt(i, k->events.n);
    cr_expect_str_eq(kit_value(k, i), want);
}

static const char *const row[] = {"1", "a", NULL};

Test(profile_native, small_envelope_with_numbered_events)
{
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_NATIVE);
    wf_encoder_begin(k.encoder);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    expect_value(&k, 0,
                 "{\"before\":null,\"after\":{\"id\":1,\"name\":\"a\",\"note\":null},\"op\":\"c\","
                 "\"ts\":1700000000123456,\"source\":{\"system_id\":\"7000000000000000001\","
                 "\"timeline\":2,\"db\":\"shop\",\"schema\":\"public\",\"table\":\"t\","
                 "\"txid\":777,\"commit_lsn\":2000,\"ordinal\":1,\"lsn\":1500},"
                 "\"unavailable\":[]}");
    cr_assert_eq(kit_insert(&k, row), WF_OK);
    cr_expect(strstr(kit_value(&k, 0), "\"ordinal\":2,"), "%s", kit_value(&k, 0));
    wf_encoder_begin(k.encoder);
    cr_assert_eq(kit_insert(&k, row), WF_OK);
    cr_expect(strstr(kit_value(&k, 0), "\"ordinal\":1,"));
    kit_close(&k);
}

Test(profile_native, tells_the_timeline_after_a_promotion)
{
    const struct wf_origin promoted = {"shop", 7000000000000000001, 3, false};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_NATIVE);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_assert_eq(wf_encoder_origin(k.encoder, &promoted, &k.err), WF_OK);
    wf_encoder_begin(k.encoder);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"timeline\":3,\"db\":\"shop\","), "%s", kit_value(&k, 0));
    kit_close(&k);
}

Test(profile_native, only_keys_are_required_and_nothing_has_a_default)
{
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_NATIVE);
    cr_assert_eq(kit_insert(&k, row), WF_OK);
    cr_expect(strstr(k.events.ev[0].stream->value_schema,
                     "{\"name\":\"id\",\"type\":\"int\"},"
                     "{\"name\":\"name\",\"type\":[\"null\",\"string\"],\"default\":null},"
                     "{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null}"),
              "%s", k.events.ev[0].stream->value_schema);
    kit_close(&k);
}

Test(profile_native, marks_what_the_server_did_not_send)
{
    static const char *const toasted[] = {"1", UNCHANGED, UNCHANGED};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_NATIVE);
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, toasted), WF_OK, "%s",
                 k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"after\":{\"id\":1,\"name\":null,\"note\":null}"));
    cr_expect(strstr(kit_value(&k, 0), "\"unavailable\":[\"name\",\"note\"]}"), "%s",
              kit_value(&k, 0));
    cr_assert_eq(kit_insert(&k, row), WF_OK);
    cr_expect(strstr(kit_value(&k, 0), "\"unavailable\":[]}"), "the list is of one event");
    kit_close(&k);
}

/* No server sends that; one that does cannot make the list longer than the table is wide. */
Test(profile_native, marks_a_column_once_when_both_rows_lack_it)
{
    static const char *const old[] = {"1", UNCHANGED, UNCHANGED};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_NATIVE);
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_FULL, old, old), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "{\"before\":{\"id\":1,\"name\":null,\"note\":null},"
                                       "\"after\":{\"id\":1,\"name\":null,\"note\":null},"),
              "%s", kit_value(&k, 0));
    cr_expect(strstr(kit_value(&k, 0), "\"unavailable\":[\"name\",\"note\"]}"), "%s",
              kit_value(&k, 0));
    kit_close(&k);
}

Test(profile_row, is_the_row_and_a_delete_is_a_tombstone)
{
    static const char *const old[] = {"1", NULL, NULL};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_ROW);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    expect_value(&k, 0,
                 "{\"id\":1,\"name\":\"a\",\"note\":null,\"__op\":\"c\",\"__lsn\":1500,"
                 "\"__ts_ms\":1700000000123,\"__deleted\":false}");
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old, NULL), WF_OK);
    cr_assert_eq(k.events.n, 1);
    cr_expect_str_eq(kit_key(&k, 0), "{\"id\":1}");
    expect_value(&k, 0, "null");
    kit_close(&k);
}

Test(profile_row, without_tombstones_a_delete_says_so)
{
    static const char *const old[] = {"1", NULL, NULL};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_ROW);
    k.conf.tombstones = false;
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old, NULL), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 1);
    expect_value(&k, 0,
                 "{\"id\":1,\"name\":null,\"note\":null,\"__op\":\"d\",\"__lsn\":1500,"
                 "\"__ts_ms\":1700000000123,\"__deleted\":true}");
    kit_close(&k);
}

Test(profile_row, a_new_key_is_a_tombstone_and_a_row)
{
    static const char *const old[] = {"1", NULL, NULL}, *const now[] = {"2", "a", "b"};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_ROW);
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old, now), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 2);
    cr_expect_str_eq(kit_key(&k, 0), "{\"id\":1}");
    expect_value(&k, 0, "null");
    cr_expect_str_eq(kit_key(&k, 1), "{\"id\":2}");
    cr_expect(strstr(kit_value(&k, 1), "\"__op\":\"c\""));
    kit_close(&k);
}

Test(profile_row, an_unsent_value_stops_before_it_overwrites_a_row)
{
    static const char *const toasted[] = {"1", "a", UNCHANGED};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_ROW);
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, toasted), WF_REJECT);
    cr_expect_str_eq(k.err.code, "toast_unsent");
    kit_close(&k);
}

Test(profile_row, marks_unsent_values_when_asked_to)
{
    static const char *const toasted[] = {"1", "a", UNCHANGED}, *const old[] = {"1", NULL, NULL};
    struct kit k = {.conf = {.toast_mode = WF_TOAST_MARK}};

    open_profile(&k, WF_PROFILE_ROW);
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, toasted), WF_OK, "%s",
                 k.err.text);
    expect_value(&k, 0,
                 "{\"id\":1,\"name\":\"a\",\"note\":null,\"__op\":\"u\",\"__lsn\":1500,"
                 "\"__ts_ms\":1700000000123,\"__deleted\":false,\"__unavailable\":[\"note\"]}");
    k.conf.tombstones = false;
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old, NULL), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"__deleted\":true,\"__unavailable\":[]}"), "%s",
              kit_value(&k, 0));
    kit_close(&k);
}

Test(profile_row, refuses_columns_with_its_own_names)
{
    static const struct kit_col own[] = {{.name = "id", .oid = 23, .key = true, .required = true},
                                         {.name = "__lsn", .oid = 20}};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_ROW);
    cr_assert_eq(kit_table(&k, "public", "u", 'd', own, 2, "a"), WF_REJECT);
    cr_expect(strstr(k.err.text, "public.u") && strstr(k.err.text, "\"__lsn\""), "%s", k.err.text);
    kit_close(&k);
}

Test(profile_strict, writes_nanoseconds_and_defaults_for_nulls)
{
    struct kit k = {0};
    const char *value;

    open_profile(&k, WF_PROFILE_STRICT);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    value = kit_value(&k, 0);
    cr_expect(strstr(value, "\"note\":\"y\""), "%s", value);
    cr_expect(strstr(value, "\"ts_us\":1700000000123456,\"ts_ns\":1700000000123456000,"), "%s",
              value);
    cr_expect(strstr(value, "\"ts_us\":1700000001654321,\"ts_ns\":1700000001654321000}"), "%s",
              value);
    kit_close(&k);
}

Test(profile_strict, fills_with_defaults_what_a_delete_does_not_carry)
{
    static const char *const old[] = {"1", NULL, NULL};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_STRICT);
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old, NULL), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "{\"before\":{\"id\":1,\"name\":\"x\",\"note\":\"y\"},"),
              "%s", kit_value(&k, 0));
    kit_close(&k);
    k = (struct kit){0};
    open_profile(&k, WF_PROFILE_DEBEZIUM);
    cr_assert_eq(kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old, NULL), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "{\"before\":{\"id\":1,\"name\":\"x\",\"note\":null},"),
              "%s", kit_value(&k, 0));
    kit_close(&k);
}

static const char *header(const struct wf_event *ev, unsigned i)
{
    static char text[200];

    cr_assert_lt(i, ev->nheaders);
    snprintf(text, sizeof(text), "%s=%.*s", ev->headers[i].name, (int)ev->headers[i].len,
             (const char *)ev->headers[i].value);
    return text;
}

Test(profile_strict, has_debeziums_headers)
{
    static const char *const old[] = {"1", NULL, NULL}, *const now[] = {"2", "a", "b"};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_STRICT);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.ev[0].nheaders, 4);
    cr_expect_str_eq(header(&k.events.ev[0], 0), "__debezium.context.connectorLogicalName=srv");
    cr_expect_str_eq(header(&k.events.ev[0], 1), "__debezium.context.taskId=0");
    cr_expect_str_eq(header(&k.events.ev[0], 2), "__debezium.context.connectorName=postgresql");
    cr_expect_eq(k.events.ev[0].headers[3].len, 36, "a UUID");
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old, now), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 3);
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(k.events.ev[i].nheaders, WF_HEADERS_MAX);
    cr_expect_str_eq(header(&k.events.ev[0], 0), "__debezium.newkey={\"id\":2}");
    cr_expect_str_eq(header(&k.events.ev[1], 0), "__debezium.newkey={\"id\":2}");
    cr_expect_str_eq(header(&k.events.ev[2], 0), "__debezium.oldkey={\"id\":1}");
    kit_close(&k);
}

Test(profile_debezium, has_headers_on_key_changes_only)
{
    static const char *const old[] = {"1", NULL, NULL}, *const now[] = {"2", "a", "b"};
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_DEBEZIUM);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_expect_eq(k.events.ev[0].nheaders, 0);
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old, now), WF_OK);
    cr_expect_eq(k.events.ev[2].nheaders, 1);
    cr_expect_str_eq(header(&k.events.ev[2], 0), "__debezium.oldkey={\"id\":1}");
    kit_close(&k);
}

/* The headers of a key change tell both keys as JSON, in which a control character is six bytes. */
Test(profile_debezium, refuses_keys_too_large_for_the_headers)
{
    static const struct kit_col text[] = {{.name = "k", .oid = 25, .key = true, .required = true}};
    static char big[800000], other[800000];
    const char *old_row[] = {big}, *now[] = {other};
    struct kit k;

    memset(big, 'x', sizeof(big) - 1);
    memset(other, 1, sizeof(other) - 1);
    kit_open(&k);
    kit_table(&k, "public", "t", 'd', text, 1, "a");
    memset(big, 2, sizeof(big) - 1);
    cr_expect_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old_row, now), WF_REJECT);
    cr_expect_str_eq(k.err.code, "event_too_large");
    cr_expect(strstr(k.err.text, "public.t") && strstr(k.err.text, "max_event"), "%s", k.err.text);
    kit_close(&k);
    kit_open_framed(&k, WF_FRAME_NONE, 16u << 20);
    kit_table(&k, "public", "t", 'd', text, 1, "a");
    cr_expect_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old_row, now), WF_OK, "%s",
                 k.err.text);
    kit_close(&k);
}

static enum wf_rc truncate_table(struct kit *k)
{
    static struct wf_relation *rels[1];

    rels[0] = &k->rel;
    memset(&k->change, 0, sizeof(k->change));
    k->change.kind = WF_CHANGE_TRUNCATE;
    k->change.truncate.rels = rels;
    k->change.truncate.nrels = 1;
    return kit_encode(k);
}

Test(profile_strict, truncates_in_the_tables_topic)
{
    struct kit k = {0};

    open_profile(&k, WF_PROFILE_STRICT);
    cr_assert_eq(truncate_table(&k), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 1);
    cr_expect_str_eq(k.events.ev[0].stream->topic, "srv.public.t");
    cr_expect_null(k.events.ev[0].key);
    cr_expect(strstr(kit_value(&k, 0), "{\"before\":null,\"after\":null,\"source\":{"), "%s",
              kit_value(&k, 0));
    cr_expect(strstr(kit_value(&k, 0), "\"op\":\"t\""));
    kit_close(&k);
}

/* The BEGIN before the first event, numbered events, the END with counts. */
Test(transaction_metadata, begin_blocks_and_end)
{
    static const char *const old[] = {"1", NULL, NULL}, *const now[] = {"2", "a", "b"};
    struct kit k = {.conf = {.transactions = true}};

    open_profile(&k, WF_PROFILE_DEBEZIUM);
    wf_encoder_begin(k.encoder);
    cr_expect_not(wf_encoder_ends(k.encoder), "an empty transaction leaves no trace");
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 2);
    cr_expect_str_eq(k.events.ev[0].stream->topic, "srv.transaction");
    cr_expect_str_eq(kit_key(&k, 0), "{\"id\":\"777:1500\"}");
    expect_value(&k, 0,
                 "{\"status\":\"BEGIN\",\"id\":\"777:1500\",\"event_count\":null,"
                 "\"data_collections\":null,\"ts_ms\":1700000000123}");
    cr_expect(strstr(kit_value(&k, 1), "\"transaction\":{\"id\":\"777:1500\",\"total_order\":1,"
                                       "\"data_collection_order\":1}"),
              "%s", kit_value(&k, 1));
    cr_expect_str_eq(kit_key(&k, 1), "{\"id\":1}");
    cr_assert_eq(kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_KEY, old, now), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 3, "no second BEGIN");
    cr_expect(strstr(kit_value(&k, 0), "\"total_order\":2,\"data_collection_order\":2}"));
    cr_expect(strstr(kit_value(&k, 2), "\"total_order\":3,\"data_collection_order\":3}"));
    cr_assert_eq(truncate_table(&k), WF_OK);
    cr_assert(wf_encoder_ends(k.encoder));
    memset(&k.change, 0, sizeof(k.change));
    k.change.kind = WF_CHANGE_COMMIT;
    cr_assert_eq(kit_encode(&k), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 1);
    expect_value(&k, 0,
                 "{\"status\":\"END\",\"id\":\"777:2000\",\"event_count\":4,"
                 "\"data_collections\":[{\"data_collection\":\"public.t\",\"event_count\":4}],"
                 "\"ts_ms\":1700000000123}");
    kit_close(&k);
}

Test(transaction_metadata, a_refused_change_does_not_count)
{
    static const char *const bad[] = {"x", "a", "b"};
    struct kit k = {.conf = {.transactions = true}};

    open_profile(&k, WF_PROFILE_DEBEZIUM);
    wf_encoder_begin(k.encoder);
    cr_assert_eq(kit_insert(&k, bad), WF_REJECT);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    cr_assert_eq(k.events.n, 2, "BEGIN comes again");
    cr_expect(strstr(kit_value(&k, 1), "\"total_order\":1,\"data_collection_order\":1}"));
    kit_close(&k);
}

Test(heartbeat, is_debeziums)
{
    struct kit k = {.conf = {.heartbeat_ms = 1000}};

    open_profile(&k, WF_PROFILE_DEBEZIUM);
    memset(&k.change, 0, sizeof(k.change));
    k.change.kind = WF_CHANGE_HEARTBEAT;
    cr_assert_eq(wf_encode(k.encoder, &k.change, KIT_NOW_US, &k.events, &k.err), WF_OK);
    cr_assert_eq(k.events.n, 1);
    cr_expect_str_eq(k.events.ev[0].stream->topic, "__debezium-heartbeat.srv");
    cr_expect_str_eq(kit_key(&k, 0), "{\"serverName\":\"srv\"}");
    expect_value(&k, 0, "{\"ts_ms\":1700000001654}");
    kit_close(&k);
}

/* ---- single objects ---- */

/* Known answers: Apache Avro specification and its implementations. */
Test(fingerprint, of_known_schemas)
{
    static const struct {
        const char *schema, *canonical;
        uint64_t fingerprint;
    } rows[] = {
        {"\"int\"", "\"int\"", UINT64_C(0x7275d51a3f395c8f)},
        {"{\"type\":\"int\"}", "\"int\"", UINT64_C(0x7275d51a3f395c8f)},
        {"\"string\"", "\"string\"", UINT64_C(0x8f014872634503c7)},
        {"{ \"type\": \"record\", \"name\": \"a.b.R\", \"doc\": \"x\", \"fields\": [ {\"name\": "
         "\"f\", \"type\": [\"null\", {\"type\":\"fixed\",\"name\":\"F\",\"size\":4}], "
         "\"default\": null}, {\"name\":\"g\",\"type\":\"F\"} ], \"x\": 1 }",
         "{\"name\":\"a.b.R\",\"type\":\"record\",\"fields\":[{\"name\":\"f\",\"type\":[\"null\","
         "{\"name\":\"a.b.F\",\"type\":\"fixed\",\"size\":4}]},{\"name\":\"g\",\"type\":"
         "\"a.b.F\"}]}",
         0},
        {"{\"type\":\"enum\",\"name\":\"E\",\"namespace\":\"n\",\"symbols\":[\"A\",\"B\"]}",
         "{\"name\":\"n.E\",\"type\":\"enum\",\"symbols\":[\"A\",\"B\"]}", 0},
        {"{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"long\"}}",
         "{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"long\"}}", 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wf_err err;
        struct wf_buf b;
        uint64_t got = 0;

        wf_buf_init(&b, 4096);
        cr_assert_eq(wf_avro_canonical(rows[i].schema, strlen(rows[i].schema), &b, &err), WF_OK);
        wf_buf_byte(&b, '\0');
        cr_expect_str_eq((char *)b.data, rows[i].canonical);
        cr_assert_eq(wf_avro_fingerprint(rows[i].schema, strlen(rows[i].schema), &got, &err),
                     WF_OK);
        if (rows[i].fingerprint)
            cr_expect_eq(got, rows[i].fingerprint, "%s: %016llx", rows[i].schema,
                         (unsigned long long)got);
        wf_buf_deinit(&b);
    }
}

Test(fingerprint, of_what_is_no_schema)
{
    static const char *const bad[] = {
        "", "{}", "[", "{\"type\":\"record\"}", "17", "{\"type\":\"array\"}"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct wf_err err;
        uint64_t got;

        cr_expect_eq(wf_avro_fingerprint(bad[i], strlen(bad[i]), &got, &err), WF_REJECT, "%s",
                     bad[i]);
    }
}

Test(single_object, starts_with_marker_and_fingerprint)
{
    struct kit k;
    const unsigned char *v;
    uint64_t got = 0;

    kit_open_framed(&k, WF_FRAME_SINGLE_OBJECT, 1u << 20);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, 3, "a"), WF_OK);
    cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
    v = k.events.ev[0].value;
    cr_expect_eq(v[0], 0xc3);
    cr_expect_eq(v[1], 0x01);
    for (unsigned i = 0; i < 8; i++)
        got |= (uint64_t)v[2 + i] << (8 * i);
    cr_expect_eq(got, k.events.ev[0].stream->value_fingerprint);
    cr_expect_neq(got, 0);
    cr_expect_eq(k.events.ev[0].key_len, 10 + 1);
    kit_close(&k);
}
