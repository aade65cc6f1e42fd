#include <criterion/criterion.h>

#include "transform.h"

static char *patterns[] = {"public.orders", "shop.*"};
static const struct wf_config conf = {.source = {.tables = {patterns, 2}}};

static struct wf_relation orders = {.schema = "public", .name = "orders"};
static struct wf_relation users = {.schema = "public", .name = "users"};
static struct wf_relation items = {.schema = "shop", .name = "items"};

Test(transform, keeps_changes_of_the_wanted_tables)
{
    struct wf_change insert = {.kind = WF_CHANGE_INSERT, .rel = &orders};
    struct wf_change other = {.kind = WF_CHANGE_DELETE, .rel = &users};

    cr_expect(wf_transform_wants(&conf, &insert));
    cr_expect_not(wf_transform_wants(&conf, &other));
}

Test(transform, asks_once_per_relation)
{
    struct wf_change insert = {.kind = WF_CHANGE_INSERT, .rel = &orders};
    struct wf_change other = {.kind = WF_CHANGE_INSERT, .rel = &users};
    char *pattern = "x.y";
    struct wf_config nothing_matches = {.source = {.tables = {&pattern, 1}}};

    wf_transform_wants(&conf, &insert);
    wf_transform_wants(&conf, &other);
    cr_expect_eq(orders.selected, 1);
    cr_expect_eq(users.selected, -1);
    cr_expect(wf_transform_wants(&nothing_matches, &insert), "the answer is kept");
}

Test(transform, keeps_what_belongs_to_no_table)
{
    static const enum wf_change_kind kinds[] = {WF_CHANGE_BEGIN, WF_CHANGE_COMMIT,
                                                WF_CHANGE_MESSAGE};

    for (size_t i = 0; i < 3; i++) {
        struct wf_change c = {.kind = kinds[i]};

        cr_expect(wf_transform_wants(&conf, &c));
    }
}

Test(transform, leaves_unwanted_tables_out_of_a_truncate)
{
    struct wf_relation *rels[] = {&users, &orders, &users, &items};
    struct wf_change c = {.kind = WF_CHANGE_TRUNCATE, .truncate = {.rels = rels, .nrels = 4}};

    cr_assert(wf_transform_wants(&conf, &c));
    cr_assert_eq(c.truncate.nrels, 2);
    cr_expect_eq(c.truncate.rels[0], &orders);
    cr_expect_eq(c.truncate.rels[1], &items);
}

Test(transform, drops_a_truncate_without_a_wanted_table)
{
    struct wf_relation *rels[] = {&users};
    struct wf_change c = {.kind = WF_CHANGE_TRUNCATE, .truncate = {.rels = rels, .nrels = 1}};

    cr_expect_not(wf_transform_wants(&conf, &c));
}

static bool wants(const struct wf_config *c, enum wf_change_kind kind)
{
    struct wf_relation *rels[] = {&orders};
    struct wf_change change = {.kind = kind, .truncate = {.rels = rels, .nrels = 1}};

    if (kind != WF_CHANGE_TRUNCATE)
        change.rel = &orders;
    return wf_transform_wants(c, &change);
}

Test(transform, skips_operations)
{
    char *update_and_delete[] = {"u", "d"}, *none[] = {"none"};
    struct wf_config c = {.source = {.skipped_operations = {update_and_delete, 2}}};
    struct wf_config strict = {.format = {.profile = WF_PROFILE_STRICT}};

    cr_expect(wants(&c, WF_CHANGE_INSERT));
    cr_expect_not(wants(&c, WF_CHANGE_UPDATE));
    cr_expect_not(wants(&c, WF_CHANGE_DELETE));
    cr_expect(wants(&c, WF_CHANGE_TRUNCATE));
    cr_expect_not(wants(&strict, WF_CHANGE_TRUNCATE), "Debezium's default");
    cr_expect(wants(&strict, WF_CHANGE_DELETE));
    strict.source.skipped_operations = (struct wf_list){none, 1};
    cr_expect(wants(&strict, WF_CHANGE_TRUNCATE));
}
