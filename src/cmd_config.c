#include "cmd.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cmd_common.h"
#include "config.h"

#define OUTPUT_MAX (16UL * 1024 * 1024)

static const char usage[] =
    "Usage: walferry config show FILE   the values a pipeline would run with; secrets hidden\n"
    "       walferry config docs        all options of all sections and sinks, as Markdown\n"
    "       walferry config schema      JSON Schema of the file, for editors\n"
    "\n"
    "show checks the file first and reports everything that is wrong with it.\n"
    "Exit: 0 done, 78 the configuration has problems, 2 wrong usage, 1 other.\n";

static int wrong_usage(const char *what)
{
    fprintf(stderr, "walferry config: %s\n\n%s", what, usage);
    return WF_EXIT_USAGE;
}

static int print(const struct wf_buf *out)
{
    if (out->failed) {
        fprintf(stderr, "walferry config: out of memory\n");
        return WF_EXIT_OTHER;
    }
    if (fwrite(out->data, 1, out->len, stdout) != out->len || fflush(stdout) != 0) {
        perror("walferry config: standard output");
        return WF_EXIT_OTHER;
    }
    return WF_EXIT_OK;
}

static int show(const char *path, struct wf_buf *out)
{
    struct wf_config *c;
    struct wf_err err;

    if (wf_config_load(path, &c, wf_report_stderr, NULL, &err) != WF_OK) {
        fprintf(stderr, "walferry: %s\n", err.text);
        return (int)err.exit_code;
    }
    wf_config_show(c, out);
    wf_config_free(c);
    return print(out);
}

/* argv[0] is "config". */
int wf_cmd_config(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : NULL;
    struct wf_buf out;
    int code;

    if (!verb)
        return wrong_usage("what shall it do?");
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        fputs(usage, stdout);
        return fflush(stdout) == 0 ? WF_EXIT_OK : WF_EXIT_OTHER;
    }
    wf_buf_init(&out, OUTPUT_MAX);
    if (strcmp(verb, "show") == 0 && argc == 3) {
        code = show(argv[2], &out);
    } else if (strcmp(verb, "docs") == 0 && argc == 2) {
        wf_config_docs(&out);
        code = print(&out);
    } else if (strcmp(verb, "schema") == 0 && argc == 2) {
        wf_config_schema(&out);
        code = print(&out);
    } else if (strcmp(verb, "show") == 0) {
        code = wrong_usage("show takes one FILE");
    } else if (strcmp(verb, "docs") == 0 || strcmp(verb, "schema") == 0) {
        code = wrong_usage("docs and schema take no arguments");
    } else {
        code = wrong_usage("it knows show, docs and schema");
    }
    wf_buf_deinit(&out);
    return code;
}
