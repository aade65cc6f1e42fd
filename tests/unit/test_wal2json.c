/* Messages are written as wal2json 2.5 and 2.6 print them. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "config.h"
#include "decoder.h"

extern const struct wf_decoder_ops wf_decoder_wal2json, wf_decoder_pgoutput;

#define HEAD(action)                                                                               \
    "{\"action\":\"" action                                                                        \
    "\",\"xid\":7,\"timestamp\":\"2026-11-25 03:33:59.02671+00\",\"origin\":0"
#define BEGIN HEAD("B") ",\"lsn\":\"0/1000\",\"nextlsn\":\"0/1050\"}"
#define COMMIT HEAD("C") ",\"lsn\":\"0/1000\",\"nextlsn\":\"0/1050\"}"
#define OF(action) HEAD(action) ",\"lsn\":\"0/F00\",\"schema\":\"public\",\"table\":\"t\""
#define COL(name, type, oid, value, pos)                                                           \
    "{\"name\":\"" name "\",\"type\":\"" type "\",\"typeoid\":" oid ",\"value\":" value            \
    ",\"optional\":true,\"position\":" pos "}"
#define KEY(value) "{\"name\":\"id\",\"type\":\"integer\",\"typeoid\":23,\"value\":" value "}"
#define PK ",\"pk\":[{\"name\":\"id\",\"type\":\"integer\",\"typeoid\":23}]}"
#define ID(value) COL("id", "integer", "23", value, "1")
#define BODY(value) COL("body", "text", "25", value, "2")
#define NOTE(value) COL("note", "text", "25", value, "4")
#define INSERT(id, body, note) OF("I") ",\"columns\":[" ID(id) "," BODY(body) "," NOTE(note) "]" PK
#define UPDATE(columns, old) OF("U") ",\"columns\":[" columns "],\"identity\":[" old "]" PK

static struct wf_decoder *decoder;
static struct wf_change change;
static struct wf_err err;

static void open_decoder(void)
{
    cr_assert_eq(wf_decoder_wal2json.open(&decoder, &err), WF_OK);
    wf_decoder_wal2json.reset(decoder, 0xf00);
}

static void close_decoder(void)
{
    wf_decoder_wal2json.close(decoder);
}

/* An exact copy in the heap: the sanitizer sees a byte too many. */
static enum wf_rc decode_once(const char *text)
{
    static char *copy;
    size_t len = strlen(text);
    struct wf_msg msg = {.len = len, .start_lsn = 1};

    free(copy);
    copy = malloc(len + 1);
    memcpy(copy, text, len);
    msg.data = copy = realloc(copy, len ? len : 1);
    memset(&err, 0, sizeof(err));
    return wf_decoder_wal2json.decode(decoder, &msg, &change, &err);
}

/* public.t (id, body, dropped, note) as the catalog knows it; @lsn: of the look-up. */
static struct wf_table *live(uint64_t lsn, uint16_t ncols)
{
    struct wf_table *t = calloc(1, sizeof(*t) + 3 * sizeof(t->cols[0]));

    t->oid = 16385;
    t->identity = 'd';
    t->lsn = lsn;
    t->natts = 4;
    t->ncols = ncols;
    t->cols[0] = (struct wf_table_col){.name = "id",
                                       .type = "integer",
                                       .type_oid = 23,
                                       .typmod = -1,
                                       .attnum = 1,
                                       .pk = true,
                                       .key = true};
    t->cols[1] = (struct wf_table_col){
        .name = "body", .type = "text", .type_oid = 25, .typmod = -1, .attnum = 2, .varlena = true};
    t->cols[2] = (struct wf_table_col){
        .name = "note", .type = "text", .type_oid = 25, .typmod = -1, .attnum = 4, .varlena = true};
    return t;
}

static unsigned asked;

/* With the catalog's answer, where it is asked for. */
static enum wf_rc decode(const char *text)
{
    enum wf_rc rc = decode_once(text);

