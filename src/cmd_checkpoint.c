#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "cmd.h"
#include "cmd_common.h"
#include "config.h"
#include "log.h"
#include "lsn.h"
#include "pg.h"
#include "slot.h"

static const char help[] =
    "usage: walferry checkpoint show [--json] FILE\n"
    "       walferry checkpoint set [--yes] FILE LSN\n"
    "       walferry checkpoint export [--yes] FILE\n"
    "       walferry checkpoint topics [--yes] FILE\n"
    "\n"
    "The position up to which everything is delivered, in state.dir and, with delivery:\n"
    "exactly_once, in the sink.\n"
    "\n"
    "  show     print what is stored\n"
    "  set      go on from LSN; `slot` stands for the slot's own position. What lies before it "
    "and\n"
    "           was not delivered is never published. System and timeline become the server's\n"
    "  export   take the sink's checkpoint into state.dir, for the way back to at_least_once\n"
    "  topics   print which topics were deleted, made anew or got partitions since walferry began\n"
    "           to publish there, and go on with them as they are\n"
    "\n"
    "  --json   one JSON object\n"
    "  --yes    do not ask\n"
    "\n"
    "set, export and topics want the daemon stopped: they refuse while somebody reads the slot.\n"
    "Exit codes: 0 done, 1 failed or not confirmed, 2 usage, 76 what is stored is damaged,\n"
    "78 configuration.\n";

struct job {
    struct wf_config *config;
    bool json, yes;
    struct wf_checkpoint local, kept;
    bool damaged; /* the file: nothing in it can be believed */
};

static const struct wf_keeper_ops *keeper_of(const struct job *j)
{
    return j->config->sink_ops->keeper;
}

static bool is_kept_by_sink(const struct job *j)
{
    return keeper_of(j) && keeper_of(j)->enabled(j->config->sink);
}

static int failed(const struct wf_err *err)
{
    fprintf(stderr, "walferry: %s\n", err->text);
    return (int)err->exit_code;
}

/* ---- showing ---- */

static const char *state_name(const struct wf_checkpoint *cp)
{
    switch (cp->state) {
    case WF_CHECKPOINT_INTENT:
        return "intent"; /* a slot was about to be made */
    case WF_CHECKPOINT_ACTIVE:
        return "active";
    case WF_CHECKPOINT_COPY:
        return "copy"; /* of the sink's */
    case WF_CHECKPOINT_NONE:
        break;
    }
    return "none";
}

static void time_text(const struct wf_checkpoint *cp, char *out, size_t size)
{
    time_t t = (time_t)(cp->saved_us / 1000000);
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, size, "?");
}

static void print_text(const char *where, const struct wf_checkpoint *cp)
{
    char saved[32];

    if (cp->state == WF_CHECKPOINT_NONE) {
        printf("%-8s none\n", where);
        return;
    }
    time_text(cp, saved, sizeof(saved));
    printf("%-8s %s  %s, slot \"%s\", system %" PRIu64 ", timeline %u, saved %s", where,
           wf_lsn_text(cp->lsn).s, state_name(cp), cp->slot, cp->system_id, cp->timeline, saved);
    if (cp->split.final_lsn)
        printf(", and %" PRIu64 " changes of the transaction at %s", cp->split.changes,
               wf_lsn_text(cp->split.final_lsn).s);
    putchar('\n');
}

static json_t *as_json(const struct wf_checkpoint *cp)
{
    char saved[32], system[24];
    json_t *object;

    if (cp->state == WF_CHECKPOINT_NONE)
        return json_null();
    time_text(cp, saved, sizeof(saved));
    snprintf(system, sizeof(system), "%" PRIu64, cp->system_id);
    object = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "state", state_name(cp), "lsn",
                       wf_lsn_text(cp->lsn).s, "slot", cp->slot, "system_id", system, "timeline",
                       (json_int_t)cp->timeline, "saved", saved);
    if (object && cp->split.final_lsn)
        json_object_set_new(object, "split",
                            json_pack("{s:s, s:I}", "commit_lsn",
                                      wf_lsn_text(cp->split.final_lsn).s, "changes",
                                      (json_int_t)cp->split.changes));
    return object;
}

static void print(const struct job *j)
{
    json_t *object;
    char *text;

    if (!j->json) {
        print_text("local", &j->local);
        if (keeper_of(j) && (is_kept_by_sink(j) || j->kept.state != WF_CHECKPOINT_NONE))
            print_text("sink", &j->kept);
        return;
    }
    object = json_pack("{s:o, s:o}", "local", as_json(&j->local), "sink", as_json(&j->kept));
    text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    puts(text ? text : "{}");
    free(text);
    json_decref(object);
}

/* ---- looking ---- */

static enum wf_rc look_into_sink(struct job *j, struct wf_err *err)
{
    enum wf_rc rc;

