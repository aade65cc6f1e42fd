#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "err.h"

static const char help[] =
    "walferry - ferries committed changes of PostgreSQL to Kafka as Avro events\n"
    "\n"
    "usage: walferry VERB [options]\n"
    "\n"
    "  run FILE          read the slot and publish, until stopped (FILE: the pipeline's YAML)\n"
    "  tail DSN          live changes as JSON lines, from a temporary slot: leaves nothing behind\n"
    "  check FILE        test the whole path; each finding comes with its cure\n"
    "  checkpoint ...    show or set the position up to which everything is delivered\n"
    "  read FILE...      Avro container files, or --topic of a pipeline, as JSON lines\n"
    "  schema FILE TABLE a table's Avro schemas, and what registering them would do\n"
    "  config show FILE  the effective configuration, secrets hidden\n"
    "  config docs       every option, as Markdown\n"
    "  version           this program's version\n"
    "\n"
    "`walferry VERB --help` tells more.\n"
    "Exit codes: 0 done, 1 failed, 2 usage, 76 refused (a person has to decide), 78 "
    "configuration.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"run", wf_cmd_run},       {"tail", wf_cmd_tail},
    {"check", wf_cmd_check},   {"checkpoint", wf_cmd_checkpoint},
    {"read", wf_cmd_read},     {"schema", wf_cmd_schema},
    {"config", wf_cmd_config},
};

static int version(void)
{
    puts("walferry " WF_VERSION);
    return WF_EXIT_OK;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (strcmp(verb, "version") == 0 || strcmp(verb, "--version") == 0)
        return version();
    if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        fputs(help, stdout);
        return WF_EXIT_OK;
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    }
    if (*verb)
        fprintf(stderr, "walferry: unknown verb \"%s\"\n\n", verb);
    fputs(help, stderr);
    return WF_EXIT_USAGE;
}
