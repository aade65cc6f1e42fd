#include <criterion/criterion.h>

#include "hex.h"
#include "reader.h"

Test(reader, reads_big_endian_numbers_and_text)
{
    struct bytes b = hex("01 0203 04050607 08090a0b0c0d0e0f 'name' 00 aabb");
    struct wf_reader r = wf_reader(b.data, b.len);

    cr_expect_eq(wf_read_u8(&r, "a"), 0x01);
    cr_expect_eq(wf_read_u16(&r, "b"), 0x0203);
    cr_expect_eq(wf_read_u32(&r, "c"), 0x04050607);
    cr_expect_eq(wf_read_u64(&r, "d"), UINT64_C(0x08090a0b0c0d0e0f));
    cr_expect_str_eq(wf_read_str(&r, "e"), "name");
    cr_expect_arr_eq(wf_read_bytes(&r, 2, "f"), "\xaa\xbb", 2);
    cr_expect_null(r.what);
    cr_expect(r.at == r.end);
    free(b.data);
}

Test(reader, keeps_the_first_failure)
{
    struct bytes b = hex("0102 03");
    struct wf_reader r = wf_reader(b.data, b.len);

    wf_read_u16(&r, "first");
    cr_expect_eq(wf_read_u32(&r, "second"), 0);
    cr_expect_str_eq(r.what, "second");
    cr_expect_eq(r.failed_at, 2);

    /* one byte is left, yet nothing is read behind a failure */
    cr_expect_eq(wf_read_u8(&r, "third"), 0);
    cr_expect_null(wf_read_bytes(&r, 0, "fourth"));
    cr_expect_str_eq(wf_read_str(&r, "fifth"), "");
    wf_read_fail(&r, "sixth");
    cr_expect_str_eq(r.what, "second");
    cr_expect_eq(r.failed_at, 2);
    free(b.data);
}

Test(reader, does_not_look_for_the_end_of_a_text_outside)
{
    struct bytes b = hex("'abc'"); /* no NUL */
    struct wf_reader r = wf_reader(b.data, b.len);

    cr_expect_str_eq(wf_read_str(&r, "name"), "");
    cr_expect_str_eq(r.what, "name");
    cr_expect_eq(r.failed_at, 0);
    free(b.data);
}

Test(reader, refuses_lengths_near_the_end_of_the_address_space)
{
    struct bytes b = hex("00");
    struct wf_reader r = wf_reader(b.data, b.len);

    cr_expect_null(wf_read_bytes(&r, SIZE_MAX, "huge"));
    cr_expect_str_eq(r.what, "huge");
    free(b.data);
}
