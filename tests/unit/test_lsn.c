#include <criterion/criterion.h>

#include "lsn.h"

Test(lsn, reads_what_it_prints)
{
    static const struct {
        const char *text;
        uint64_t lsn;
    } rows[] = {
        {"0/0", 0},
        {"0/1", 1},
        {"16/B374D848", UINT64_C(0x16B374D848)},
        {"1/0", UINT64_C(0x100000000)},
        {"FFFFFFFF/FFFFFFFF", UINT64_MAX},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t lsn = 42;
        struct wf_err err;

        cr_expect_eq(wf_lsn_parse(rows[i].text, &lsn, &err), WF_OK, "%s", rows[i].text);
        cr_expect_eq(lsn, rows[i].lsn);
        cr_expect_str_eq(wf_lsn_text(rows[i].lsn).s, rows[i].text);
    }
}

Test(lsn, reads_small_letters_and_leading_zeros)
{
    uint64_t lsn;

    cr_expect_eq(wf_lsn_parse("00000016/0b374d84", &lsn, NULL), WF_OK);
    cr_expect_eq(lsn, UINT64_C(0x160B374D84));
}

Test(lsn, refuses_anything_else_and_names_it)
{
    static const char *const rows[] = {
        "",     "/",    "0",     "0/",          "/0",          "0//0",  "0/0/0",
        " 0/0", "0/0 ", "0/ 0",  "+0/0",        "0/-1",        "0x1/0", "0/0x1",
        "g/0",  "0/g",  "0/0\n", "123456789/0", "0/123456789", "0.0",   "16-B374D848",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t lsn = 42;
        struct wf_err err;

        cr_expect_eq(wf_lsn_parse(rows[i], &lsn, &err), WF_REJECT, "\"%s\"", rows[i]);
        cr_expect_eq(lsn, 42, "left alone");
        cr_expect(strstr(err.text, rows[i]));
    }
}
