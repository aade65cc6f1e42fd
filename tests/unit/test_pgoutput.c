/* Messages are written as in PostgreSQL's documentation, "Logical Replication Message Formats". */
#include <criterion/criterion.h>

#include "decoder.h"
#include "hex.h"

extern const struct wf_decoder_ops wf_decoder_pgoutput;

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01 */

/* Begin: final LSN 0/1000, 1 us after the epoch of PostgreSQL, xid 7 */
#define BEGIN "'B' 0000000000001000 0000000000000001 00000007"
#define COMMIT "'C' 00 0000000000001000 0000000000001050 0000000000000002"
/* public.orders: oid 16385, identity d, columns id int4 (key), body text, note text */
#define ID " 01 'id' 00 00000017 ffffffff"
#define BODY " 00 'body' 00 00000019 ffffffff"
#define NOTE " 00 'note' 00 00000019 ffffffff"
#define ORDERS "'R' 00004001 'public' 00 'orders' 00 'd' 0003" ID BODY NOTE
/* public.users: oid 16386, identity f, one column of type 16400 */
#define USERS "'R' 00004002 'public' 00 'users' 00 'f' 0001 01 'mood' 00 00004010 00000009"
#define MOOD "'Y' 00004010 'public' 00 'mood' 00"
#define ROW(id) " 0003 't' 00000001 '" id "' 't' 00000002 'hi' 'n'"
#define INSERT "'I' 00004001 'N'" ROW("7")
#define UPDATE "'U' 00004001 'N'" ROW("7")
#define UPDATE_K "'U' 00004001 'K' 0003 't' 00000001 '6' 'n' 'n' 'N'" ROW("7")
#define UPDATE_O "'U' 00004001 'O'" ROW("6") " 'N'" ROW("7")
#define DELETE_K "'D' 00004001 'K' 0003 't' 00000001 '7' 'n' 'n'"
#define DELETE_O "'D' 00004001 'O'" ROW("7")
#define TRUNCATE "'T' 00000002 03 00004001 00004002"
#define MESSAGE "'M' 01 0000000000000ff0 'app' 00 00000005 'a' 00 'b' 00 'c'"
#define ORIGIN "'O' 00000000000000aa 'other' 00"

static struct wf_decoder *decoder;
static struct wf_change change;
static struct wf_err err;
static struct bytes last; /* what `change` points into */

static void open_decoder(void)
{
    cr_assert_eq(wf_decoder_pgoutput.open(&decoder, &err), WF_OK);
}

static void close_decoder(void)
{
    wf_decoder_pgoutput.close(decoder);
    free(last.data);
}

static enum wf_rc decode_bytes(const char *data, size_t len)
{
    struct wf_msg msg = {.data = data, .len = len, .start_lsn = 0xabc};

    memset(&err, 0, sizeof(err));
    return wf_decoder_pgoutput.decode(decoder, &msg, &change, &err);
}

static enum wf_rc decode(const char *text)
{
    free(last.data);
    last = hex(text);
    return decode_bytes(last.data, last.len);
}

/* For what stands before the message a test is about. */
static void given(const char *text)
{
    enum wf_rc rc = decode(text);

    cr_assert(rc == WF_OK || rc == WF_AGAIN, "%s: %s", text, err.text);
}

static void expect_malformed(const char *text, char type, size_t at)
{
    enum wf_rc rc = decode(text);
    char where[64];

    cr_expect_eq(rc, WF_FATAL, "%s", text);
    cr_expect_str_eq(err.code, "malformed");
    snprintf(where, sizeof(where), "message '%c'", type);
    cr_expect(strstr(err.text, where), "%s names no %s", err.text, where);
    snprintf(where, sizeof(where), "at byte %zu:", at);
    cr_expect(strstr(err.text, where), "%s is not %s", err.text, where);
}

static void expect_text(const struct wf_col *col, const char *text)
{
    cr_expect_eq(col->kind, WF_COL_TEXT);
    cr_expect_eq(col->len, strlen(text));
    cr_expect_arr_eq(col->data, text, strlen(text));
}