    if (rc == WF_AGAIN && wf_decoder_wal2json.asks(decoder)) {
        asked++;
        cr_expect_str_eq(wf_decoder_wal2json.asks(decoder)->schema, "public");
        wf_decoder_wal2json.tell(decoder, live(0x2000, 3));
        rc = decode_once(text);
    }
    return rc;
}

static void given(const char *text)
{
    cr_assert_eq(decode(text), WF_OK, "%s: %s", text, err.text);
}

static void expect_text(const struct wf_col *col, const char *text)
{
    cr_assert_eq(col->kind, WF_COL_TEXT);
    cr_expect_eq(col->len, strlen(text), "%.*s is not %s", (int)col->len, col->data, text);
    cr_expect_eq(memcmp(col->data, text, strlen(text)), 0, "%.*s is not %s", (int)col->len,
                 col->data, text);
}

TestSuite(wal2json, .init = open_decoder, .fini = close_decoder);

Test(wal2json, tells_transactions_as_pgoutput_does)
{
    given(BEGIN);
    cr_expect_eq(change.kind, WF_CHANGE_BEGIN);
    cr_expect_eq(change.txn->final_lsn, 0x1000);
    cr_expect_eq(change.txn->end_lsn, 0, "not told before the commit");
    cr_expect_eq(change.txn->commit_us, INT64_C(1795577639026710));
    cr_expect_eq(change.txn->xid, 7);
    cr_expect_eq(change.txn->prev_end_lsn, 0xf00);
    given(COMMIT);
    cr_expect_eq(change.kind, WF_CHANGE_COMMIT);
    cr_expect_eq(change.txn->end_lsn, 0x1050);
}

Test(wal2json, keeps_the_text_of_every_value)
{
    static const struct {
        const char *type, *oid, *json, *text;
    } rows[] = {
        {"bigint", "20", "9223372036854775807", "9223372036854775807"},
        {"numeric", "1700", "123456789012345678901234567890.12345678901234567890",
         "123456789012345678901234567890.12345678901234567890"},
        {"numeric(10,2)", "1700", "12.50", "12.50"},
        {"double precision", "701", "1e+300", "1e+300"},
        {"double precision", "701", "\"NaN\"", "NaN"},
        {"boolean", "16", "true", "t"},
        {"boolean", "16", "false", "f"},
        {"bytea", "17", "\"00ff\"", "\\x00ff"},
        {"bytea", "17", "\"\"", "\\x"},
        {"text", "25", "\"a\\\"\\\\\\n\\t\\u0001\\u00e9\\ud83d\\ude00\"",
         "a\"\\\n\t\x01\xc3\xa9\xf0\x9f\x98\x80"},
    };
    char text[1024];

    given(BEGIN);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(
            text, sizeof(text),
            OF("I") ",\"columns\":[" ID("1") ",{\"name\":\"v\",\"type\":\"%s\",\"typeoid\":%s,"
                                             "\"value\":%s,\"optional\":true,\"position\":2}]" PK,
            rows[i].type, rows[i].oid, rows[i].json);
        given(text);
        expect_text(&change.new_row[1], rows[i].text);
    }
}

Test(wal2json, a_missing_column_is_unchanged)
{
    given(BEGIN);
    given(INSERT("1", "\"b\"", "null"));
    cr_expect_eq(change.rel->ncols, 3);
    cr_expect_eq(change.rel->oid, 16385);
    cr_expect(change.rel->cols[0].key);
    cr_expect_eq(change.new_row[2].kind, WF_COL_NULL);
    given(UPDATE(ID("1") "," NOTE("\"n\""), KEY("1")));
    cr_expect_eq(change.rel->ncols, 3);
    cr_expect_eq(change.new_row[1].kind, WF_COL_UNCHANGED);
    expect_text(&change.new_row[2], "n");
    cr_expect_eq(change.old_kind, WF_OLD_NONE, "the key is the same");
}

