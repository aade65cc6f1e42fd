#include <criterion/criterion.h>
#include <unistd.h>

#include "../../sinks/kafka_pins.h"
#include "tmpdir.h"

static struct wf_kafka_pins *pins;
static struct wf_buf text;
static struct wf_err err;

static void make(void)
{
    pins = wf_kafka_pins_new(NULL);
    wf_buf_init(&text, 65536);
}

static void destroy(void)
{
    wf_kafka_pins_free(pins);
    wf_buf_deinit(&text);
}

TestSuite(kafka_pins, .init = make, .fini = destroy);

#define ID "3Zr0bq1TQeGxcJv2nD9y+A"

static enum wf_rc parse(const char *s, struct wf_kafka_pin *pin)
{
    return wf_kafka_pin_parse(s, strlen(s), pin, &err);
}

Test(kafka_pins, record_comes_back_as_it_went)
{
    struct wf_kafka_pin *pin = wf_kafka_pins_put(pins, "shop.public.t_1-x", 12, ID), back;

    wf_kafka_pin_record(&text, pin);
    cr_assert_eq(wf_kafka_pin_parse(text.data, text.len, &back, &err), WF_OK, "%s", err.text);
    cr_expect_str_eq(back.name, pin->name);
    cr_expect_str_eq(back.id, ID);
    cr_expect_eq(back.partitions, 12);
}

/* The text stands between other bytes: nothing behind its end is read. */
Test(kafka_pins, record_ends_where_it_ends)
{
    static const char s[] = "{\"version\":1,\"topic\":\"t\",\"partitions\":3,\"id\":\"\"}9}";
    struct wf_kafka_pin pin;

    cr_expect_eq(wf_kafka_pin_parse(s, sizeof(s) - 3, &pin, &err), WF_OK);
    cr_expect_eq(wf_kafka_pin_parse(s, sizeof(s) - 4, &pin, &err), WF_FATAL);
    cr_expect_eq(wf_kafka_pin_parse(NULL, 0, &pin, &err), WF_FATAL);
}

Test(kafka_pins, refuses_what_it_does_not_know_whole)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"version\":2,\"topic\":\"t\",\"partitions\":3,\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"\",\"partitions\":3,\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"a b\",\"partitions\":3,\"id\":\"\"}",
        "{\"version\":1,\"topic\":7,\"partitions\":3,\"id\":\"\"}",
        "{\"version\":1,\"partitions\":3,\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":0,\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":-3,\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":2147483648,\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":\"3\",\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":3}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":3,\"id\":\"a\\nb\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":3,\"id\":"
        "\"0123456789012345678901234567890x\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":3,\"partitions\":4,\"id\":\"\"}",
        "{\"version\":1,\"topic\":\"t\",\"partitions\":3,\"id\":\"\"} x",
    };
    struct wf_kafka_pin pin;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_eq(parse(bad[i], &pin), WF_FATAL, "%s", bad[i]);
        cr_expect_eq(err.exit_code, WF_EXIT_REFUSED);
        cr_expect_str_eq(err.code, "topics_invalid");
    }
}

Test(kafka_pins, tell_what_became_of_a_topic)
{
    static const struct {
        int partitions;
        const char *id, *code;
    } rows[] = {
        {3, ID, NULL},
        {3, "", NULL}, /* a broker that tells no ids */
        {6, ID, "topic_repartitioned"},
        {6, "", "topic_repartitioned"},
        {3, "another", "topic_recreated"},
        {6, "another", "topic_recreated"},
        {2, "", "topic_recreated"},
    };
    const struct wf_kafka_pin *pin = wf_kafka_pins_put(pins, "t", 3, ID);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum wf_rc rc = wf_kafka_pin_check(pin, rows[i].partitions, rows[i].id, &err);

        cr_expect_eq(rc, rows[i].code ? WF_FATAL : WF_OK, "row %zu", i);
        if (rows[i].code)
            cr_expect_str_eq(err.code, rows[i].code);
    }
    cr_expect_eq(wf_kafka_pin_check(pin, 2, ID, &err), WF_AGAIN, "no topic ever loses partitions");
}

Test(kafka_pins, forgets_and_pins_anew)
{
    struct wf_kafka_pin *pin = wf_kafka_pins_put(pins, "t", 3, ID);

    cr_expect_not(wf_kafka_pins_kept(pins));
    wf_kafka_pins_keep(pins, true);
    cr_expect(wf_kafka_pins_kept(pins));
    cr_expect_eq(wf_kafka_pins_put(pins, "t", 4, ID), pin);
    cr_expect_not(wf_kafka_pins_kept(pins));
    wf_kafka_pins_put(pins, "t", 0, "");
    cr_expect_null(wf_kafka_pins_find(pins, "t"));
    cr_expect_eq(wf_kafka_pins_sound(pins, &err), WF_OK);
    wf_kafka_pins_put(pins, "t", -1, "");
    cr_expect_null(wf_kafka_pins_find(pins, "t"));
    cr_expect_eq(wf_kafka_pins_sound(pins, &err), WF_FATAL);
}

/* Every byte that changes, and every place where it ends early. */
Test(kafka_pins, file_is_whole_or_refused)
{
    struct wf_kafka_pins *back = wf_kafka_pins_new(NULL);

    wf_kafka_pins_put(pins, "a", 1, ID);
    wf_kafka_pins_put(pins, "gone", 0, "");
    wf_kafka_pins_put(pins, "b", 7, "");
    wf_kafka_pins_text(pins, &text);
    cr_assert_not(text.failed);
    cr_assert_eq(wf_kafka_pins_take(back, text.data, text.len, &err), WF_OK, "%s", err.text);
    cr_expect_eq(wf_kafka_pins_find(back, "a")->partitions, 1);
    cr_expect_eq(wf_kafka_pins_find(back, "b")->partitions, 7);
    cr_expect_null(wf_kafka_pins_find(back, "gone"));
    cr_expect(wf_kafka_pins_kept(back));
    for (size_t i = 0; i < text.len; i++) {
        cr_expect_eq(wf_kafka_pins_take(back, text.data, i, &err), WF_FATAL, "cut at %zu", i);
        text.data[i] ^= 1;
        cr_expect_eq(wf_kafka_pins_take(back, text.data, text.len, &err), WF_FATAL, "byte %zu", i);
        cr_expect_null(back->first, "nothing of it is believed");
        text.data[i] ^= 1;
    }
    wf_kafka_pins_free(back);
}

Test(kafka_pins, file_survives_and_follows_no_link)
{
    struct wf_kafka_pins *p;

    tmpdir_make();
    p = wf_kafka_pins_new(tmpdir);
    cr_assert_eq(wf_kafka_pins_load(p, &err), WF_OK, "a missing file is empty");
    wf_kafka_pins_put(p, "t", 3, ID);
    wf_kafka_pins_text(p, &text);
    cr_assert_eq(wf_kafka_pins_write(tmpdir, &text, &err), WF_OK, "%s", err.text);
    wf_kafka_pins_clear(p);
    cr_assert_eq(wf_kafka_pins_load(p, &err), WF_OK);
    cr_assert_not_null(wf_kafka_pins_find(p, "t"));
    unlink(in_tmpdir("topics"));
    cr_assert_eq(symlink("/dev/null", in_tmpdir("topics")), 0);
    cr_expect_eq(wf_kafka_pins_load(p, &err), WF_FATAL);
    wf_kafka_pins_free(p);
    tmpdir_remove();
}