/* ---- transactions ------------------------------------------------------------------------- */

TestSuite(pgoutput_transaction, .init = open_decoder, .fini = close_decoder);

Test(pgoutput_transaction, is_described_at_its_begin)
{
    cr_assert_eq(decode(BEGIN), WF_OK);
    cr_expect_eq(change.kind, WF_CHANGE_BEGIN);
    cr_expect_eq(change.txn->final_lsn, 0x1000);
    cr_expect_eq(change.txn->end_lsn, 0, "not known before the commit");
    cr_expect_eq(change.txn->commit_us, PG_EPOCH_US + 1);
    cr_expect_eq(change.txn->xid, 7);
    cr_expect_null(change.txn->origin);
    cr_expect_eq(change.txn->prev_end_lsn, 0, "nothing came before");
}

Test(pgoutput_transaction, gets_its_end_with_the_commit)
{
    given(BEGIN);
    cr_assert_eq(decode(COMMIT), WF_OK);
    cr_expect_eq(change.kind, WF_CHANGE_COMMIT);
    cr_expect_eq(change.txn->end_lsn, 0x1050);
    cr_expect_eq(change.txn->commit_us, PG_EPOCH_US + 2);
}

Test(pgoutput_transaction, knows_the_one_before)
{
    given(BEGIN);
    given(COMMIT);
    given("'B' 0000000000002000 0000000000000001 00000008");
    cr_expect_eq(change.txn->prev_end_lsn, 0x1050);
}

/* After a step back to the checkpoint the last one seen is no predecessor. */
Test(pgoutput_transaction, comes_first_behind_the_start_of_the_stream)
{
    given("'B' 0000000000002000 0000000000000001 00000008");
    wf_decoder_pgoutput.reset(decoder, 0xf00);
    given(BEGIN);
    cr_expect_eq(change.txn->prev_end_lsn, 0xf00);
}

Test(pgoutput_transaction, carries_the_origin_until_its_end)
{
    given(BEGIN);
    cr_assert_eq(decode(ORIGIN), WF_AGAIN);
    given(ORDERS);
    given(INSERT);
    cr_expect_str_eq(change.txn->origin, "other");
    cr_expect_eq(change.txn->origin_lsn, 0xaa);
    given(COMMIT);
    cr_expect_str_eq(change.txn->origin, "other");

    given("'B' 0000000000002000 0000000000000001 00000008");
    cr_expect_null(change.txn->origin, "the next transaction is local");
}

Test(pgoutput_transaction, is_forgotten_by_a_reset)
{
    given(BEGIN);
    wf_decoder_pgoutput.reset(decoder, 0);
    cr_expect_eq(decode(BEGIN), WF_OK);
}

Test(pgoutput_transaction, does_not_nest)
{
    given(BEGIN);
    expect_malformed(BEGIN, 'B', 1);
}

Test(pgoutput_transaction, does_not_end_before_it_begins)
{
    expect_malformed(COMMIT, 'C', 1);
}

Test(pgoutput_transaction, ends_where_its_begin_said)
{
    given(BEGIN);
    expect_malformed("'C' 00 0000000000001001 0000000000001050 0000000000000002", 'C', 26);
}

Test(pgoutput_transaction, ends_behind_its_commit_record)
{
    given(BEGIN);
    expect_malformed("'C' 00 0000000000001000 0000000000001000 0000000000000002", 'C', 26);
}

Test(pgoutput_transaction, holds_every_change)
{
    given(ORDERS);
    expect_malformed(INSERT, 'I', 1);
    expect_malformed(TRUNCATE, 'T', 6);
}

/* ---- relations ---------------------------------------------------------------------------- */

TestSuite(pgoutput_relation, .init = open_decoder, .fini = close_decoder);

static unsigned plans_freed;

static void free_plan(void *plan)
{
    cr_expect_eq(plan, &plans_freed);
    plans_freed++;
}

