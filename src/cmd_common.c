#include "cmd_common.h"

#include <stdio.h>
#include <string.h>

#include "plugins.h"

void wf_report_stderr(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

const struct wf_sink_ops *wf_sink_named(const char *name)
{
    for (size_t i = 0; wf_sinks[i]; i++) {
        if (strcmp(wf_sinks[i]->name, name) == 0)
            return wf_sinks[i];
    }
    return NULL;
}

int wf_usage(const char *text, bool wanted)
{
    fputs(text, wanted ? stdout : stderr);
    return wanted ? WF_EXIT_OK : WF_EXIT_USAGE;
}