Test(wal2json, the_catalog_says_what_a_first_update_left_out)
{
    given(BEGIN);
    given(UPDATE(ID("1"), KEY("1")));
    cr_assert_eq(change.rel->ncols, 3);
    cr_expect_eq(change.new_row[1].kind, WF_COL_UNCHANGED);
    cr_expect_eq(change.new_row[2].kind, WF_COL_UNCHANGED);
    cr_expect_eq(asked, 1);
}

Test(wal2json, asks_once_as_long_as_messages_fit)
{
    struct wf_relation *rel;

    given(BEGIN);
    given(INSERT("1", "\"b\"", "null"));
    rel = change.rel;
    given(INSERT("2", "\"b\"", "null"));
    given(UPDATE(ID("1") "," BODY("null") "," NOTE("\"n\""), KEY("1")));
    cr_expect_eq(change.rel, rel);
    cr_expect_eq(asked, 1);
}

Test(wal2json, a_key_change_has_the_old_key)
{
    given(BEGIN);
    given(UPDATE(ID("2") "," BODY("\"b\"") "," NOTE("null"), KEY("1")));
    cr_assert_eq(change.old_kind, WF_OLD_KEY);
    expect_text(&change.old_row[0], "1");
    cr_expect_eq(change.old_row[1].kind, WF_COL_NULL);
}

Test(wal2json, a_delete_has_its_key)
{
    given(BEGIN);
    given(OF("D") ",\"identity\":[" KEY("1") "]" PK);
    cr_expect_eq(change.kind, WF_CHANGE_DELETE);
    cr_assert_eq(change.old_kind, WF_OLD_KEY);
    expect_text(&change.old_row[0], "1");
    cr_expect_null(change.new_row);
    cr_expect_eq(change.rel->ncols, 3);
}

Test(wal2json, an_identity_of_all_columns_is_full)
{
    given(BEGIN);
    given(OF("U") ",\"columns\":[" ID("1") "," NOTE("null") "],\"identity\":[" KEY(
        "1") ",{\"name\":\"body\",\"type\":\"text\",\"typeoid\":25,\"value\":\"long\"},"
             "{\"name\":\"note\",\"type\":\"text\",\"typeoid\":25,\"value\":\"x\"}],\"pk\":[]}");
    cr_expect_eq(change.rel->identity, 'f');
    cr_assert_eq(change.old_kind, WF_OLD_FULL);
    expect_text(&change.old_row[1], "long");
    cr_expect_eq(change.new_row[1].kind, WF_COL_UNCHANGED);
}

Test(wal2json, a_new_column_is_a_new_version)
{
    given(BEGIN);
    given(INSERT("1", "\"b\"", "null"));
    cr_expect_eq(change.rel->version, 1);
    given(OF("I") ",\"columns\":[" ID("1") "," BODY("null") "," NOTE("null") "," COL(
        "added", "character varying(20)[]", "1015", "\"{a}\"", "5") "]" PK);
    cr_expect_eq(change.rel->version, 2);
    cr_assert_eq(change.rel->ncols, 4);
    cr_expect_eq(change.rel->cols[3].typmod, 24);
}

/* The catalog drops "note"; at 0x2000, which the transaction (0x1000) is before. */
Test(wal2json, in_doubt_a_column_stays)
{
    given(BEGIN);
    given(INSERT("1", "\"b\"", "\"n\""));
    cr_assert_eq(decode_once(OF("U") ",\"columns\":[" COL("id", "bigint", "20", "1", "1") "," BODY(
                     "null") "],\"identity\":[{\"name\":\"id\",\"type\":\"bigint\",\"typeoid\":20,"
                             "\"value\":1}]" PK),
                 WF_AGAIN);
    wf_decoder_wal2json.tell(decoder, live(0x2000, 2));
    cr_assert_eq(decode_once(OF("U") ",\"columns\":[" COL("id", "bigint", "20", "1", "1") "," BODY(
                     "null") "],\"identity\":[{\"name\":\"id\",\"type\":\"bigint\",\"typeoid\":20,"
                             "\"value\":1}]" PK),
                 WF_OK);
    cr_assert_eq(change.rel->ncols, 3);
    cr_expect_eq(change.new_row[2].kind, WF_COL_UNCHANGED);
}

