/* What several verbs of the command line share. */
#ifndef WF_CMD_COMMON_H
#define WF_CMD_COMMON_H

#include <stdbool.h>

#include "config.h"
#include "pipeline.h"
#include "sink.h"

/* A wf_config_report: each line to standard error. */
void wf_report_stderr(void *arg, const char *line);

/* The sink of that name, NULL when there is none. */
const struct wf_sink_ops *wf_sink_named(const char *name);

/* A verb's help: to standard output when @wanted, else to standard error. Return: exit code. */
int wf_usage(const char *text, bool wanted);

/* Run a pipeline until SIGTERM or SIGINT; failures go to the log. Return: exit code. */
int wf_ferry(const struct wf_config *config, const struct wf_pipeline_options *options);

#endif
