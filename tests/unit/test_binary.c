/* Bytes as the send functions of PostgreSQL 18 write them, and the texts of its output functions.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "binary.h"
#include "hex.h"

static struct wf_buf out;

static void open_buffer(void)
{
    wf_buf_init(&out, 1 << 20);
}

static void close_buffer(void)
{
    wf_buf_deinit(&out);
}

static bool read_bytes(const struct wf_binary *b, const char *data, size_t len)
{
    char *exact = malloc(len ? len : 1); /* the sanitizer sees a byte too many */
    bool ok;

    memcpy(exact, data, len);
    wf_buf_reset(&out);
    ok = wf_binary_to_text(b, exact, len, &out);
    free(exact);
    return ok;
}

/* The whole gives @text; every part of it and one byte more give nothing, or another text. */
static void expect(const struct wf_type_in *in, const char *bytes, const char *text, bool cut)
{
    struct wf_binary *b = wf_binary_new(in);
    struct bytes data = hex(bytes);

    cr_assert_not_null(b, "%s", bytes);
    cr_expect(read_bytes(b, data.data, data.len), "%s is not read", bytes);
    cr_expect(out.len == strlen(text) && memcmp(out.data, text, out.len) == 0, "%s: %.*s, not %s",
              bytes, (int)out.len, (char *)out.data, text);
    for (size_t n = 0; cut && n < data.len; n++)
        cr_expect_not(read_bytes(b, data.data, n), "%s: %zu bytes are read", bytes, n);
    free(data.data);
    wf_binary_free(b);
}

static void expect_oid(uint32_t oid, const char *bytes, const char *text)
{
    const struct wf_type_in in = {.oid = oid, .kind = 'b'};

    expect(&in, bytes, text, true);
}

static void refuse_oid(uint32_t oid, const char *bytes)
{
    const struct wf_type_in in = {.oid = oid, .kind = 'b'};
    struct wf_binary *b = wf_binary_new(&in);
    struct bytes data = hex(bytes);

    cr_expect_not(read_bytes(b, data.data, data.len), "%u: %s is read", oid, bytes);
    free(data.data);
    wf_binary_free(b);
}

TestSuite(binary, .init = open_buffer, .fini = close_buffer);

Test(binary, numbers)
{
    expect_oid(16, "01", "t");
    expect_oid(16, "00", "f");
    expect_oid(21, "8000", "-32768");
    expect_oid(23, "7fffffff", "2147483647");
    expect_oid(20, "8000000000000000", "-9223372036854775808");
    expect_oid(26, "ffffffff", "4294967295");
    expect_oid(5069, "ffffffffffffffff", "18446744073709551615");
    expect_oid(1700, "0003 0001 0000 0003 0001 0929 1a7c", "12345.678");
    expect_oid(1700, "0000 0000 0000 0003", "0.000");
    expect_oid(1700, "0001 fffe 4000 0006 0064", "-0.000001");
    expect_oid(1700, "0001 0002 0000 0000 0005", "500000000");
    expect_oid(1700, "0000 0000 c000 0000", "NaN");
    expect_oid(1700, "0000 0000 d000 0020", "Infinity");
    expect_oid(1700, "0000 0000 f000 0020", "-Infinity");
    expect_oid(790, "0000000000000096", "$1.50");
    expect_oid(790, "fffffffffffffffb", "-$0.05");
    expect_oid(790, "8000000000000000", "-$92,233,720,368,547,758.08");
    refuse_oid(16, "02");
    refuse_oid(1700, "0001 0000 0000 0000 2710"); /* a digit of 10000 */
    refuse_oid(1700, "0001 0000 1234 0000 0001");
    refuse_oid(1700, "0001 0000 0000 4000 0001");
}

Test(binary, floats_are_as_short_as_postgresql_prints_them)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {
        {0.1, "0.1"},
        {-0.0, "-0"},
        {1e15, "1e+15"},
        {123456789012345, "123456789012345"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {1e23, "9.999999999999999e+22"}, /* 1e23 is a middle, and PostgreSQL takes none */
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {5197.0755542198895, "5197.075554219889"},
        {9007199254740993.0, "9.007199254740992e+15"},
        {9.5367431640625e-07, "9.5367431640625e-07"},
    };
    char bytes[20];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t bits;

        memcpy(&bits, &rows[i].v, sizeof(bits));
        snprintf(bytes, sizeof(bytes), "%016llx", (unsigned long long)bits);
        expect_oid(701, bytes, rows[i].text);
    }
    expect_oid(701, "7ff8000000000000", "NaN");
    expect_oid(701, "fff0000000000000", "-Infinity");
    expect_oid(700, "3dcccccd", "0.1");
    expect_oid(700, "49742400", "1e+06");
    expect_oid(700, "00000001", "1e-45");
    expect_oid(700, "7f7fffff", "3.4028235e+38");
}

