/* The verbs of the command line: each takes argv from its own name on, returns the exit code. */
#ifndef WF_CMD_H
#define WF_CMD_H

int wf_cmd_run(int argc, char **argv);
int wf_cmd_tail(int argc, char **argv);
int wf_cmd_check(int argc, char **argv);
int wf_cmd_checkpoint(int argc, char **argv);
int wf_cmd_read(int argc, char **argv);
int wf_cmd_schema(int argc, char **argv);
int wf_cmd_config(int argc, char **argv);

#endif