Test(wal2json, a_null_that_may_be_nan_is_said_to_be)
{
    static const char text[] =
        OF("I") ",\"columns\":[" ID("1") "," COL("v", "real", "700", "null", "2") "]" PK;

    wf_decoder_wal2json.started(decoder, 1);
    given(BEGIN);
    given(text);
    cr_expect_eq(change.new_row[1].kind, WF_COL_UNSURE);
    wf_decoder_wal2json.started(decoder, 0);
    given(text);
    cr_expect_eq(change.new_row[1].kind, WF_COL_NULL);
}

Test(wal2json, reads_types_that_the_plugin_prints_unquoted)
{
    given(BEGIN);
    given(OF("I") ",\"columns\":[" ID(
        "1") ",{\"name\":\"v\",\"type\":\"My s\".\"My \"\"t\",\"typeoid\":"
             "16400,\"value\":\"x\",\"optional\":true,\"position\":2}]" PK);
    cr_expect_eq(change.rel->cols[1].type_oid, 16400);
    expect_text(&change.new_row[1], "x");
}

Test(wal2json, messages_and_truncates)
{
    given("{\"action\":\"M\",\"xid\":null,\"timestamp\":null,\"origin\":null,\"lsn\":\"0/A\","
          "\"transactional\":false,\"prefix\":\"p\",\"content\":\"x\\ny\"}");
    cr_expect_eq(change.kind, WF_CHANGE_MESSAGE);
    cr_expect_null(change.txn);
    cr_expect_eq(change.lsn, 0xa);
    cr_expect_str_eq(change.message.prefix, "p");
    cr_expect_eq(change.message.len, 3);
    given(BEGIN);
    given(OF("T") "}");
    cr_expect_eq(change.kind, WF_CHANGE_TRUNCATE);
    cr_assert_eq(change.truncate.nrels, 1);
    cr_expect_str_eq(change.truncate.rels[0]->name, "t");
    cr_expect_eq(change.truncate.rels[0]->ncols, 3);
}

