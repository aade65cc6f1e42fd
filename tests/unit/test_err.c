#include <criterion/criterion.h>
#include <errno.h>

#include "err.h"

static char long_text[3 * WF_ERR_TEXT_MAX];

static void fill(void)
{
    memset(long_text, 'x', sizeof(long_text) - 1);
}

TestSuite(err, .init = fill);

Test(err, keeps_class_code_and_sentence)
{
    struct wf_err err;

    cr_expect_eq(wf_err_set(&err, WF_REJECT, "too_large", "event of %d bytes", 7), WF_REJECT);
    cr_expect_eq(err.rc, WF_REJECT);
    cr_expect_eq(err.exit_code, WF_EXIT_OTHER);
    cr_expect_str_eq(err.code, "too_large");
    cr_expect_str_eq(err.text, "event of 7 bytes");
}

Test(err, of_a_refusal_ends_the_process_with_76)
{
    struct wf_err err;

    cr_expect_eq(wf_err_refuse(&err, "slot_gap", "the slot is ahead"), WF_FATAL);
    cr_expect_eq(err.exit_code, 76);
    cr_expect_str_eq(err.code, "slot_gap");
}

Test(err, of_a_configuration_fault_ends_the_process_with_78)
{
    struct wf_err err;

    cr_expect_eq(wf_err_config(&err, "source.dsn: missing"), WF_FATAL);
    cr_expect_eq(err.exit_code, 78);
    cr_expect_str_eq(err.code, "config");
}

Test(err, of_the_system_ends_with_its_reason)
{
    struct wf_err err;

    errno = ENOSPC;
    cr_expect_eq(wf_err_sys(&err, WF_RETRY, "cannot write %s", "a/b"), WF_RETRY);
    cr_expect_str_eq(err.code, "system");
    cr_expect_str_eq(err.text, "cannot write a/b: No space left on device");
}

Test(err, gets_the_context_of_each_caller_in_front)
{
    struct wf_err err;

    wf_err_set(&err, WF_RETRY, "timeout", "no answer");
    cr_expect_eq(wf_err_wrap(&err, "topic %s", "cdc.orders"), WF_RETRY);
    cr_expect_eq(wf_err_wrap(&err, "sink %s", "kafka"), WF_RETRY);
    cr_expect_str_eq(err.text, "sink kafka: topic cdc.orders: no answer");
    cr_expect_str_eq(err.code, "timeout");
}

Test(err, that_nobody_reads_still_has_a_class)
{
    cr_expect_eq(wf_err_set(NULL, WF_RETRY, "x", "x"), WF_RETRY);
    cr_expect_eq(wf_err_refuse(NULL, "x", "x"), WF_FATAL);
    cr_expect_eq(wf_err_config(NULL, "x"), WF_FATAL);
    cr_expect_eq(wf_err_sys(NULL, WF_FATAL, "x"), WF_FATAL);
}

/* Criterion's sanitizer build sees any byte past the struct. */
Test(err, is_cut_never_overrun)
{
    struct wf_err *err = calloc(1, sizeof(*err));

    wf_err_set(err, WF_FATAL, long_text, "%s", long_text);
    cr_expect_eq(strlen(err->text), WF_ERR_TEXT_MAX - 1);
    cr_expect_eq(strlen(err->code), sizeof(err->code) - 1);
    wf_err_config(err, "%s", long_text);
    cr_expect_eq(strlen(err->text), WF_ERR_TEXT_MAX - 1);
    wf_err_refuse(err, "x", "%s", long_text);
    cr_expect_eq(strlen(err->text), WF_ERR_TEXT_MAX - 1);
    wf_err_sys(err, WF_FATAL, "%s", long_text);
    cr_expect_eq(strlen(err->text), WF_ERR_TEXT_MAX - 1);
    wf_err_wrap(err, "%s", long_text);
    cr_expect_eq(strlen(err->text), WF_ERR_TEXT_MAX - 1);
    free(err);
}

/* Callers quote what the server said in a sentence of their own. */
Test(err, may_quote_the_text_it_replaces)
{
    struct wf_err err;

    wf_err_set(&err, WF_RETRY, "sqlstate_42501", "PostgreSQL says: permission denied for it");
    wf_err_config(&err, "the role may not create publication \"shop\" (%s); hint: another role",
                  strstr(err.text, "says: ") + 6);
    cr_expect_str_eq(err.text, "the role may not create publication \"shop\" (permission denied "
                               "for it); hint: another role");
}