static struct wf_relation *relation_of(const char *insert)
{
    given(insert);
    return change.rel;
}

static void plan(struct wf_relation *rel)
{
    rel->plan = &plans_freed;
    rel->plan_free = free_plan;
}

Test(pgoutput_relation, is_kept_with_its_columns)
{
    const struct wf_relation *rel;

    given(BEGIN);
    cr_assert_eq(decode(ORDERS), WF_AGAIN, "a Relation is no change");
    rel = relation_of(INSERT);
    cr_expect_eq(rel->oid, 0x4001);
    cr_expect_eq(rel->version, 1);
    cr_expect_str_eq(rel->schema, "public");
    cr_expect_str_eq(rel->name, "orders");
    cr_expect_eq(rel->identity, 'd');
    cr_assert_eq(rel->ncols, 3);
    cr_expect_str_eq(rel->cols[0].name, "id");
    cr_expect(rel->cols[0].key);
    cr_expect_eq(rel->cols[0].type_oid, 23);
    cr_expect_eq(rel->cols[0].typmod, -1);
    cr_expect_null(rel->cols[0].type_name, "built-in types are known by oid");
    cr_expect_str_eq(rel->cols[2].name, "note");
    cr_expect_not(rel->cols[2].key);
    cr_expect_null(rel->plan);
    cr_expect_eq(rel->selected, 0);
}

Test(pgoutput_relation, takes_type_names_from_type_messages)
{
    const struct wf_relation *rel;

    given(BEGIN);
    cr_assert_eq(decode(MOOD), WF_AGAIN);
    given(USERS);
    rel = relation_of("'I' 00004002 'N' 0001 'n'");
    cr_expect_str_eq(rel->cols[0].type_name, "mood");
    cr_expect_eq(rel->cols[0].typmod, 9);
}

Test(pgoutput_relation, of_the_catalog_comes_with_an_empty_schema)
{
    given(BEGIN);
    given("'R' 00000ae5 00 'pg_class' 00 'n' 0001 00 'oid' 00 0000001a ffffffff");
    cr_expect_str_eq(relation_of("'I' 00000ae5 'N' 0001 'n'")->schema, "pg_catalog");
}

Test(pgoutput_relation, may_have_no_column)
{
    given(BEGIN);
    given("'R' 00004003 'public' 00 'empty' 00 'd' 0000");
    cr_expect_eq(relation_of("'I' 00004003 'N' 0000")->ncols, 0);
}

/* ANALYZE alone sends it again, and the catalog may have changed with it. */
Test(pgoutput_relation, sent_again_keeps_its_version_but_not_its_plan)
{
    struct wf_relation *rel;

    given(BEGIN);
    given(ORDERS);
    plan(relation_of(INSERT));
    given(ORDERS);
    cr_expect_eq(plans_freed, 1);
    rel = relation_of(INSERT);
    cr_expect_eq(rel->version, 1);
    cr_expect_null(rel->plan);
}