Test(binary, dates_and_times)
{
    expect_oid(1082, "00000000", "2000-01-01");
    expect_oid(1082, "7fffffff", "infinity");
    expect_oid(1082, "80000000", "-infinity");
    expect_oid(1082, "ffda97a7", "4714-11-24 BC");
    expect_oid(1083, "000000141dd76000", "24:00:00");
    expect_oid(1083, "0000000000000001", "00:00:00.000001");
    expect_oid(1266, "0000000000000000 ffffb2a8", "00:00:00+05:30");
    expect_oid(1114, "0000000000000000", "2000-01-01 00:00:00");
    expect_oid(1114, "ffffffffffffffff", "1999-12-31 23:59:59.999999");
    expect_oid(1114, "7fffffffffffffff", "infinity");
    expect_oid(1184, "00000000000186a0", "2000-01-01 00:00:00.1+00");
    expect_oid(1186, "0000000000000000 00000000 00000000", "00:00:00");
    expect_oid(1186, "ffffffffffffffff 00000001 fffffff3",
               "-1 years -1 mons +1 day -00:00:00.000001");
    expect_oid(1186, "0000000000000001 ffffffff 00000000", "-1 days +00:00:00.000001");
    refuse_oid(1186, "7fffffffffffffff 7fffffff 7fffffff");
    refuse_oid(1083, "ffffffffffffffff");
    refuse_oid(1266, "0000000000000000 7fffffff");
    refuse_oid(1082, "80000001");
}

Test(binary, texts_addresses_and_bits)
{
    const struct wf_type_in bytea = {.oid = 17, .kind = 'b'};

    expect(&bytea, "00ff", "\\x00ff", false);
    expect_oid(2950, "00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff");
    expect_oid(869, "02 20 00 04 01020304", "1.2.3.4");
    expect_oid(650, "02 20 01 04 01020304", "1.2.3.4/32");
    expect_oid(869, "03 80 00 10 00000000000000000000000000000001", "::1");
    expect_oid(829, "08002b010203", "08:00:2b:01:02:03");
    expect_oid(1562, "0000000b ffe0", "11111111111");
    expect_oid(3220, "0000001600b374d8", "16/B374D8");
    expect_oid(27, "00000005 0001", "(5,1)");
    expect_oid(18, "41", "A");
    refuse_oid(18, "ff");
    refuse_oid(869, "02 21 00 04 01020304");
    refuse_oid(869, "04 20 00 04 01020304");
    refuse_oid(3802, "02 '{}'");
}

Test(binary, search_documents)
{
    const struct wf_type_in hstore = {.oid = 16400, .name = "hstore", .kind = 'b'};

    expect_oid(3614, "00000002 6127 00 0002 c001 0002 'b' 00 0000", "'a''':1A,2 'b'");
    expect_oid(3615, "00000005 02 02 01 00 00 'c' 00 02 04 0001 01 08 01 'b' 00 01 00 00 'a' 00",
               "'a' <-> 'b':*A & 'c'");
    expect_oid(3615, "00000000", "");
    expect(&hstore, "00000002 00000001 'a' 00000001 '\"' 00000001 'b' ffffffff",
           "\"a\"=>\"\\\"\", \"b\"=>NULL", true);
    refuse_oid(3615, "00000001 02 09");
}

Test(binary, arrays)
{
    const struct wf_type_in element = {.oid = 25, .kind = 'b', .delim = ','};
    const struct wf_type_in array = {.oid = 1009, .kind = 'a', .sub = &element, .nsub = 1};
    struct wf_binary *b = wf_binary_new(&array);
    struct bytes other = hex("00000001 00000000 00000017 00000001 00000001 00000001 'a'");
    struct bytes huge = hex("00000002 00000000 00000019 7fffffff 00000001 7fffffff 00000001");

    expect(&array, "00000000 00000000 00000019", "{}", true);
    expect(&array,
           "00000001 00000001 00000019 00000004 00000001 00000001 'a' ffffffff 00000004 'NuLl' "
           "00000000",
           "{a,NULL,\"NuLl\",\"\"}", true);
    expect(&array,
           "00000002 00000000 00000019 00000001 00000000 00000002 00000001 00000002 'a\"' "
           "00000002 ' \\'",
           "[0:0][1:2]={{\"a\\\"\",\" \\\\\"}}", true);
    cr_expect_not(read_bytes(b, other.data, other.len), "elements of another type");
    cr_expect_not(read_bytes(b, huge.data, huge.len), "more elements than bytes");
    free(other.data);
    free(huge.data);
    wf_binary_free(b);
}

Test(binary, composites_and_ranges)
{
    const struct wf_type_in fields[] = {{.oid = 23, .kind = 'b'},
                                        {.oid = 25, .kind = 'b'},
                                        {.oid = 1700, .kind = 'b', .domain = true}};
    const struct wf_type_in record = {.oid = 16400, .kind = 'c', .sub = fields, .nsub = 3};
    const struct wf_type_in range = {.oid = 3904, .kind = 'r'};

    expect(&record,
           "00000003 00000017 00000004 00000005 00000019 00000003 'a,\"' 00004444 ffffffff",
           "(5,\"a,\"\"\",)", true);
    expect(&range, "02 00000004 00000001 00000004 00000005", "[1,5)", true);
    expect(&range, "01", "empty", true);
    expect(&range, "18", "(,)", true);
    expect_oid(4451, "00000001 00000011 02 00000004 00000001 00000004 00000005", "{[1,5)}");
}

Test(binary, types_that_are_not_known_are_not_read)
{
    static const struct wf_type_in unknown[] = {
        {.oid = 2205, .kind = 'b'},                     /* regclass: the text is a name */
        {.oid = 16400, .name = "mystery", .kind = 'b'}, /* somebody's */
        {.oid = 16400, .kind = 'r'},                    /* a range of somebody's */
        {.oid = 1009, .kind = 'a'},                     /* an array of who knows what */
        {.oid = 20, .name = "x", .kind = 'a'},
    };

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        cr_expect_null(wf_binary_new(&unknown[i]), "row %zu", i);
    cr_expect_not(wf_binary_to_text(NULL, "x", 1, &out));
}
