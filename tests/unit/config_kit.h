/* Reads configurations for tests and keeps what came out. */
#ifndef WF_CONFIG_KIT_H
#define WF_CONFIG_KIT_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"

/* The outcome of one reading; problems are the reported lines, each with a newline. */
static struct {
    enum wf_rc rc;
    struct wf_config *c;
    struct wf_err err;
    struct wf_buf problems;
    size_t n;
} got;

static inline void collect(void *arg, const char *line)
{
    (void)arg;
    got.n++;
    wf_buf_str(&got.problems, line);
    wf_buf_byte(&got.problems, '\n');
}

static inline void forget(void)
{
    wf_config_free(got.c);
    wf_buf_deinit(&got.problems);
    memset(&got, 0, sizeof(got));
    wf_buf_init(&got.problems, 1 << 20);
}

static inline void make(void)
{
    wf_log_setup(WF_LOG_ERROR, false, NULL); /* warnings have their own tests */
    forget();
}

static inline void destroy(void)
{
    wf_config_free(got.c);
    wf_buf_deinit(&got.problems);
}

static inline const char *problems(void)
{
    wf_buf_byte(&got.problems, '\0');
    got.problems.len--;
    return (const char *)got.problems.data;
}

static inline void parse_bytes(const char *text, size_t len)
{
    forget();
    got.rc = wf_config_parse("shop.yaml", text, len, &got.c, collect, NULL, &got.err);
}

static inline void parse(const char *text)
{
    parse_bytes(text, strlen(text));
}

static inline void expect_good(const char *text)
{
    parse(text);
    cr_assert_eq(got.rc, WF_OK, "%s%s", problems(), got.err.text);
}

/* Exactly these lines, in this order. */
static inline void expect_problems(const char *text, const char *wanted)
{
    parse(text);
    cr_expect_eq(got.rc, WF_FATAL);
    cr_expect_eq(got.err.exit_code, WF_EXIT_CONFIG);
    cr_expect_null(got.c);
    cr_expect_str_eq(problems(), wanted);
}

static inline void expect_mentions(const char *text, const char *word)
{
    parse(text);
    cr_expect_eq(got.rc, WF_FATAL, "accepted: %s", text);
    cr_expect_eq(got.err.exit_code, WF_EXIT_CONFIG);
    cr_expect(strstr(problems(), word), "no \"%s\" in: %s", word, problems());
}

#define DSN "source: {dsn: dbname=shop}\n"
#define OUT "sink: {dir: out}\n"

#endif
