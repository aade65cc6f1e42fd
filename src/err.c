#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Built aside: an argument may be (part of) the text that is replaced. */
__attribute__((format(printf, 2, 0))) static void set_text(struct wf_err *err, const char *fmt,
                                                           va_list ap)
{
    char text[WF_ERR_TEXT_MAX];

    vsnprintf(text, sizeof(text), fmt, ap);
    memcpy(err->text, text, strlen(text) + 1);
}

static void set_code(struct wf_err *err, enum wf_rc rc, const char *code)
{
    err->rc = rc;
    err->exit_code = WF_EXIT_OTHER;
    snprintf(err->code, sizeof(err->code), "%s", code);
}

enum wf_rc wf_err_set(struct wf_err *err, enum wf_rc rc, const char *code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return rc;
    set_code(err, rc, code);
    va_start(ap, fmt);
    set_text(err, fmt, ap);
    va_end(ap);
    return rc;
}

enum wf_rc wf_err_refuse(struct wf_err *err, const char *code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return WF_FATAL;
    set_code(err, WF_FATAL, code);
    err->exit_code = WF_EXIT_REFUSED;
    va_start(ap, fmt);
    set_text(err, fmt, ap);
    va_end(ap);
    return WF_FATAL;
}

enum wf_rc wf_err_config(struct wf_err *err, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return WF_FATAL;
    set_code(err, WF_FATAL, "config");
    err->exit_code = WF_EXIT_CONFIG;
    va_start(ap, fmt);
    set_text(err, fmt, ap);
    va_end(ap);
    return WF_FATAL;
}

enum wf_rc wf_err_sys(struct wf_err *err, enum wf_rc rc, const char *fmt, ...)
{
    int saved = errno;
    size_t len;
    va_list ap;

    if (!err)
        return rc;
    set_code(err, rc, "system");
    va_start(ap, fmt);
    set_text(err, fmt, ap);
    va_end(ap);
    len = strlen(err->text);
    snprintf(err->text + len, sizeof(err->text) - len, ": %s", strerror(saved));
    return rc;
}

enum wf_rc wf_err_wrap(struct wf_err *err, const char *fmt, ...)
{
    char context[WF_ERR_TEXT_MAX / 2];
    char text[WF_ERR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
    memcpy(text, err->text, sizeof(text));
    if (snprintf(err->text, sizeof(err->text), "%s: %s", context, text) < 0)
        err->text[0] = '\0';
    return err->rc;
}
