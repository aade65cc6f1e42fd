#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

const char *const wf_level_names[] = {"error", "warn", "info", "debug", NULL};

static struct {
    enum wf_level level;
    bool json;
    const char *pipeline;
} setup = {.level = WF_LOG_INFO};

void wf_log_setup(enum wf_level level, bool json, const char *pipeline)
{
    setup.level = level;
    setup.json = json;
    setup.pipeline = pipeline;
}

bool wf_log_enabled(enum wf_level level)
{
    return level <= setup.level;
}

static void put_time(struct wf_buf *b)
{
    struct timespec now;
    struct tm tm;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    wf_buf_printf(b, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

/* "a=1 b=x" becomes ,"a":"1","b":"x" */
static void put_json_fields(struct wf_buf *b, const char *fields)
{
    while (*fields) {
        size_t pair = strcspn(fields, " ");
        size_t key = strcspn(fields, "=");

        if (key < pair) {
            wf_buf_str(b, ",\"");
            wf_buf_json(b, fields, key);
            wf_buf_str(b, "\":\"");
            wf_buf_json(b, fields + key + 1, pair - key - 1);
            wf_buf_str(b, "\"");
        }
        fields += pair;
        fields += strspn(fields, " ");
    }
}

void wf_log(enum wf_level level, const char *code, const char *fields, const char *fmt, ...)
{
    char msg[2048];
    unsigned char room[16384]; /* that memory is out can be said without any */
    struct wf_buf line = {.data = room, .cap = sizeof(room), .max = sizeof(room)};
    va_list ap;

    if (!wf_log_enabled(level))
        return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    if (setup.json) {
        wf_buf_str(&line, "{\"ts\":\"");
        put_time(&line);
        wf_buf_printf(&line, "\",\"level\":\"%s\"", wf_level_names[level]);
        if (setup.pipeline) {
            wf_buf_str(&line, ",\"pipeline\":\"");
            wf_buf_json(&line, setup.pipeline, strlen(setup.pipeline));
            wf_buf_str(&line, "\"");
        }
        wf_buf_printf(&line, ",\"code\":\"%s\"", code);
        if (fields)
            put_json_fields(&line, fields);
        wf_buf_str(&line, ",\"msg\":");
        wf_buf_json_string(&line, msg, strlen(msg));
        wf_buf_str(&line, "}\n");
    } else {
        wf_buf_str(&line, "ts=");
        put_time(&line);
        wf_buf_printf(&line, " level=%s", wf_level_names[level]);
        if (setup.pipeline)
            wf_buf_printf(&line, " pipeline=%s", setup.pipeline);
        wf_buf_printf(&line, " code=%s", code);
        if (fields)
            wf_buf_printf(&line, " %s", fields);
        wf_buf_str(&line, " msg=");
        wf_buf_json_string(&line, msg, strlen(msg));
        wf_buf_str(&line, "\n");
    }
    /* One write per line, so that lines of several processes do not mix. */
    if (write(STDERR_FILENO, line.data, line.len) < 0) {
        /* standard error itself is gone: nobody is left to tell */
    }
}
