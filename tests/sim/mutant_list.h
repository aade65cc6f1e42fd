/* The classic bugs of a change data pipeline, as src/mutant.h can switch them on. */
#ifndef WF_MUTANT_LIST_H
#define WF_MUTANT_LIST_H

#define WF_MUTANTS(X) X(ack_sent, "acknowledged when the sink takes an event, not when it confirms")

#define WF_MUTANT_NAME(name, what) WF_MUTANT_##name,
enum wf_mutant { WF_MUTANT_none, WF_MUTANTS(WF_MUTANT_NAME) WF_MUTANT_count };

extern enum wf_mutant wf_mutant;

#endif
