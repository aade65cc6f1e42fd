#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "cmd_common.h"
#include "log.h"
#include "lsn.h"
#include "pipeline.h"

static const char run_help[] =
    "usage: walferry run [--dry-run] [--until LSN] [--accept-gap LSN] [--accept-divergence TLI] "
    "FILE\n"
    "\n"
    "Reads the replication slot named in FILE and publishes every committed change.\n"
    "\n"
    "  --dry-run                print decoded events from a temporary slot; confirms nothing,\n"
    "                           publishes nothing, leaves nothing behind\n"
    "  --until LSN              stop once everything before LSN is delivered\n"
    "  --accept-gap LSN         go on from LSN although the slot is past the checkpoint: what "
    "lies\n"
    "                           between is lost and you have decided that this is so\n"
    "  --accept-divergence TLI  go on although the server is on timeline TLI\n"
    "\n"
    "SIGTERM and SIGINT deliver what is on its way, at most 10 s; kill -9 loses nothing either.\n"
    "Exit codes: 0 stopped, 1 failed, 2 usage, 76 refused (a person has to decide), 78 "
    "configuration.\n";

static volatile sig_atomic_t stop_requested;

static void on_signal(int signo)
{
    (void)signo;
    if (stop_requested)
        _exit(WF_EXIT_OTHER); /* asked twice: the checkpoint on disk is good at any moment */
    stop_requested = 1;
}

static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

int wf_ferry(const struct wf_config *config, const struct wf_pipeline_options *options)
{
    struct wf_pipeline *p = NULL;
    struct wf_err err = {0};
    enum wf_rc rc;

    catch_signals();
    rc = wf_pipeline_new(&p, config, options, &err);
    if (rc == WF_OK)
        rc = wf_pipeline_run(p, &stop_requested, &err);
    wf_pipeline_free(p);
    if (rc == WF_OK)
        return WF_EXIT_OK;
    if (strcmp(err.code, "reader_gone") == 0) /* as in `walferry tail ... | head` */
        return WF_EXIT_OK;
    wf_log(WF_LOG_ERROR, err.code, NULL, "%s", err.text);
    return (int)err.exit_code;
}

static int run_file(const char *path, const struct wf_pipeline_options *options)
{
    struct wf_config *config = NULL;
    struct wf_config dry;
    struct wf_err err;
    int code;

    if (wf_config_load(path, &config, wf_report_stderr, NULL, &err) != WF_OK) {
        fprintf(stderr, "walferry: %s\n", err.text);
        return (int)err.exit_code;
    }
    wf_log_setup((enum wf_level)config->log.level, config->log.format == WF_LOG_JSON,
                 config->pipeline);
    if (options->temporary) { /* another sink; what the configuration owns stays its own */
        dry = *config;
        dry.sink_ops = wf_sink_named("stdout");
        dry.sink = NULL;
        code = wf_ferry(&dry, options);
    } else {
        code = wf_ferry(config, options);
    }
    wf_config_free(config);
    return code;
}

int wf_cmd_run(int argc, char **argv)
{
    static const struct option longs[] = {{"dry-run", no_argument, NULL, 'n'},
                                          {"until", required_argument, NULL, 'u'},
                                          {"accept-gap", required_argument, NULL, 'g'},
                                          {"accept-divergence", required_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct wf_pipeline_options options = {0};
    struct wf_err err;
    char *end;

    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        switch (c) {
        case 'n':
            options.temporary = true;
            break;
        case 'u':
        case 'g':
            if (wf_lsn_parse(optarg, c == 'u' ? &options.until_lsn : &options.accept.gap_lsn,
                             &err) != WF_OK) {
                fprintf(stderr, "walferry: --%s: %s\n", c == 'u' ? "until" : "accept-gap",
                        err.text);
                return WF_EXIT_USAGE;
            }
            break;
        case 'd':
            options.accept.timeline = (uint32_t)strtoul(optarg, &end, 10);
            if (optarg[0] == '-' || *end || !options.accept.timeline) {
                fprintf(stderr, "walferry: --accept-divergence: \"%s\" is no timeline\n", optarg);
                return WF_EXIT_USAGE;
            }
            break;
        default:
            return wf_usage(run_help, c == 'h');
        }
    }
    if (argc - optind != 1)
        return wf_usage(run_help, false);
    return run_file(argv[optind], &options);
}