    if (!keeper_of(j))
        return WF_OK;
    rc = keeper_of(j)->stored(j->config->sink, j->config->pipeline, &j->kept, err);
    return rc == WF_OK ? rc : wf_err_wrap(err, "sink %s", j->config->sink_ops->name);
}

static int show(struct job *j)
{
    struct wf_err err;

    if (wf_checkpoint_peek(j->config->state.dir, &j->local, &err) != WF_OK ||
        look_into_sink(j, &err) != WF_OK)
        return failed(&err);
    print(j);
    return fflush(stdout) == 0 ? WF_EXIT_OK : WF_EXIT_OTHER;
}

/* ---- changing ---- */

static enum wf_rc look_at_server(const struct job *j, struct wf_server *server,
                                 struct wf_slot_info *slot, struct wf_err *err)
{
    const struct wf_source_conf *conf = &j->config->source;
    wf_autoconn PGconn *conn = NULL;
    enum wf_rc rc = wf_pg_connect(conf, WF_PG_REPLICATION, NULL, &conn, err);

    if (rc == WF_OK)
        rc = wf_server_identify(conn, NULL, server, err);
    if (rc == WF_OK)
        rc = wf_slot_look(conn, conf->slot, NULL, slot, err);
    if (rc == WF_OK && slot->active_pid)
        rc = wf_err_set(err, WF_RETRY, "slot_active",
                        "slot \"%s\" is read by backend %d; hint: stop the daemon first",
                        conf->slot, slot->active_pid);
    return rc;
}

static bool confirmed(const struct job *j)
{
    char answer[8] = "";

    if (j->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "walferry: nothing was changed; hint: --yes\n");
        return false;
    }
    printf("Change it? [y/N] ");
    fflush(stdout);
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    puts("nothing was changed");
    return false;
}

/* The sink first: as long as only that is done a daemon goes on from there. */
static enum wf_rc store(struct job *j, struct wf_checkpoint *cp, struct wf_err *err)
{
    struct wf_checkpoint_store *file = NULL;
    enum wf_rc rc = wf_checkpoint_open(j->config->state.dir, &file, err);

    if (rc == WF_OK && j->damaged)
        rc = wf_checkpoint_remove(file, err);
    if (rc == WF_OK && is_kept_by_sink(j)) {
        rc = keeper_of(j)->store(j->config->sink, j->config->pipeline, cp, err);
        if (rc != WF_OK)
            wf_err_wrap(err, "sink %s", j->config->sink_ops->name);
        cp->state = WF_CHECKPOINT_COPY;
    }
    if (rc == WF_OK)
        rc = wf_checkpoint_save(file, cp, err);
    wf_checkpoint_close(file);
    return rc;
}

/* The file's checkpoint, also where it is there to be replaced because it is damaged. */
static enum wf_rc look_into_file(struct job *j, struct wf_err *err)
{
    enum wf_rc rc = wf_checkpoint_peek(j->config->state.dir, &j->local, err);

    j->damaged = rc != WF_OK && strcmp(err->code, "checkpoint_invalid") == 0;
    return j->damaged ? WF_OK : rc;
}

static int change(struct job *j, struct wf_checkpoint *cp)
{
    struct wf_err err;

    if (j->damaged)
        puts("before   damaged");
    else
        print_text("before", is_kept_by_sink(j) && j->kept.state ? &j->kept : &j->local);
    cp->saved_us = time(NULL) * INT64_C(1000000);
    print_text("after", cp);
    if (!confirmed(j))
        return WF_EXIT_OTHER;
    return store(j, cp, &err) == WF_OK ? WF_EXIT_OK : failed(&err);
}

static enum wf_rc pick_lsn(const struct job *j, const char *text, const struct wf_slot_info *slot,
                           uint64_t *lsn, struct wf_err *err)
{
    const char *name = j->config->source.slot;

    if (!slot->exists)
        return wf_err_set(err, WF_FATAL, "slot_missing",
                          "slot \"%s\" does not exist: a position without it is worth nothing; "
                          "hint: SELECT pg_create_logical_replication_slot('%s', '...')",
                          name, name);
    if (strcmp(text, "slot") == 0)
        *lsn = slot->confirmed_lsn;
    else if (wf_lsn_parse(text, lsn, err) != WF_OK)
        return err->rc;
    if (*lsn < slot->confirmed_lsn)
        return wf_err_set(err, WF_FATAL, "slot_gap",
                          "slot \"%s\" stands at %s: what was committed before cannot be read any "
                          "more; hint: `slot` for the slot's position",
                          name, wf_lsn_text(slot->confirmed_lsn).s);
    if (*lsn > slot->wal_lsn)
        return wf_err_set(err, WF_FATAL, "server_behind", "the server's WAL ends at %s",
                          wf_lsn_text(slot->wal_lsn).s);
    return WF_OK;
}