Test(pgoutput_relation, gets_a_version_with_each_new_shape)
{
    static const char *const shapes[] = {
        ORDERS,
        "'R' 00004001 'public' 00 'orders' 00 'd' 0003" ID BODY " 00 'n0te' 00 00000019 ffffffff",
        "'R' 00004001 'public' 00 'orders' 00 'd' 0003" ID BODY " 00 'n0te' 00 00000014 ffffffff",
        "'R' 00004001 'public' 00 'orders' 00 'd' 0003" ID BODY " 00 'n0te' 00 00000014 00000005",
        "'R' 00004001 'public' 00 'orders' 00 'd' 0003" ID BODY " 01 'n0te' 00 00000014 00000005",
        "'R' 00004001 'public' 00 'orders' 00 'i' 0003" ID BODY " 01 'n0te' 00 00000014 00000005",
        "'R' 00004001 'publik' 00 'orders' 00 'i' 0003" ID BODY " 01 'n0te' 00 00000014 00000005",
        "'R' 00004001 'publik' 00 'ordres' 00 'i' 0003" ID BODY " 01 'n0te' 00 00000014 00000005",
        "'R' 00004001 'publik' 00 'ordres' 00 'i' 0003" ID BODY " 01 'n0te' 00 00004010 00000005",
    };

    given(BEGIN);
    for (uint32_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct wf_relation *rel;

        given(shapes[i]);
        rel = relation_of(INSERT);
        cr_expect_eq(rel->version, i + 1, "shape %u", i);
        cr_expect_eq(plans_freed, i);
        plan(rel);
    }

    /* a type renamed on the server is a new shape, too */
    given("'Y' 00004010 'public' 00 'mood' 00");
    given(shapes[8]);
    cr_expect_eq(relation_of(INSERT)->version, 10);
    given("'Y' 00004010 'public' 00 'temper' 00");
    given(shapes[8]);
    cr_expect_eq(relation_of(INSERT)->version, 11);

    given("'R' 00004001 'public' 00 'orders' 00 'd' 0002" ID BODY);
    cr_expect_eq(relation_of("'I' 00004001 'N' 0002 'n' 'n'")->version, 12);
}

Test(pgoutput_relation, interleaved_with_another_is_not_mixed_up)
{
    given(BEGIN);
    given(ORDERS);
    given(USERS);
    for (int i = 0; i < 3; i++) {
        cr_expect_str_eq(relation_of(INSERT)->name, "orders");
        cr_expect_str_eq(relation_of("'I' 00004002 'N' 0001 'n'")->name, "users");
    }
}

Test(pgoutput_relation, of_thousands_of_tables_is_found)
{
    char text[200];

    given(BEGIN);
    for (unsigned oid = 1; oid <= 5000; oid++) {
        snprintf(text, sizeof(text), "'R' %08x 'public' 00 't%u' 00 'd' 0001" ID, oid * 64, oid);
        given(text);
    }
    for (unsigned oid = 1; oid <= 5000; oid++) {
        char name[16];

        snprintf(text, sizeof(text), "'I' %08x 'N' 0001 'n'", oid * 64);
        snprintf(name, sizeof(name), "t%u", oid);
        cr_assert_str_eq(relation_of(text)->name, name);
    }
    snprintf(text, sizeof(text), "'I' %08x 'N' 0001 'n'", 5001 * 64);
    expect_malformed(text, 'I', 5);
}

Test(pgoutput_relation, is_forgotten_by_a_reset_with_its_plan)
{
    given(BEGIN);
    given(ORDERS);
    plan(relation_of(INSERT));
    wf_decoder_pgoutput.reset(decoder, 0);
    cr_expect_eq(plans_freed, 1);
    given(BEGIN);
    expect_malformed(INSERT, 'I', 5);
}

Test(pgoutput_relation, with_the_most_columns_a_table_can_have_is_taken)
{
    static char text[1664 * 40 + 100];
    size_t n = (size_t)sprintf(text, "'R' 00004001 'public' 00 'wide' 00 'd' %04x", 1664);

    for (int i = 0; i < 1664; i++)
        n += (size_t)sprintf(text + n, " 00 'c%d' 00 00000017 ffffffff", i);
    given(text);
    given(BEGIN);
    n = (size_t)sprintf(text, "'I' 00004001 'N' %04x", 1664);
    for (int i = 0; i < 1664; i++)
        n += (size_t)sprintf(text + n, " 'n'");
    given(text);
    cr_expect_str_eq(change.rel->cols[1663].name, "c1663");
}

Test(pgoutput_relation, that_no_server_sends_is_malformed)
{
    expect_malformed("'R' 00004001 'public' 00 'wide' 00 'd' 0681" ID, 'R', 20);
    expect_malformed("'R' 00004001 'public' 00 'wide' 00 'd' ffff" ID, 'R', 20);
    expect_malformed("'R' 00000000 'public' 00 'none' 00 'd' 0001" ID, 'R', 20);
    expect_malformed("'R' 00004001 'public' 00 'more' 00 'd' 0002" ID, 'R', 32);

    given(BEGIN); /* none of them was kept */
    expect_malformed(INSERT, 'I', 5);
}

