#include <criterion/criterion.h>

#include "avro_put.h"
#include "container.h"
#include "tmpdir.h"

TestSuite(container, .init = tmpdir_make, .fini = tmpdir_remove);

/* ---- files made by hand: Avro specification, "Object Container Files" ---------------------- */

static unsigned char file[1 << 16], *end = file;
static const char marker[] = "0123456789abcdef";
static struct wf_err err;

static void put(const void *data, size_t n)
{
    memcpy(end, data, n);
    end += n;
}

static void put_long(int64_t v)
{
    end = wf_put_long(end, v);
}

static void put_text(const char *s)
{
    end = wf_put_bytes(end, s, strlen(s));
}

static void put_header(const char *schema)
{
    put("Obj\001", 4);
    put_long(2);
    put_text("avro.schema");
    put_text(schema);
    put_text("avro.codec");
    put_text("null");
    put_long(0);
    put(marker, 16);
}

/* A block of Avro strings, up to NULL. */
static void put_block(const char *const *texts)
{
    unsigned char data[4096], *at = data;
    int64_t count = 0;

    for (; texts[count]; count++)
        at = wf_put_bytes(at, texts[count], strlen(texts[count]));
    put_long(count);
    put_long(at - data);
    put(data, (size_t)(at - data));
    put(marker, 16);
}

#define BLOCK(...) put_block((const char *const[]){__VA_ARGS__, NULL})

static char content[4096];
static unsigned stop_after;

static bool append_datum(void *arg, const char *json, size_t len)
{
    (void)arg;
    snprintf(content + strlen(content), sizeof(content) - strlen(content), "%.*s ", (int)len, json);
    return --stop_after != 0;
}

static enum wf_rc read_cut(size_t len)
{
    content[0] = '\0';
    stop_after = 1000;
    write_whole(in_tmpdir("x.avro"), file, len);
    return wf_container_read(in_tmpdir("x.avro"), append_datum, NULL, &err);
}

static enum wf_rc read_file(void)
{
    return read_cut((size_t)(end - file));
}

static void expect_damaged(const char *what)
{
    cr_expect_eq(read_file(), WF_REJECT);
    cr_expect_str_eq(err.code, "container");
    cr_expect(strstr(err.text, what), "%s", err.text);
    cr_expect(strstr(err.text, "x.avro"), "%s", err.text);
}

/* ---- reading ------------------------------------------------------------------------------ */

Test(container, brings_every_datum_in_order)
{
    put_header("\"string\"");
    BLOCK("a", "b");
    BLOCK("c");
    cr_assert_eq(read_file(), WF_OK, "%s", err.text);
    cr_expect_str_eq(content, "\"a\" \"b\" \"c\" ");
}

Test(container, may_be_without_a_datum)
{
    put_header("\"string\"");
    cr_assert_eq(read_file(), WF_OK, "%s", err.text);
    cr_expect_str_eq(content, "");
}

Test(container, stops_when_told)
{
    put_header("\"string\"");
    BLOCK("a", "b", "c");
    put("what follows is not looked at", 20);
    write_whole(in_tmpdir("x.avro"), file, (size_t)(end - file));
    stop_after = 2;
    cr_assert_eq(wf_container_read(in_tmpdir("x.avro"), append_datum, NULL, &err), WF_OK, "%s",
                 err.text);
    cr_expect_str_eq(content, "\"a\" \"b\" ");
}

/* Other writers count their metadata block in bytes, leave out the codec, or add entries. */
Test(container, takes_the_headers_of_other_writers)
{
    put("Obj\001", 4);
    put_long(-2);
    put_long(40);
    put_text("made.by");
    put_text("somebody");
    put_text("avro.schema");
    put_text("\"string\"");
    put_long(0);
    put(marker, 16);
    BLOCK("a");
    cr_assert_eq(read_file(), WF_OK, "%s", err.text);
    cr_expect_str_eq(content, "\"a\" ");
}

Test(container, with_records_of_no_byte_is_read)
{
    put_header("{\"type\":\"record\",\"name\":\"E\",\"fields\":[]}");
    put_long(3);
    put_long(0);
    put(marker, 16);
    cr_assert_eq(read_file(), WF_OK, "%s", err.text);
    cr_expect_str_eq(content, "{} {} {} ");
}

/* ---- damage ------------------------------------------------------------------------------- */

Test(container, cut_at_any_byte_brings_what_stands_before)
{
    size_t header, first, whole;

    put_header("\"string\"");
    header = (size_t)(end - file);
    BLOCK("a", "b");
    first = (size_t)(end - file);
    BLOCK("c");
    whole = (size_t)(end - file);
    for (size_t len = 0; len <= whole; len++) {
        enum wf_rc rc = read_cut(len);

        cr_assert_eq(rc, len == header || len == first || len == whole ? WF_OK : WF_REJECT,
                     "cut at %zu", len);
        cr_assert_str_eq(content, len < first    ? ""
                                  : len == whole ? "\"a\" \"b\" \"c\" "
                                                 : "\"a\" \"b\" ");
    }
}

Test(container, of_another_kind_is_refused)
{
    put("SQLite format 3", 16);
    expect_damaged("no Avro container file");
    end = file;
    expect_damaged("no Avro container file");
    cr_expect_eq(wf_container_read(in_tmpdir("nowhere"), append_datum, NULL, &err), WF_REJECT);
    cr_expect(strstr(err.text, "No such file"), "%s", err.text);
    cr_expect_eq(wf_container_read(tmpdir, append_datum, NULL, &err), WF_REJECT);
}

Test(container, compressed_is_refused_by_name)
{
    put("Obj\001", 4);
    put_long(1);
    put_text("avro.codec");
    put_text("deflate");
    put_long(0);
    put(marker, 16);
    expect_damaged("codec");
}

Test(container, without_a_schema_is_refused)
{
    put("Obj\001", 4);
    put_long(0);
    put(marker, 16);
    expect_damaged("no avro.schema");
}

Test(container, with_a_schema_that_is_none_is_refused)
{
    put_header("{\"type\":\"strange\"}");
    cr_expect_eq(read_file(), WF_REJECT);
}

Test(container, with_a_foreign_sync_marker_is_refused)
{
    put_header("\"string\"");
    BLOCK("a");
    end[-1] ^= 1;
    expect_damaged("sync marker");
    cr_expect_str_eq(content, "");
}

Test(container, with_counts_that_lie_is_refused)
{
    put_header("\"string\"");
    put_long(1); /* one record, two in it */
    put_long(4);
    put_text("a");
    put_text("b");
    put(marker, 16);
    expect_damaged("more bytes than its records");
    cr_expect_str_eq(content, "\"a\" ");
}

/* Records of no byte, and more of them than anybody can wait for. */
Test(container, with_a_count_without_end_is_refused)
{
    put_header("\"null\"");
    put_long(INT64_MAX);
    put_long(0);
    put(marker, 16);
    expect_damaged("as many records");
}

Test(container, with_lengths_that_lie_is_refused)
{
    static const int64_t lengths[] = {-1, INT64_MIN, INT64_MAX, INT64_C(1) << 40, 300 << 20};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        end = file;
        put_header("\"string\"");
        put_long(1);
        put_long(lengths[i]);
        put_text("a");
        put(marker, 16);
        expect_damaged("torn");

        end = file;
        put("Obj\001", 4);
        put_long(1);
        put_long(lengths[i]);
        expect_damaged("torn");
    }
}
