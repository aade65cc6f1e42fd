#include <criterion/criterion.h>

#include "buf.h"
#include "grow.h"

static struct wf_buf b;

static void free_buf(void)
{
    wf_buf_deinit(&b);
}

TestSuite(buf, .fini = free_buf);

static void expect(const char *text)
{
    cr_expect_eq(b.len, strlen(text), "%zu bytes", b.len);
    cr_expect_arr_eq(b.data, text, strlen(text));
}

Test(buf, allocates_nothing_before_the_first_byte)
{
    wf_buf_init(&b, 10);
    wf_buf_put(&b, "", 0);
    cr_expect_null(b.data);
    cr_expect_not(b.failed);
}

Test(buf, collects_bytes_texts_and_numbers)
{
    wf_buf_init(&b, 4096);
    wf_buf_put(&b, "ab", 2);
    wf_buf_byte(&b, 'c');
    wf_buf_str(&b, "de");
    wf_buf_printf(&b, "-%d-%s", 7, "f");
    expect("abcde-7-f");
}

Test(buf, grows_to_its_limit_and_not_past_it)
{
    wf_buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++)
        wf_buf_byte(&b, 'x');
    cr_expect_not(b.failed);
    cr_expect_eq(b.len, 1000);
    cr_expect_leq(b.cap, 1000);
    wf_buf_byte(&b, 'y');
    cr_expect(b.failed);
    cr_expect_eq(b.len, 1000);
}

Test(buf, remembers_that_it_met_its_limit_until_the_next_reset)
{
    wf_buf_init(&b, 8);
    wf_buf_str(&b, "123456789");
    cr_expect(b.failed);
    wf_buf_str(&b, "fits");
    cr_expect(b.failed, "the content has a hole");
    wf_buf_reset(&b);
    cr_expect_not(b.failed);
    wf_buf_str(&b, "12345678");
    cr_expect_not(b.failed);
    expect("12345678");
}

Test(buf, fails_for_each_way_of_writing)
{
    wf_buf_init(&b, 0);
    wf_buf_byte(&b, 'x');
    cr_expect(b.failed);
    wf_buf_reset(&b);
    wf_buf_printf(&b, "%d", 1);
    cr_expect(b.failed);
    wf_buf_reset(&b);
    wf_buf_json(&b, "x", 1);
    cr_expect(b.failed);
    wf_buf_reset(&b);
    cr_expect_not(wf_buf_reserve(&b, 1));
}

Test(buf, refuses_sizes_near_the_end_of_the_address_space)
{
    wf_buf_init(&b, SIZE_MAX);
    wf_buf_str(&b, "x");
    cr_expect_not(wf_buf_reserve(&b, SIZE_MAX));
#ifndef __SANITIZE_ADDRESS__ /* it reports an allocation of this size, even one that fails */
    cr_expect_not(wf_buf_reserve(&b, SIZE_MAX / 2 + 2));
#endif
    cr_expect(b.failed);
    expect("x");
}

Test(buf, keeps_its_limit_when_freed)
{
    wf_buf_init(&b, 4);
    wf_buf_str(&b, "1234");
    wf_buf_deinit(&b);
    cr_expect_null(b.data);
    wf_buf_str(&b, "12345");
    cr_expect(b.failed);
}

Test(buf, escapes_what_json_requires_and_nothing_else)
{
    static const char text[] = "a\"b\\c\n\r\t\b\f\x01\x1f/\x7f\xc3\xa9\0z";

    wf_buf_init(&b, 4096);
    wf_buf_json(&b, text, sizeof(text) - 1);
    expect("a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f/\x7f\xc3\xa9\\u0000z");
}

Test(hex, is_two_digits_a_byte)
{
    unsigned char text[9] = "xxxxxxxx";

    cr_expect_eq(wf_put_hex(text, "\x00\x7f\xfa", 3, WF_HEX_LOWER), text + 6);
    cr_expect_str_eq((char *)text, "007ffaxx");
    wf_put_hex(text, "\xfa", 1, WF_HEX_UPPER);
    cr_expect_str_eq((char *)text, "FA7ffaxx");
    cr_expect_eq(wf_put_hex(text, NULL, 0, WF_HEX_LOWER), text);
}

/* ASan sees an entry without room. */
Test(grow, has_room_for_each_entry)
{
    uint32_t *array = NULL;

    for (uint32_t n = 0; n < 1025; n++) {
        array = wf_grow(array, n, sizeof(*array));
        array[n] = n;
    }
    for (uint32_t n = 0; n < 1025; n++)
        cr_expect_eq(array[n], n);
    free(array);
}

/* A limit is told from a want of memory: only the first says something about the value. */
Test(buf, tells_a_limit_from_no_memory)
{
    struct wf_buf small;

    wf_buf_init(&small, 4);
    wf_buf_put(&small, "12345", 5);
    cr_expect(small.failed);
    cr_expect_not(wf_buf_starved());
    wf_buf_reset(&small);
    wf_buf_starve(&small);
    cr_expect(small.failed);
    cr_expect(wf_buf_starved());
    cr_expect_not(wf_buf_starved(), "asking forgets it");
    wf_buf_deinit(&small);
}