/* ---- rows --------------------------------------------------------------------------------- */

static void given_tables(void)
{
    given(BEGIN);
    given(ORDERS);
    given(USERS);
}

static void open_with_tables(void)
{
    open_decoder();
    given_tables();
}

TestSuite(pgoutput_insert, .init = open_with_tables, .fini = close_decoder);
TestSuite(pgoutput_update, .init = open_with_tables, .fini = close_decoder);
TestSuite(pgoutput_delete, .init = open_with_tables, .fini = close_decoder);

Test(pgoutput_insert, has_the_new_row_only)
{
    cr_assert_eq(decode(INSERT), WF_OK);
    cr_expect_eq(change.kind, WF_CHANGE_INSERT);
    cr_expect_eq(change.lsn, 0xabc);
    cr_expect_eq(change.xid, 0);
    cr_expect_eq(change.txn->xid, 7);
    cr_expect_eq(change.old_kind, WF_OLD_NONE);
    cr_expect_null(change.old_row);
    expect_text(&change.new_row[0], "7");
    expect_text(&change.new_row[1], "hi");
    cr_expect_eq(change.new_row[2].kind, WF_COL_NULL);
}

Test(pgoutput_insert, tells_the_empty_text_from_null)
{
    given("'I' 00004001 'N' 0003 't' 00000001 '7' 't' 00000000 'n'");
    expect_text(&change.new_row[1], "");
    cr_expect_not_null(change.new_row[1].data);
    cr_expect_eq(change.new_row[2].kind, WF_COL_NULL);
}

Test(pgoutput_insert, passes_binary_columns_on)
{
    given("'I' 00004001 'N' 0003 'b' 00000004 00000007 'n' 'n'");
    cr_expect_eq(change.new_row[0].kind, WF_COL_BINARY);
    cr_expect_eq(change.new_row[0].len, 4);
}

/* An UPDATE that leaves a TOASTed column alone sends 'u' for it, which is not NULL. */
Test(pgoutput_update, tells_unchanged_toast_from_null)
{
    cr_assert_eq(decode("'U' 00004001 'N' 0003 't' 00000001 '7' 'u' 'n'"), WF_OK, "%s", err.text);
    cr_expect_eq(change.kind, WF_CHANGE_UPDATE);
    expect_text(&change.new_row[0], "7");
    cr_expect_eq(change.new_row[1].kind, WF_COL_UNCHANGED);
    cr_expect_eq(change.new_row[2].kind, WF_COL_NULL);
}

Test(pgoutput_update, without_old_values_has_no_old_row)
{
    given(UPDATE);
    cr_expect_eq(change.old_kind, WF_OLD_NONE);
    cr_expect_null(change.old_row);
}

Test(pgoutput_update, tells_the_old_key_from_the_old_row)
{
    given(UPDATE_K);
    cr_expect_eq(change.old_kind, WF_OLD_KEY);
    expect_text(&change.old_row[0], "6");
    expect_text(&change.new_row[0], "7");

    given(UPDATE_O);
    cr_expect_eq(change.old_kind, WF_OLD_FULL);
    expect_text(&change.old_row[1], "hi");
    expect_text(&change.new_row[0], "7");
}

Test(pgoutput_delete, tells_the_old_key_from_the_old_row)
{
    given(DELETE_K);
    cr_expect_eq(change.kind, WF_CHANGE_DELETE);
    cr_expect_eq(change.old_kind, WF_OLD_KEY);
    expect_text(&change.old_row[0], "7");
    cr_expect_null(change.new_row);

    given(DELETE_O);
    cr_expect_eq(change.old_kind, WF_OLD_FULL);
    expect_text(&change.old_row[1], "hi");
}

/* ---- truncate, messages ------------------------------------------------------------------- */