static int set(struct job *j, const char *text)
{
    struct wf_checkpoint cp = {.state = WF_CHECKPOINT_ACTIVE};
    struct wf_server server;
    struct wf_slot_info slot;
    struct wf_err err, ignored;
    enum wf_rc rc = look_into_file(j, &err);

    if (rc == WF_OK)
        rc = look_at_server(j, &server, &slot, &err);
    if (rc == WF_OK)
        rc = pick_lsn(j, text, &slot, &cp.lsn, &err);
    if (rc != WF_OK)
        return failed(&err);
    look_into_sink(j, &ignored); /* it may be beyond use: that is why it is set */
    cp.system_id = server.system_id;
    cp.timeline = server.timeline;
    cp.instance = server.instance;
    snprintf(cp.slot, sizeof(cp.slot), "%s", j->config->source.slot);
    return change(j, &cp);
}

static int export(struct job *j)
{
    struct wf_checkpoint cp;
    struct wf_server server;
    struct wf_slot_info slot;
    struct wf_err err;
    enum wf_rc rc = WF_OK;

    if (!keeper_of(j))
        rc = wf_err_config(&err, "sink %s keeps no checkpoint", j->config->sink_ops->name);
    if (rc == WF_OK)
        rc = look_into_file(j, &err);
    if (rc == WF_OK)
        rc = look_at_server(j, &server, &slot, &err);
    if (rc == WF_OK)
        rc = look_into_sink(j, &err);
    if (rc == WF_OK && j->kept.state == WF_CHECKPOINT_NONE)
        rc = wf_err_set(&err, WF_FATAL, "checkpoint_missing", "the sink has no checkpoint");
    if (rc == WF_OK && is_kept_by_sink(j))
        rc = wf_err_config(&err, "with delivery: exactly_once the file would not be read; hint: "
                                 "set sink.delivery: at_least_once first");
    if (rc != WF_OK)
        return failed(&err);
    cp = j->kept;
    if (cp.split.final_lsn)
        printf("%" PRIu64 " changes of the transaction at %s are published and will be repeated\n",
               cp.split.changes, wf_lsn_text(cp.split.final_lsn).s);
    cp.split = (struct wf_split){0};
    return change(j, &cp);
}

static void print_topic(void *arg, const char *topic, const char *was, const char *is)
{
    unsigned *n = arg;

    printf("%s\n  before   %s\n  now      %s\n", topic, was, is);
    (*n)++;
}

static int topics(struct job *j)
{
    const struct wf_sink_ops *sink = j->config->sink_ops;
    const char *pipeline = j->config->pipeline, *dir = j->config->state.dir;
    struct wf_server server;
    struct wf_slot_info slot;
    struct wf_err err;
    unsigned n = 0;
    enum wf_rc rc = WF_OK;

    if (!sink->topics)
        rc = wf_err_config(&err, "sink %s has no topics", sink->name);
    if (rc == WF_OK)
        rc = look_at_server(j, &server, &slot, &err);
    if (rc == WF_OK)
        rc = sink->topics(j->config->sink, pipeline, dir, false, print_topic, &n, &err);
    if (rc != WF_OK)
        return failed(&err);
    if (!n) {
        puts("every topic is what it was");
        return WF_EXIT_OK;
    }
    if (!confirmed(j))
        return WF_EXIT_OTHER;
    rc = sink->topics(j->config->sink, pipeline, dir, true, NULL, NULL, &err);
    return rc == WF_OK ? WF_EXIT_OK : failed(&err);
}

static int run(struct job *j, const char *verb, int argc, char **argv)
{
    struct wf_err err;
    int code;

    if (wf_config_load(argv[0], &j->config, wf_report_stderr, NULL, &err) != WF_OK)
        return failed(&err);
    wf_log_setup(WF_LOG_ERROR, false, j->config->pipeline);
    if (strcmp(verb, "show") == 0)
        code = show(j);
    else if (strcmp(verb, "topics") == 0)
        code = topics(j);
    else
        code = argc == 2 ? set(j, argv[1]) : export(j);
    wf_config_free(j->config);
    return code;
}

int wf_cmd_checkpoint(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"yes", no_argument, NULL, 'y'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct job j = {0};
    const char *verb;
    bool right;

    for (int o; (o = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (o != 'j' && o != 'y')
            return wf_usage(help, o == 'h');
        j.json |= o == 'j';
        j.yes |= o == 'y';
    }
    verb = argc > optind ? argv[optind] : "";
    argc -= optind + 1;
    argv += optind + 1;
    right = strcmp(verb, "set") == 0 ? argc == 2 : argc == 1;
    if (!right || (strcmp(verb, "show") != 0 && strcmp(verb, "set") != 0 &&
                   strcmp(verb, "export") != 0 && strcmp(verb, "topics") != 0))
        return wf_usage(help, false);
    return run(&j, verb, argc, argv);
}
