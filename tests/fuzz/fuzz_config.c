/* Any text as a configuration: an answer and no crash, no leak, no file touched. */
#include <stdint.h>
#include <stdlib.h>

#include "config.h"
#include "log.h"

static void check_line(void *arg, const char *line)
{
    (void)arg;
    if (!*line)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wf_config *c = NULL;
    struct wf_err err;
    struct wf_buf out;

    wf_log_setup(WF_LOG_ERROR, false, NULL);
    if (wf_config_parse("fuzz.yaml", (const char *)data, size, &c, check_line, NULL, &err) !=
        WF_OK) {
        if (c || err.rc != WF_FATAL || !*err.text)
            abort();
        return 0;
    }
    wf_buf_init(&out, 16 << 20);
    wf_config_show(c, &out);
    wf_buf_deinit(&out);
    wf_config_free(c);
    return 0;
}