Test(wal2json, malformed_messages_are_named_with_their_byte)
{
    static const struct {
        const char *text, *what;
    } rows[] = {
        {"", "at byte 0: an object"},
        {"[]", "at byte 0: an object"},
        {"{\"action\":7}", "at byte 10: a string"},
        {"{\"action\":\"X\"}", "at byte 10: unknown action"},
        {"{\"action\":\"B\",\"action\":\"B\"}", "a key stands twice"},
        {"{\"action\":\"C\"}", "without an lsn"},
        {BEGIN "x", "bytes after the end"},
        {"{\"action\":\"B\",\"xid\":-1}", "out of range"},
        {"{\"action\":\"B\",\"xid\":1.5}", "a whole number"},
        {"{\"action\":\"B\",\"xid\":99999999999999999999999}", "out of range"},
        {"{\"action\":\"B\",\"lsn\":\"0/1/2\"}", "no WAL position"},
        {"{\"action\":\"B\",\"timestamp\":\"2026-13-25 03:33:59+00\"}", "no timestamp"},
        {"{\"action\":\"B\",\"timestamp\":\"2026-11-25 03:33:59+01\"}", "no timestamp"},
        {"{\"x\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", "nested too deeply"},
        {"{\"x\":\"\\q\"}", "unknown escape"},
        {"{\"x\":\"\\u0000\"}", "unknown escape"},
        {"{\"x\":\"\\ud800x\"}", "unknown escape"},
        {"{\"x\":\"abc", "without an end"},
        {"{\"x\":\"a\nb\"}", "control character"},
        {"{\"x\":1.}", "digits behind its point"},
        {"{\"x\":1e}", "without an exponent"},
        {"{\"x\":nul}", "a value is expected"},
        {"{\"x\" 1}", "a colon"},
        {OF("I") ",\"columns\":[{\"name\":\"id\"}]" PK, "without name, type or typeoid"},
        {OF("I") ",\"columns\":[" ID("1") "," ID("1") "]" PK, "out of order"},
        {OF("I") PK, "change without"},
        {OF("I") ",\"columns\":[" ID("{}") "]" PK, "a value is expected"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(decode_once(rows[i].text), WF_FATAL, "%s", rows[i].text);
        cr_expect_str_eq(err.code, "malformed");
        cr_expect(strstr(err.text, rows[i].what), "%s: %s", rows[i].text, err.text);
    }
}

Test(wal2json, what_stands_outside_its_transaction_is_refused)
{
    cr_expect_eq(decode_once(COMMIT), WF_FATAL);
    cr_expect_eq(decode_once(OF("T") "}"), WF_FATAL);
    given(BEGIN);
    cr_expect_eq(decode_once(BEGIN), WF_FATAL);
}

Test(wal2json, every_prefix_of_a_message_is_malformed)
{
    static const char text[] = UPDATE(ID("1") "," BODY("\"\\u00e9\"") "," NOTE("null"), KEY("1"));
    char copy[sizeof(text)];

    given(BEGIN);
    for (size_t n = 0; n + 1 < sizeof(text); n++) {
        memcpy(copy, text, n);
        copy[n] = '\0';
        cr_expect_eq(decode_once(copy), WF_FATAL, "%zu bytes", n);
    }
}

/* ---- options ------------------------------------------------------------------------------ */

static void expect_options(const struct wf_start *start, const char *part, bool there)
{
    struct wf_buf out;

    wf_buf_init(&out, 65536);
    wf_decoder_wal2json.options(start, &out);
    wf_buf_byte(&out, '\0');
    cr_expect_eq(strstr((char *)out.data, part) != NULL, there, "%s: %s", part, (char *)out.data);
    wf_buf_deinit(&out);
}

Test(wal2json_options, leave_plain_names_to_the_server)
{
    char *names[] = {"public.a", "public.b's c,d"}, *globs[] = {"public.a", "public.*"};
    struct wf_source_conf conf = {.tables = {.items = names, .n = 2},
                                  .exclude_tables = {.items = globs, .n = 2}};
    struct wf_start start = {&conf, 150000, 0, "'\"p\"'"};

    expect_options(&start, "\"add-tables\" 'public.a,public.b''s\\ c\\,d'", true);
    expect_options(&start, "\"filter-tables\" 'public.a'", true);
    expect_options(&start, "numeric-data-types-as-string", true);
    conf.tables.items = globs;
    start.variant = 1;
    expect_options(&start, "add-tables", false);
    expect_options(&start, "numeric-data-types-as-string", false);
}

Test(wal2json_options, fall_back_once)
{
    struct wf_source_conf conf = {0};
    struct wf_start start = {&conf, 150000, 0, NULL};

    cr_expect_null(wf_decoder_wal2json.falls_back(&start, "57P01"));
    cr_expect_not_null(wf_decoder_wal2json.falls_back(&start, "22023"));
    start.variant = 1;
    cr_expect_null(wf_decoder_wal2json.falls_back(&start, "22023"));
}

Test(wal2json_options, leave_those_of_pgoutput_as_they_were)
{
    struct wf_source_conf conf = {0};
    struct wf_start start = {&conf, 140000, 0, "'\"p\"'"};
    struct wf_buf out;

    wf_buf_init(&out, 1024);
    wf_decoder_pgoutput.options(&start, &out);
    wf_buf_byte(&out, '\0');
    cr_expect_str_eq((char *)out.data,
                     "proto_version '1', publication_names '\"p\"', messages 'true'");
    wf_buf_deinit(&out);
}