TestSuite(pgoutput_truncate, .init = open_with_tables, .fini = close_decoder);
TestSuite(pgoutput_message, .init = open_decoder, .fini = close_decoder);

Test(pgoutput_truncate, names_every_table)
{
    cr_assert_eq(decode(TRUNCATE), WF_OK);
    cr_expect_eq(change.kind, WF_CHANGE_TRUNCATE);
    cr_assert_eq(change.truncate.nrels, 2);
    cr_expect_str_eq(change.truncate.rels[0]->name, "orders");
    cr_expect_str_eq(change.truncate.rels[1]->name, "users");
    cr_expect(change.truncate.cascade);
    cr_expect(change.truncate.restart_identity);

    given("'T' 00000001 02 00004002");
    cr_assert_eq(change.truncate.nrels, 1);
    cr_expect_not(change.truncate.cascade);
    cr_expect(change.truncate.restart_identity);
    given("'T' 00000001 01 00004002");
    cr_expect(change.truncate.cascade);
    cr_expect_not(change.truncate.restart_identity);
}

Test(pgoutput_truncate, of_more_tables_than_the_message_holds_is_malformed)
{
    expect_malformed("'T' 00000003 00 00004001 00004002", 'T', 6);
    expect_malformed("'T' ffffffff 00 00004001 00004002", 'T', 6);
    expect_malformed("'T' 00000001 00 00004001 00004002", 'T', 10);
    expect_malformed("'T' 00000002 00 00004001 00004009", 'T', 14);
}

Test(pgoutput_message, inside_a_transaction_may_hold_any_byte)
{
    given(BEGIN);
    cr_assert_eq(decode(MESSAGE), WF_OK);
    cr_expect_eq(change.kind, WF_CHANGE_MESSAGE);
    cr_expect(change.message.transactional);
    cr_expect_str_eq(change.message.prefix, "app");
    cr_assert_eq(change.message.len, 5);
    cr_expect_arr_eq(change.message.content, "a\0b\0c", 5);
    cr_expect_eq(change.lsn, 0xff0, "its own LSN, not the frame's");
    cr_expect_eq(change.txn->xid, 7);
}

Test(pgoutput_message, outside_a_transaction_has_none)
{
    cr_assert_eq(decode("'M' 00 0000000000000ff0 00 00000000"), WF_OK);
    cr_expect_not(change.message.transactional);
    cr_expect_str_eq(change.message.prefix, "");
    cr_expect_eq(change.message.len, 0);
    cr_expect_null(change.txn);
}

/* ---- malformed ---------------------------------------------------------------------------- */

TestSuite(pgoutput_malformed, .init = open_decoder, .fini = close_decoder);

/* Every kind of message, with what has to come before it. */
static const struct sample {
    const char *text;
    bool in_txn;
} samples[] = {
    {BEGIN, false},   {COMMIT, true},   {ORIGIN, true},
    {MOOD, true},     {ORDERS, true},   {USERS, false},
    {INSERT, true},   {UPDATE, true},   {UPDATE_K, true},
    {UPDATE_O, true}, {DELETE_K, true}, {DELETE_O, true},
    {TRUNCATE, true}, {MESSAGE, true},  {"'I' 00004001 'N' 0003 'b' 00000002 0102 'u' 'n'", true},
};
#define NSAMPLES (sizeof(samples) / sizeof(samples[0]))

static void before(const struct sample *sample)
{
    wf_decoder_pgoutput.reset(decoder, 0);
    given(ORDERS);
    given(USERS);
    if (sample->in_txn)
        given(BEGIN);
}

