#include <criterion/criterion.h>
#include <stdio.h>

#include "aws/aggregate.h"

static struct wf_aggregate a;

static void add(uint64_t hash, const char *key, const char *data)
{
    wf_aggregate_add(&a, hash, key, strlen(key), data, strlen(data));
}

static void make(void)
{
    wf_aggregate_init(&a);
}

static void destroy(void)
{
    wf_aggregate_deinit(&a);
}

TestSuite(aws_aggregate, .init = make, .fini = destroy);

/* Read back by AWS's own npm de-aggregator. */
#define VECTOR                                                                                     \
    "f3899ac20a026b310a026b32122731373031343131383334363034363932333137333136383733303337313538"   \
    "38343130353732381a0b080010001a05616c7068611a0a080110001a04626574611a0b080010001a0567616d6d61" \
    "f8395376dba526f4af9415f1a7cf4a88"

static void expect_vector(uint64_t hash1, uint64_t hash2)
{
    char hex[300] = "";
    const struct wf_buf *out;

    wf_aggregate_begin(&a, "170141183460469231731687303715884105728");
    add(hash1, "k1", "alpha");
    add(hash2, "k2", "beta");
    cr_expect_geq(wf_aggregate_size_with(&a, 2, 5), 107);
    add(hash1, "k1", "gamma");
    out = wf_aggregate_end(&a);
    cr_assert_not_null(out);
    cr_assert_eq(out->len, 107);
    for (size_t i = 0; i < out->len; i++)
        snprintf(hex + 2 * i, 3, "%02x", out->data[i]);
    cr_expect_str_eq(hex, VECTOR);
}

Test(aws_aggregate, has_each_key_once)
{
    expect_vector(1, 2);
    expect_vector(7, 7); /* one place in the table for two keys; and it can be used again */
}

Test(aws_aggregate, is_never_larger_than_it_says)
{
    static char data[300], key[256];

    memset(key, 'k', sizeof(key));
    for (size_t len = 0; len < sizeof(data); len += 13) {
        size_t most = 0;

        wf_aggregate_begin(&a, "340282366920938463463374607431768211455");
        for (unsigned i = 0; i < WF_AGGREGATE_EVENTS; i++) {
            snprintf(key, sizeof(key), "%u", i);
            most = wf_aggregate_size_with(&a, sizeof(key), len);
            wf_aggregate_add(&a, i % 3, key, sizeof(key), data, len);
        }
        cr_assert_not_null(wf_aggregate_end(&a));
        cr_expect_leq(a.out.len, most);
        cr_expect_eq(a.nkeys, WF_AGGREGATE_EVENTS);
    }
}

Test(aws_aggregate, lanes_have_the_middle_of_their_share)
{
    static const struct {
        unsigned lane, lanes;
        const char *key;
    } rows[] = {{0, 1, "170141183460469231731687303715884105728"},
                {0, 64, "2658455991569831745807614120560689152"},
                {1, 64, "7975367974709495237422842361682067456"},
                {63, 64, "337623910929368631717566993311207522304"}};
    char key[WF_HASH_KEY_MAX];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        wf_aggregate_lane(rows[i].lane, rows[i].lanes, key);
        cr_expect_str_eq(key, rows[i].key);
    }
}