Test(pgoutput_malformed, cut_off_at_any_byte)
{
    for (size_t i = 0; i < NSAMPLES; i++) {
        struct bytes whole = hex(samples[i].text);

        for (size_t len = 0; len < whole.len; len++) {
            char *cut = malloc(len ? len : 1); /* exact, for the sanitizer */
            char type[16];
            unsigned long long at;
            const char *where;

            memcpy(cut, whole.data, len);
            before(&samples[i]);
            cr_assert_eq(decode_bytes(cut, len), WF_FATAL, "%s cut at %zu", samples[i].text, len);
            cr_assert_str_eq(err.code, "malformed");
            snprintf(type, sizeof(type), "'%c' ", len ? whole.data[0] : '?');
            cr_assert(strstr(err.text, type), "%s", err.text);
            where = strstr(err.text, "at byte ");
            cr_assert(where && sscanf(where, "at byte %llu:", &at) == 1 && at <= len, "%s",
                      err.text);
            free(cut);
        }
        before(&samples[i]);
        given(samples[i].text);
        free(whole.data);
    }
}

Test(pgoutput_malformed, longer_than_its_content)
{
    for (size_t i = 0; i < NSAMPLES; i++) {
        struct bytes whole = hex(samples[i].text);
        char longer[400];

        snprintf(longer, sizeof(longer), "%s 00", samples[i].text);
        before(&samples[i]);
        expect_malformed(longer, whole.data[0], whole.len);
        free(whole.data);
    }
}

/* Whatever single byte a fault turns over: a verdict, never a crash. */
Test(pgoutput_malformed, with_any_byte_turned_over)
{
    static const unsigned char masks[] = {0x01, 0x80, 0xff};

    for (size_t i = 0; i < NSAMPLES; i++) {
        struct bytes whole = hex(samples[i].text);

        for (size_t at = 0; at < whole.len * sizeof(masks); at++) {
            unsigned char mask = masks[at % sizeof(masks)];
            enum wf_rc rc;

            before(&samples[i]);
            whole.data[at / sizeof(masks)] ^= (char)mask;
            rc = decode_bytes(whole.data, whole.len);
            whole.data[at / sizeof(masks)] ^= (char)mask;
            cr_expect(rc == WF_OK || rc == WF_AGAIN ||
                      (rc == WF_FATAL && strcmp(err.code, "malformed") == 0));
        }
        free(whole.data);
    }
}

Test(pgoutput_malformed, of_an_unknown_kind)
{
    for (int type = 0; type < 256; type++) {
        char text[3];

        if (strchr("BCORYIUDTM", type) && type)
            continue;
        snprintf(text, sizeof(text), "%02x", (unsigned)type);
        expect_malformed(text, type > ' ' && type < 127 ? (char)type : '?', 1);
        snprintf(text, sizeof(text), "%02x", (unsigned)type);
        cr_expect(strstr(err.text, text), "%s", err.text);
    }
}

Test(pgoutput_malformed, rows_that_do_not_fit_their_table)
{
    given_tables();
    expect_malformed("'I' 00004001 'N' 0002 'n' 'n'", 'I', 8);
    expect_malformed("'I' 00004001 'N' 0004 'n' 'n' 'n' 'n'", 'I', 8);
    expect_malformed("'I' 00004001 'N' ffff 'n' 'n' 'n' 'n'", 'I', 8);
    expect_malformed("'I' 00004001 'K' 0003 'n' 'n' 'n'", 'I', 6);
    expect_malformed("'I' 00004001 'N' 0003 'n' 'x' 'n'", 'I', 10);
    expect_malformed("'I' 00004001 'N' 0003 't' ffffffff '7' 'n' 'n'", 'I', 13);
    expect_malformed("'I' 00004009 'N' 0001 'n'", 'I', 5);
    expect_malformed("'U' 00004001 'X' 0003 'n' 'n' 'n'", 'U', 6);
    expect_malformed("'U' 00004001 'K' 0003 'n' 'n' 'n' 'O' 0003 'n' 'n' 'n'", 'U', 12);
    expect_malformed("'D' 00004001 'N' 0003 'n' 'n' 'n'", 'D', 6);
}

Test(pgoutput_malformed, an_origin_longer_than_any_name)
{
    char text[1200] = "'O' 00000000000000aa '";

    memset(text + strlen(text), 'x', 600);
    strcat(text, "' 00");
    given(BEGIN);
    expect_malformed(text, 'O', 610);
}
